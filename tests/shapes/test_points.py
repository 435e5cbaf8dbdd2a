"""Point-cloud diffusion: invariances, the law of the codes, the flow's exact inverse, and the published layout."""

from __future__ import annotations

import argparse
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from polyscore.errors import CheckpointError, InputError
from polyscore.hub import load, save
from polyscore.noise import Recorded
from polyscore.processes import linear_betas
from polyscore.shapes import PointGenerator
from polyscore.shapes.networks import CouplingFlow, PointEncoder, PointwiseNet
from polyscore.shapes.points import PointDenoiser, PointTable
from polyscore.shapes.upstream_points import read_points
from polyscore.state import Given


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def small(*, flow: bool = False) -> PointGenerator:
    torch.manual_seed(0)
    parts = PointwiseNet(6), PointEncoder(6), CouplingFlow(6, 4, 8) if flow else None
    return PointGenerator(*parts, process=PointTable(linear_betas(10, 1e-3, 0.3))).eval()


def test_the_order_of_the_points_does_not_matter() -> None:
    model, x, p = small().double(), draw(2, 30, 3), torch.randperm(30)
    torch.testing.assert_close(model.encode(x[:, p]), model.encode(x))
    beta, code = torch.tensor([0.01, 0.2], dtype=torch.float64), draw(2, 6, seed=1)
    torch.testing.assert_close(model.network(x[:, p], beta, code), model.network(x, beta, code)[:, p])


def test_points_are_independent_given_the_code() -> None:
    model, x = small().double(), draw(1, 30, 3)
    beta, code = torch.tensor([0.1], dtype=torch.float64), draw(1, 6, seed=1)
    torch.testing.assert_close(model.network(x[:, 4:5], beta, code), model.network(x, beta, code)[:, 4:5])


def test_the_flow_is_inverted_exactly_and_knows_its_volume() -> None:
    torch.manual_seed(1)
    flow, z = CouplingFlow(8, 5, 16).double(), draw(3, 8)
    w, log_det = flow(z)
    torch.testing.assert_close(flow.inverse(w), z)
    for one, value in zip(z, log_det, strict=True):
        jacobian = torch.func.jacrev(lambda x: flow(x[None])[0][0])(one)
        torch.testing.assert_close(torch.linalg.slogdet(jacobian).logabsdet, value)
    one = CouplingFlow(8, 1, 16).double()
    torch.testing.assert_close(one(z)[0][:, 4:], z[:, 4:])  # the first layer rewrites the first half
    assert not torch.allclose(one(z)[0][:, :4], z[:, :4])


def test_codes_have_the_truncated_normal_law() -> None:
    codes = PointGenerator(PointwiseNet(2), PointEncoder(2), truncate=1.5).codes(20_000).flatten()
    assert codes.abs().max() <= 1.5
    density, mass = math.exp(-(1.5**2) / 2) / math.sqrt(2 * math.pi), math.erf(1.5 / math.sqrt(2))
    assert abs(float(codes.var()) - (1 - 2 * 1.5 * density / mass)) < 0.01
    with_flow = small(flow=True)
    assert with_flow.flow is not None
    torch.testing.assert_close(with_flow.flow(with_flow.codes(5))[0], small().codes(5))


def test_beta_is_that_of_the_table() -> None:
    table = PointTable(linear_betas(100, 1e-4, 0.02))
    found = table.beta(torch.arange(101, dtype=torch.float64) / 100)
    torch.testing.assert_close(found, torch.tensor([0.0, *table.betas], dtype=torch.float64), atol=1e-12, rtol=1e-9)
    middle = table.beta(torch.tensor(0.505, dtype=torch.float64))
    torch.testing.assert_close(middle, (found[50] + found[51]) / 2)


def test_the_prior_is_standard_normal_although_the_schedule_keeps_data() -> None:
    table = PointTable()
    assert float(table.coefs_of(1.0).s) < 0.8
    assert abs(float(table.prior(torch.empty(1, 50_000, 3), noise=0).std()) - 1) < 0.01


def test_cloud_i_depends_on_seed_i_alone_and_survives_saving(tmp_path: Path) -> None:
    for flow in (False, True):
        model = small(flow=flow)
        three = model.sample(3, 20, seed=4)
        torch.testing.assert_close(model.sample(1, 20, seed=6)[0], three[2], atol=1e-5, rtol=0)
        assert torch.equal(load(save(tmp_path / f"model{flow}", model)).sample(3, 20, seed=4), three)
    with pytest.raises(CheckpointError, match="is a PointEncoder, expected a PointGenerator"):
        PointGenerator.from_pretrained(save(tmp_path / "other", PointEncoder(2)))


def test_refusals() -> None:
    with pytest.raises(InputError, match="even code"):
        CouplingFlow(7)
    with pytest.raises(InputError, match=r"codes of length \[4, 6\]"):
        PointGenerator(PointwiseNet(4), PointEncoder(6))
    with pytest.raises(InputError, match=r"decode: codes of shape \(2, 5\)"):
        small().decode(torch.zeros(2, 5))
    with pytest.raises(InputError, match=r"encode: clouds of shape \(9, 3\)"):
        small().encode(torch.zeros(9, 3))


# ------------------------------------------------------------------------------------- the published layout
def published(model: PointGenerator, /, **changes: object) -> dict[str, object]:
    """The content of a checkpoint of the original with the tensors of `model`."""
    state: dict[str, Tensor] = {}
    for name, value in model.state_dict().items():
        part, _, rest = name.partition(".")
        if part == "encoder":
            group, index, leaf = rest.split(".")
            layer, norm = int(index) // 3 + 1, int(index) % 3
            kinds = {"points": ("conv{}", "bn{}"), "mean": ("fc{}_m", "fc_bn{}_m"), "log_variance": ("fc{}_v", "fc_bn{}_v")}
            name = f"encoder.{kinds[group][norm].format(layer)}.{leaf}"
        elif part == "network":
            _, index, kind, leaf = rest.split(".")
            role = {"value": "_layer", "gate": "_hyper_gate", "bias": "_hyper_bias"}[kind]
            name = f"diffusion.net.layers.{index}.{role}.{leaf}"
        else:
            _, index, inner, leaf = rest.split(".")
            name = f"flow.chain.{index}.net_s_t.{inner}.{leaf}"
        state[name] = value
    state["diffusion.var_sched.betas"] = torch.tensor([0.0, *model.process.betas])
    settings = {
        "model": "flow" if model.flow else "gaussian",
        "latent_dim": 6,
        "num_steps": 10,
        "beta_1": 1e-3,
        "beta_T": 0.3,
        "latent_flow_depth": 4,
        "latent_flow_hidden_dim": 8,
        "truncate_std": None,
        "spectral_norm": False,
    }
    return {"args": argparse.Namespace(**{**settings, **changes}), "state_dict": state, "others": None}


@pytest.mark.parametrize("flow", [False, True])
def test_a_checkpoint_in_the_published_layout_is_the_same_model(tmp_path: Path, flow: bool) -> None:
    model = small(flow=flow)
    torch.save(published(model), tmp_path / "model.pt")
    found = read_points(tmp_path / "model.pt")
    torch.testing.assert_close(found.sample(2, 10), model.sample(2, 10))
    x = draw(2, 20, 3).float()
    torch.testing.assert_close(found.encode(x), model.encode(x))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"beta_T": 0.2}, "table of betas"),
        ({"latent_dim": 8}, "no checkpoint"),
        ({"latent_dim": 10**9}, "latent_dim is 1000000000"),
        ({"spectral_norm": True}, "spectral normalisation"),
        ({"model": "pvd"}, "kind is 'pvd'"),
    ],
)
def test_settings_that_do_not_fit(tmp_path: Path, changes: dict[str, object], message: str) -> None:
    torch.save(published(small(flow=True), **changes), tmp_path / "model.pt")
    with pytest.raises(CheckpointError, match=message):
        read_points(tmp_path / "model.pt")


@pytest.fixture(scope="module")
def golden(reference: Path) -> dict[str, Tensor]:
    content = np.load(reference / "shapes" / "golden" / "dpm_gaussian_golden.npz")
    return {key: torch.as_tensor(value) for key, value in content.items()}


@pytest.fixture(scope="module")
def original(reference: Path) -> PointGenerator:
    return read_points(reference / "shapes" / "golden" / "dpm_gaussian_random.pt")


def test_the_published_schedule(reference: Path) -> None:
    schedule = np.load(reference / "shapes" / "golden" / "dpm_schedule.npz")
    table = PointTable()
    t = torch.arange(101, dtype=torch.float64) / 100
    np.testing.assert_allclose(table.beta(t).numpy(), schedule["betas"], atol=1e-7)
    np.testing.assert_allclose((table.coefs(t).a ** 2).numpy(), schedule["alpha_bars"], atol=1e-6)
    np.testing.assert_allclose(table.step(t[1:], t[:-1]).noise.numpy(), schedule["sigmas_inflex"][1:], atol=1e-6)


def test_the_originals_networks(golden: dict[str, Tensor], original: PointGenerator) -> None:
    mean, log_variance = original.encoder(golden["x"])
    torch.testing.assert_close(mean, golden["enc_mu"], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(log_variance, golden["enc_logvar"], atol=1e-5, rtol=1e-5)
    t = golden["t"].double() / 100
    noised = original.process.perturb(golden["x"], t, noise=Recorded([golden["e"]])).x
    torch.testing.assert_close(noised, golden["xt"], atol=1e-6, rtol=0)
    clean = PointDenoiser(original.network, original.process)(golden["xt"], t, Given(cond=golden["z"])).x0
    eps = original.process.eps(golden["xt"], clean, t)
    torch.testing.assert_close(eps, golden["eps_pred"], atol=1e-5, rtol=1e-5)


def test_the_originals_sample(golden: dict[str, Tensor], original: PointGenerator) -> None:
    found = original.decode(golden["z"], 64, noise=Recorded(list(golden["noises"])))
    torch.testing.assert_close(found, golden["sample"], atol=1e-5, rtol=1e-5)
