"""Parity with the original GDSS: networks, losses, samplers, all published checkpoints (numbers in the reference folder)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from polyscore.graphs import GraphGenerator, upstream
from polyscore.graphs.methods import choose
from polyscore.graphs.s4 import S4, _linear
from polyscore.noise import Recorded
from polyscore.processes import VE, VP
from polyscore.samplers import Langevin, PredictorCorrector, ReverseDiffusion, grids, sample, score_sde_alphas, score_sde_tables
from polyscore.state import Given

FILES = ("qm9", "zinc250k", "zinc250k_v2", "community_small", "ego_small", "enzymes", "grid")
LEAVES = ("x", "adj")


def golden(reference: Path, name: str) -> Mapping[str, Any]:
    with np.load(reference / "graphs" / "golden" / f"{name}.npz", allow_pickle=False) as file:
        return {key: file[key] for key in file.files}


def checkpoint(reference: Path, name: str, **options: Any) -> upstream.Published:
    return upstream.read(reference / "graphs" / "gdss" / f"gdss_{name}.pth", **options)


def tensors(data: Mapping[str, Any], kind: str, dtype: torch.dtype = torch.float32) -> tuple[dict[str, Tensor], Tensor, Tensor]:
    state = {leaf: torch.from_numpy(data[f"{kind}_{leaf}"]).to(dtype) for leaf in LEAVES}
    return state, torch.from_numpy(data[f"{kind}_flags"]).to(dtype), torch.from_numpy(data[f"{kind}_t"]).double()


@pytest.mark.parametrize("kind", ["noise", "data"])
@pytest.mark.parametrize("name", ["qm9", "community_small"])
def test_network_outputs_and_scores(reference: Path, name: str, kind: str) -> None:
    data, denoiser = golden(reference, f"{name}_forward"), checkpoint(reference, name, weights="raw").denoiser
    state, mask, t = tensors(data, kind)
    with torch.no_grad():
        single = denoiser.network(state, t, mask)
        scores = denoiser.score(state, t, Given(mask=mask))
        double = denoiser.double().network(*tensors(data, kind, torch.float64)[:1], t, mask.double())
    for leaf in LEAVES:
        np.testing.assert_allclose(single[leaf].numpy(), data[f"{kind}_net_{leaf}"], rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(double[leaf].numpy(), data[f"{kind}_net_{leaf}_f64"], rtol=1e-9, atol=1e-9)
        process: Any = denoiser.process[leaf]
        ours = scores[leaf].numpy() * process.coefs_of(t).s.view(-1, 1, 1).numpy()
        # near t = 0 the original's float32 level is off by 5e-4: each score is compared times its own level
        theirs = data[f"{kind}_score_{leaf}"] * data[f"sde_{leaf}_std"].reshape(-1, 1, 1)
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-4)


def test_moving_average_of_community_small(reference: Path) -> None:
    data, published = golden(reference, "community_small_forward"), checkpoint(reference, "community_small", weights="ema")
    state, mask, t = tensors(data, "data")
    with torch.no_grad():
        outputs = published.denoiser.network(state, t, mask)
    for leaf in LEAVES:
        np.testing.assert_allclose(outputs[leaf].numpy(), data[f"data_ema_net_{leaf}"], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", ["qm9", "community_small"])
def test_processes(reference: Path, name: str) -> None:
    data, process = golden(reference, f"{name}_forward"), checkpoint(reference, name).denoiser.process
    state, _, t = tensors(data, "data", torch.float64)
    for leaf in LEAVES:
        gaussian: Any = process[leaf]
        v, wide = state[leaf], (-1, 1, 1)
        a, _, s = gaussian.coefs_of(t)
        rates = gaussian.rates(t)
        np.testing.assert_allclose((a.view(wide) * v).numpy(), data[f"sde_{leaf}_mean"], atol=1e-5)
        np.testing.assert_allclose(s.numpy(), data[f"sde_{leaf}_std"], atol=1e-5)
        np.testing.assert_allclose((rates.f.view(wide) * v).numpy(), data[f"sde_{leaf}_drift"], atol=1e-5)
        np.testing.assert_allclose(rates.g2.sqrt().numpy(), data[f"sde_{leaf}_diffusion"], atol=1e-5)
        # the tables of length 1000 are read at floor(t * 999)
        n = 1000
        for row, time in enumerate(t.tolist()):
            step = score_sde_tables(gaussian, [time] * n + [0.0])[0]
            np.testing.assert_allclose((step.drift * v[row]).numpy(), data[f"sde_{leaf}_disc_f"][row], atol=1e-6)
            np.testing.assert_allclose(step.variance**0.5, data[f"sde_{leaf}_disc_G"][row], atol=1e-5)
        t0 = torch.from_numpy(data[f"sde_{leaf}_trans_t"]).double()
        factor, spread = _linear(gaussian, t0, t0 - 1 / 2000)
        np.testing.assert_allclose((factor.view(wide) * v).numpy(), data[f"sde_{leaf}_trans_mean"], atol=1e-5)
        np.testing.assert_allclose(spread.numpy(), data[f"sde_{leaf}_trans_std"], atol=2e-5)


@pytest.mark.parametrize("name", ["qm9", "community_small"])
def test_losses(reference: Path, name: str) -> None:
    from polyscore.graphs.training import score_losses

    data, denoiser = golden(reference, f"{name}_forward"), checkpoint(reference, name, weights="raw").denoiser
    x0 = {leaf: torch.from_numpy(data[f"loss_{leaf}0"]) for leaf in LEAVES}
    mask = (x0["adj"].abs().sum(-1) > 1e-5).float()
    t = torch.from_numpy(data["loss_u"]).double() * (1 - 1e-5) + 1e-5
    for mean in (False, True):
        for weighted in (False, True):
            draws = Recorded([torch.from_numpy(data[f"loss_z_{leaf}"]) for leaf in LEAVES])
            with torch.no_grad():
                found = score_losses(
                    denoiser, x0, t, mask=mask, noise=draws, reduce="mean" if mean else "sum", likelihood=weighted
                )
            for leaf in LEAVES:
                np.testing.assert_allclose(
                    float(found[leaf].mean()), data[f"loss_{leaf}_mean{int(mean)}_lw{int(weighted)}"], rtol=2e-4
                )


@pytest.mark.parametrize("name", ["pc", "pf", "s4"])
def test_sampler_trajectories(reference: Path, name: str) -> None:
    data = golden(reference, f"qm9_sampler_{name}_N10")
    meta = json.loads(str(data["meta"]))
    denoiser = checkpoint(reference, "qm9").denoiser
    langevin = Langevin(meta["snr"], reduce="batch", scale=meta["scale_eps"], alphas=score_sde_alphas)
    sampler: Any = {
        "pc": PredictorCorrector(ReverseDiffusion(score_sde_tables), langevin),
        "pf": PredictorCorrector(ReverseDiffusion(score_sde_tables, eta=0.0), None),
        "s4": S4(langevin),
    }[name]
    order = {leaf: iter(torch.from_numpy(data[f"noise_{leaf}"])) for leaf in LEAVES}
    state = {leaf: torch.from_numpy(data[f"prior_{leaf}"]) for leaf in LEAVES}
    with torch.no_grad():
        out = sample(
            sampler,
            denoiser,
            denoiser.process,
            state,
            steps=10,
            grid=grids.SGMSE(1e-4),
            given=Given(mask=torch.from_numpy(data["flags"])),
            noise=Recorded([next(order[str(leaf)]) for leaf in data["noise_order"]]),
            init=state,
        )
    for leaf in LEAVES:
        np.testing.assert_allclose(out[leaf].numpy(), data[f"out_{leaf}"], atol=1e-3)


@pytest.mark.parametrize("name", FILES)
def test_every_checkpoint_loads_with_its_processes_and_settings(reference: Path, name: str) -> None:
    path = reference / "graphs" / "gdss" / f"gdss_{name}.pth"
    generator = GraphGenerator.from_pretrained(path)
    process: Any = generator.denoiser.process
    facts = {
        "qm9": (VE(0.1, 1.0), VE(0.1, 1.0), 8564 + 23825, 9),
        "zinc250k": (VP(0.1, 1.0), VE(0.2, 1.0), 11429 + 62873, 38),
        "zinc250k_v2": (VP(0.1, 1.0), VE(0.2, 1.0), 22721 + 62873, 38),
        "community_small": (VP(0.1, 1.0), VP(0.1, 1.0), 72434 + 134369, 20),
        "ego_small": (VP(0.1, 1.0), VP(0.1, 1.0), 44093 + 135713, 18),
        "enzymes": (VP(0.1, 1.0), VE(0.2, 1.0), 182066 + 204113, 125),
        "grid": (VP(0.1, 1.0), VP(0.2, 0.8), 170081 + 203153, 361),
    }[name]
    for leaf, expected in zip(LEAVES, facts[:2], strict=True):
        assert type(process[leaf]) is type(expected)
        time = torch.linspace(0.1, 1, 5, dtype=torch.float64)
        torch.testing.assert_close(process[leaf].coefs_of(time), expected.coefs_of(time))
    assert sum(p.numel() for p in generator.parameters()) == facts[2]
    network: Any = generator.denoiser.network
    assert generator.nodes <= facts[3] == network.adj.max_node_num
    graphs = generator.sample([4, 5], steps=2, seed=1)
    assert torch.isfinite(graphs.x).all() and torch.isfinite(graphs.adj).all()
    published = upstream.read(path)
    assert published.weights == ("ema" if name in ("enzymes", "grid") else "raw")


def test_published_settings() -> None:
    from polyscore.graphs.published import PUBLISHED

    rows = {name: choose(data.presets, "exact") for name, data in PUBLISHED.items()}
    assert [(n, m.name, m.nfe) for n, m in rows.items()] == [
        ("QM9", "pc", 2000),
        ("ZINC250k", "pc", 2000),
        ("community_small", "pc", 2000),
        ("ego_small", "pc", 1000),
        ("ENZYMES", "s4", 1000),
        ("grid", "pc", 2000),
    ]


@pytest.mark.parametrize("name", ["parp1", "fa7", "5ht1b", "braf", "jak2"])
def test_regressors_load_and_ignore_padding(reference: Path, name: str) -> None:
    regressor = upstream.read_regressor(reference / "graphs" / "mood" / f"prop_{name}.pth").double()
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(3, 20, 9, generator=generator, dtype=torch.float64)
    adj = torch.randn(3, 20, 20, generator=generator, dtype=torch.float64).triu(1)
    mask = torch.ones(3, 20, dtype=torch.float64)
    pad = torch.nn.functional.pad
    with torch.no_grad():
        small = regressor(x, adj + adj.mT, mask)
        large = regressor(pad(x, (0, 0, 0, 18)), pad(adj + adj.mT, (0, 18, 0, 18)), pad(mask, (0, 18)))
    torch.testing.assert_close(small, large)
    assert small.min() > 0 and small.max() < 1
