"""Parity with the original StoRM code on its own checkpoint (numbers in the reference folder)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from polyscore.audio import SpeechEnhancer, upstream
from polyscore.audio.methods import choose
from polyscore.audio.storm import StochasticRegeneration
from polyscore.noise import Recorded
from polyscore.samplers import sample

FORWARD, SAMPLER = 1e-4, 1e-3  # relative to the maximum


@pytest.fixture(scope="module")
def folder(reference: Path) -> Path:
    return reference / "audio" / "golden"


@pytest.fixture(scope="module")
def golden(folder: Path) -> Mapping[str, Any]:
    with np.load(folder / "storm_storm_nf8_golden.npz", allow_pickle=False) as file:
        return {name: file[name] for name in file.files}


@pytest.fixture(scope="module")
def published(folder: Path) -> upstream.Published:
    return upstream.read(folder / "storm_storm_nf8.ckpt")


@pytest.fixture(scope="module")
def model(published: upstream.Published) -> StochasticRegeneration:
    assert isinstance(published.model, StochasticRegeneration)
    return published.model


def spec(array: np.ndarray[Any, Any]) -> Tensor:
    """A complex tensor from a real array with a trailing (re, im)."""
    return torch.view_as_complex(torch.from_numpy(np.ascontiguousarray(array)))


def distance(ours: Tensor, theirs: Tensor) -> float:
    return float((ours - theirs).abs().max() / theirs.abs().max())


@torch.no_grad()
def test_predictor_process_and_score(golden: Mapping[str, Any], model: StochasticRegeneration) -> None:
    given = model.given(spec(golden["Y"]))
    assert distance(given.y, spec(golden["denoised"])) < FORWARD
    t = float(golden["t"][0])
    perturbed = model.process.perturb(spec(golden["X"]), t, given=given, noise=Recorded([spec(golden["z"])]))
    assert distance(perturbed.x, spec(golden["x_t"])) < FORWARD
    assert distance(model.score(spec(golden["x_t"]), t, given), spec(golden["score"])) < FORWARD


@torch.no_grad()
def test_losses(golden: Mapping[str, Any], model: StochasticRegeneration) -> None:
    given, t, sigma = model.given(spec(golden["Y"])), float(golden["t"][0]), float(golden["std"][0])
    score = 0.5 * (model.score(spec(golden["x_t"]), t, given) * sigma + spec(golden["z"])).abs().square().sum()
    predictor = 0.5 * (given.y - spec(golden["X"])).abs().square().sum()
    assert score.item() == pytest.approx(float(golden["loss_score"]), rel=1e-4)
    assert predictor.item() == pytest.approx(float(golden["loss_denoiser"]), rel=1e-4)
    assert 0.5 * (score + predictor).item() == pytest.approx(float(golden["loss_total"]), rel=1e-4)


@pytest.mark.parametrize(("name", "sampler"), [("pc_ald_N4", "pc-2023"), ("pc_none_N4", "predictor-2023")])
@torch.no_grad()
def test_samplers(
    golden: Mapping[str, Any], model: StochasticRegeneration, published: upstream.Published, name: str, sampler: str
) -> None:
    given = model.given(spec(golden["Y"]))
    method = choose(model.process, sampler=sampler, steps=4, t_eps=published.t_eps)
    assert method.nfe == int(golden[f"{name}_nfe"])
    noise = Recorded([spec(draw) for draw in golden["pc_ald_N4_noise"]])
    x = sample(method.sampler, model, model.process, given.y, steps=4, grid=method.grid, given=given, noise=noise)
    assert distance(x, spec(golden[f"{name}_sample"])) < SAMPLER
    assert published.codec is not None
    wave = published.codec.decode(x[:, 0], 7800)[0] * float(golden["norm_factor"])
    # the original keeps the padding frames in the inverse transform, which changes the wave's last 227 samples
    assert distance(wave[:7500], torch.from_numpy(golden[f"{name}_wave"])[:7500]) < SAMPLER


def test_enhance_without_diffusion(golden: Mapping[str, Any], folder: Path) -> None:
    enhancer = SpeechEnhancer.from_pretrained(folder / "storm_storm_nf8.ckpt")
    assert str(enhancer.method(preset="paper")) == "sampler pc-2023, 50 steps, 100 network calls"
    wave = enhancer.enhance(torch.from_numpy(golden["noisy"]), 16000, sampler="regression")[0]
    assert distance(wave[:7500], torch.from_numpy(golden["enhance_denoiser_only"])[:7500]) < FORWARD
