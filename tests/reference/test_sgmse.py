"""Parity with the original SGMSE+ code: network, transforms, process, loss, samplers (numbers in the reference folder)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from polyscore.audio import upstream
from polyscore.audio.codec import pad_frames
from polyscore.audio.networks.ncsnpp import NCSNpp
from polyscore.noise import Recorded
from polyscore.processes import OUVE
from polyscore.samplers import grids, sample
from polyscore.samplers.adaptive import RK45
from polyscore.samplers.langevin import AnnealedLangevin, Langevin, PredictorCorrector
from polyscore.state import Given

FORWARD, SAMPLER = 1e-4, 1e-3  # relative to the maximum


@pytest.fixture(scope="module")
def golden(reference: Path) -> Mapping[str, Any]:
    with np.load(reference / "audio" / "golden" / "sgmse_ouve_ncsnpp_nf8_golden.npz", allow_pickle=False) as file:
        return {name: file[name] for name in file.files}


@pytest.fixture(scope="module")
def published(reference: Path) -> upstream.Published:
    return upstream.read(reference / "audio" / "golden" / "sgmse_ouve_ncsnpp_nf8.ckpt")


def spec(array: np.ndarray[Any, Any]) -> Tensor:
    """A complex tensor from a real array with a trailing (re, im)."""
    return torch.view_as_complex(torch.from_numpy(np.ascontiguousarray(array)))


def distance(ours: Tensor, theirs: Tensor) -> float:
    return float((ours - theirs).abs().max() / theirs.abs().max())


# ---------------------------------------------------------------------- network


def test_names_and_order_of_all_parameters(reference: Path) -> None:
    names = json.loads((reference / "audio" / "golden" / "formula_ncsnpp_names.json").read_text())
    with torch.device("meta"):
        network = NCSNpp()
    ours = [[name, list(value.shape)] for name, value in network.named_parameters()]
    assert ours == names
    assert list(network.state_dict()) == [name for name, _ in names]
    assert sum(value.numel() for value in network.parameters()) == 65_590_822


def formula_weights(network: NCSNpp) -> None:
    """The formula of the reference folder's README, in float64, cast last."""
    for i, (name, parameter) in enumerate(network.named_parameters()):
        w = np.cos(0.7 * np.arange(parameter.numel(), dtype=np.float64) + 1.3 * i)
        shape = parameter.shape
        if name == "all_modules.0.W":
            w = 16 * w
        elif name.endswith((".bias", ".b")):
            w = 0.02 * w
        elif len(shape) == 1 and name.endswith(".weight"):
            w = 1 + 0.1 * w
        elif len(shape) == 2 and name.endswith(".W"):
            w = w * np.sqrt(1 / shape[0])
        else:
            w = w * np.sqrt(shape[0] / parameter.numel())
        parameter.copy_(torch.from_numpy(w.astype(np.float32)).reshape(shape))


@torch.no_grad()
def test_full_size_network_under_formula_weights(reference: Path) -> None:
    with np.load(reference / "audio" / "golden" / "formula2_ncsnpp.npz", allow_pickle=False) as file:
        out, t = spec(file["out"]), torch.from_numpy(file["t"])
    n = np.arange(256 * 64, dtype=np.float64).reshape(1, 1, 256, 64)
    x = np.cos(0.01 * n) + 1j * np.sin(0.013 * n)
    y = 0.5 * np.cos(0.017 * n) + 0.5j * np.sin(0.011 * n)
    network = NCSNpp().eval()
    formula_weights(network)
    inputs = torch.from_numpy(np.concatenate([x, y], axis=1).astype(np.complex64))
    assert distance(network(inputs, t), out) < FORWARD


@torch.no_grad()
def test_moving_average_and_raw_weights(reference: Path, golden: Mapping[str, Any], published: upstream.Published) -> None:
    x, given, t = spec(golden["x_t"]), Given(y=spec(golden["Y"])), float(golden["t"][0])
    score = spec(golden["forward_ema"])
    network = published.model.network
    assert distance(network(torch.cat([x, spec(golden["Y"])], 1), torch.tensor([t])), spec(golden["dnn_ema"])) < FORWARD
    assert distance(published.model.score(x, t, given), score) < FORWARD
    prediction = published.model(x, t, given)
    assert distance(published.model.process.score(x, prediction.x0, t, given=given), score) < FORWARD
    raw = upstream.read(reference / "audio" / "golden" / "sgmse_ouve_ncsnpp_nf8.ckpt", weights="raw")
    assert distance(raw.model.score(x, t, given), spec(golden["forward_raw"])) < FORWARD
    assert distance(raw.model.score(x, t, given), score) > 0.1  # or the choice would mean nothing


@torch.no_grad()
def test_two_samples_at_two_times(golden: Mapping[str, Any], published: upstream.Published) -> None:
    x, y = spec(golden["x_t"]), spec(golden["Y"])
    x, y = torch.cat([x, 1.3 * x.flip(-1)]), torch.cat([y, 0.8 * y.flip(-1)])
    score = published.model.score(x, torch.from_numpy(golden["t_b2"]), Given(y=y))
    assert distance(score, spec(golden["forward_ema_b2"])) < FORWARD


# ---------------------------------------------------------------------- signal path, process, loss


def test_waves_to_network_input_and_back(golden: Mapping[str, Any], published: upstream.Published) -> None:
    noisy = torch.from_numpy(golden["noisy"])
    assert noisy.abs().max().item() == pytest.approx(float(golden["norm_factor"]))
    assert published.codec is not None
    encoded = published.codec.encode(noisy / noisy.abs().max())
    assert distance(encoded, spec(golden["spec_fwd_noisy"])) < 1e-5
    padded = pad_frames(encoded, 64, published.frame_padding)[:, None]
    assert distance(padded, spec(golden["Y"])) < 1e-5
    assert distance(published.codec.decode(padded[:, 0], 7800), noisy / noisy.abs().max()) < 1e-5


def test_process_on_a_grid_of_times(golden: Mapping[str, Any], published: upstream.Published) -> None:
    process = published.model.process
    assert process == OUVE(theta=1.5, sigma_min=0.05, sigma_max=0.5)
    t = torch.from_numpy(golden["t_grid"]).double()
    a, b, s = process.coefs_of(t)
    rates = process.rates(t)
    ours = {
        "mean_coef_x0": a,
        "mean_coef_y": b,
        "std_grid": s,
        "drift_at_x0_y1": rates.h,
        "diffusion_grid": rates.g2.sqrt(),
    }
    for name, value in ours.items():
        assert distance(value, torch.from_numpy(golden[name]).double()) < 1e-6, name
    x, y, t37 = spec(golden["X"]), spec(golden["Y"]), float(golden["t"][0])
    perturbed = process.perturb(x, t37, given=Given(y=y), noise=Recorded([spec(golden["z"])]))
    assert distance(perturbed.x, spec(golden["x_t"])) < 1e-6


@torch.no_grad()
def test_score_matching_loss(golden: Mapping[str, Any], published: upstream.Published) -> None:
    t = float(golden["t"][0])
    score = published.model.score(spec(golden["x_t"]), t, Given(y=spec(golden["Y"])))
    sigma = published.model.process.coefs_of(t).s.float()
    loss = 0.5 * (score * sigma + spec(golden["z"])).abs().square().sum()
    assert loss.item() == pytest.approx(float(golden["loss_score_matching"]), rel=1e-5)


# ---------------------------------------------------------------------- samplers


@pytest.mark.parametrize(
    ("name", "steps", "corrector"),
    [
        ("pc_ald_N4", 4, AnnealedLangevin(snr=0.5)),
        ("pc_none_N4", 4, None),
        ("pc_langevin_N3", 3, Langevin(snr=0.1, reduce="batch")),
        ("pc_ald2_N2", 2, AnnealedLangevin(snr=0.33, steps=2)),
    ],
)
@torch.no_grad()
def test_predictor_corrector(
    golden: Mapping[str, Any], published: upstream.Published, name: str, steps: int, corrector: Any
) -> None:
    y = spec(golden["Y"])
    noise = Recorded([spec(draw) for draw in golden["pc_ald_N4_noise"]])
    x = sample(
        PredictorCorrector(corrector=corrector),
        published.model,
        published.model.process,
        y,
        steps=steps,
        grid=grids.SGMSE(0.03),
        given=Given(y=y),
        noise=noise,
    )
    assert noise.used == int(golden[f"{name}_ncalls"])
    assert distance(x, spec(golden[f"{name}_sample"])) < SAMPLER
    # the original keeps the padding frames in the inverse transform, which changes the wave's last 227 samples
    assert published.codec is not None
    wave = published.codec.decode(x[:, 0], 7800)[0] * float(golden["norm_factor"])
    theirs = torch.from_numpy(golden[f"{name}_wave"])
    assert distance(wave[:7500], theirs[:7500]) < SAMPLER


@torch.no_grad()
def test_probability_flow_by_adaptive_runge_kutta(golden: Mapping[str, Any], published: upstream.Published) -> None:
    """The same number of evaluations, and as close as rounding allows.

    The step control magnifies rounding: with the original formulas and scipy, scaling the start by 1 + 1e-6 moves the end by
    7e-3, and float64 by 5e-3 of the maximum; the error of the solver itself, at its tolerance of 1e-3, is 6e-2.
    """
    y = spec(golden["Y"])
    calls = 0

    def counted(x: Tensor, t: float, given: Given) -> Any:
        nonlocal calls
        calls += 1
        return published.model(x, t, given)

    x = sample(
        RK45(rtol=1e-3, atol=1e-3),
        counted,
        published.model.process,
        y,
        steps=1,
        grid=[1.0, 0.03],
        given=Given(y=y),
        noise=Recorded([spec(golden["ode_prior_noise"])]),
    )
    assert calls == int(golden["ode_rk45_nfe"])
    assert distance(x, spec(golden["ode_rk45_sample"])) < 2e-2
