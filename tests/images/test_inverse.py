"""Inverse problems on the shipped digits: every solver restores what is seen and guesses the rest better than nothing does."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tests.benchmarks.inverse_problems import measured, operators, psnr
from tests.evaluation_cells import Record
from torch import Tensor

from polyscore.guidance import KnownRegion
from polyscore.images import ImageGenerator, digits
from polyscore.inverse import (
    Blind,
    Downsample,
    GainOffset,
    Keep,
    Measurement,
    Posterior,
    Skipped,
    acquire,
    none,
    red_diff,
    shared_start,
)
from polyscore.samplers import DDIM, Ancestral, RePaint, sample
from polyscore.state import Given

pytest.importorskip("sklearn")
COUNT = 16
IMAGES = digits(train=False).images[::22][:COUNT]


@pytest.fixture(scope="module")
def model() -> ImageGenerator:
    return ImageGenerator.from_pretrained("digits")


def unknown(count: int = COUNT) -> Given:
    return Given(cond=torch.full((count,), 10))


@torch.no_grad()
def solved(model: Any, denoiser: Any, *, count: int = COUNT, steps: int = 20, sampler: Any = None, **more: Any) -> Tensor:
    like, process = torch.empty(count, 1, 8, 8), model.denoiser.process
    out: Tensor = sample(
        sampler or Ancestral(), denoiser, process, like, steps=steps, given=unknown(count), **{"noise": 0, **more}
    )
    return out


@pytest.mark.parametrize("problem", ["mask", "blur", "downsample", "clip", "fourier"])
def test_every_solver_restores(problem: str, model: ImageGenerator, record_property: Record) -> None:
    """At least 2.5 dB above what a draw that knows nothing is worth; RED-diff with twice the steps and half of the time."""
    network: Any = model.denoiser
    process = network.process
    seen = measured(operators()[problem], IMAGES, 0)
    blind = psnr(solved(model, network), IMAGES).mean()
    with torch.no_grad():
        descent = red_diff(seen, network, process, torch.zeros_like(IMAGES), steps=40, weight=0.03, given=unknown())
    found = {
        "DPS": solved(model, Posterior(network, process, (seen,), 0.1, none)),
        "Skipped": solved(model, Skipped(network, process, (seen,), 3.0)),
        "RED-diff": descent,
    }
    values = {name: float(psnr(x, IMAGES).mean()) for name, x in found.items()}
    record_property(problem, ", ".join(f"{name} {value:.1f}" for name, value in values.items()) + f"; blind {blind:.1f}")
    assert min(values.values()) > blind + 2.5


def test_two_measurements_are_better_than_each(model: ImageGenerator, record_property: Record) -> None:
    """Steered Diffusion: both misfits stay within 20 % of what one measurement alone leaves, and the image is better."""
    network, process = model.denoiser, model.denoiser.process
    one, two = (measured(operators()[name], IMAGES, 1) for name in ("downsample", "mask"))
    runs = {
        name: solved(model, Skipped(network, process, which, 1.0, repeats=3))
        for name, which in (("one", (one,)), ("two", (two,)), ("both", (one, two)))
    }
    values = {name: float(psnr(x, IMAGES).mean()) for name, x in runs.items()}
    record_property("steered diffusion", ", ".join(f"{name} {value:.1f} dB" for name, value in values.items()))
    assert values["both"] > max(values["one"], values["two"]) + 0.5
    assert one.misfit(runs["both"]).mean() < 0.2 * one.misfit(runs["two"]).mean()
    assert two.misfit(runs["both"]).mean() < 0.2 * two.misfit(runs["one"]).mean()


def test_a_known_half_stays_and_resampling_helps(model: ImageGenerator, record_property: Record) -> None:
    mask = torch.zeros(8, 8)
    mask[:4] = 1
    region = solved(model, KnownRegion(model.denoiser, IMAGES, mask))
    again = solved(model, model.denoiser, sampler=RePaint(IMAGES, mask, jump=4, resamplings=4))
    for x in (region, again):
        torch.testing.assert_close(x * mask, IMAGES * mask)
    below = [float(psnr(x[:, :, 4:], IMAGES[:, :, 4:]).mean()) for x in (region, again, solved(model, model.denoiser))]
    record_property("known region", f"KnownRegion {below[0]:.1f}, RePaint {below[1]:.1f}, blind {below[2]:.1f} dB")
    assert min(below[:2]) > below[2] + 0.4


def test_gain_and_offset_are_found(model: ImageGenerator, record_property: Record) -> None:
    """GDP: y = .6 x + .2 with nothing else known."""
    operator = GainOffset(COUNT)
    seen = Measurement(operator, 0.6 * IMAGES + 0.2, 0.05)
    blind = Blind(Skipped(model.denoiser, model.denoiser.process, (seen,), 1.0), rate=0.05, steps=5, after=0.7)
    x = solved(model, blind, steps=30)
    as_seen = Skipped(model.denoiser, model.denoiser.process, (Measurement(lambda v: v, seen.y, 0.05),), 1.0)
    values = [float(psnr(v, IMAGES).mean()) for v in (x, solved(model, as_seen, steps=30))]
    gain, offset = operator.gain.mean().item(), operator.offset.mean().item()
    record_property("blind", f"gain {gain:.2f}, offset {offset:.2f}; {values[0]:.1f} dB, degradation ignored {values[1]:.1f}")
    assert gain == pytest.approx(0.6, abs=0.12) and offset == pytest.approx(0.2, abs=0.12)
    assert values[0] > values[1] + 2


def test_a_start_for_all(model: ImageGenerator, record_property: Record) -> None:
    """Super-resolution in four steps: the best of 24 starts on 8 images serves 16 others."""
    known = digits(train=True).images[::170][:8]

    def restorer(images: Tensor) -> Any:
        wrapped = Skipped(model.denoiser, model.denoiser.process, (measured(Downsample(2), images, 3),), 3.0)
        return lambda z: solved(model, wrapped, count=len(z), steps=4, sampler=DDIM(), init=z)

    def gap(a: Tensor, b: Tensor) -> Tensor:
        return (a - b).square().flatten(1).mean(1)

    candidates = torch.randn(24, 1, 8, 8, generator=torch.Generator().manual_seed(4))
    start, _ = shared_start(restorer(known), known, candidates, distance=gap)
    _, others = shared_start(restorer(IMAGES), IMAGES, candidates, distance=gap)
    mine = gap(restorer(IMAGES)(start.expand(COUNT, -1, -1, -1)), IMAGES).mean()
    better = float(10 * torch.log10(others.mean() / mine))
    record_property("shared start", f"+{better:.2f} dB over the mean start")
    assert better > 0.2


def test_pixels_that_are_asked_for_say_more(model: ImageGenerator, record_property: Record) -> None:
    """Ten of 64 pixels of six digits, four particles: mean error below that of pixels at random, three times over."""
    errors: dict[str, list[float]] = {"asked": [], "random": []}
    for number in range(6):
        image = IMAGES[2 * number : 2 * number + 1]

        def estimate(mask: Tensor, image: Tensor = image) -> Tensor:
            seen = Measurement(Keep(mask.view(8, 8).float()), image * mask.view(8, 8), 0.05)
            return solved(model, Skipped(model.denoiser, model.denoiser.process, (seen,), 2.0), count=4, steps=6)

        masks = {"asked": acquire(estimate, 64, 10, noise=0.1)}
        order = torch.randperm(64, generator=torch.Generator().manual_seed(number))
        masks["random"] = torch.zeros(64, dtype=torch.bool).scatter(0, order[:10], 1)
        for name, mask in masks.items():
            errors[name].append(float((estimate(mask).mean(0) - image[0]).abs().mean()))
    asked, random = (sum(errors[name]) / 6 for name in ("asked", "random"))
    record_property("active measurement", f"MAE {asked:.3f}, at random {random:.3f}")
    assert asked < random
