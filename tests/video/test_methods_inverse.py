"""Clips through the objects of the other domains: super-resolution, a known first frame, selection."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tests.evaluation_cells import Record
from torch import Tensor

from polyscore.guidance import KnownRegion
from polyscore.inverse import Downsample, Measurement, Posterior, Skipped, red_diff
from polyscore.samplers import Ancestral, sample
from polyscore.state import NONE, Given
from polyscore.steering import FeynmanKac, Rewarded, best_of
from polyscore.video import Animator
from polyscore.video.data import MovingDigits

COUNT, SHAPE = 3, (3, 4, 24, 24)


@pytest.fixture(scope="module")
def model() -> Animator:
    return Animator.from_pretrained("moving-digits")


@pytest.fixture(scope="module")
def film() -> Tensor:
    return MovingDigits(frames=SHAPE[1], size=SHAPE[2:], digits=(1, 1))(range(500, 500 + COUNT)).film


@torch.no_grad()
def solved(model: Animator, denoiser: Any, sampler: Any = None, count: int = COUNT, steps: int = 12) -> Tensor:
    like, given = torch.empty(count, *SHAPE), Given(cond=model.told(count))
    process: Any = model.denoiser.process
    out: Tensor = sample(sampler or Ancestral(), denoiser, process, like, steps=steps, given=given, noise=0)
    return out


def psnr(x: Tensor, film: Tensor) -> float:
    return float(-10 * ((x.clamp(-1, 1) - film) / 2).square().flatten(1).mean(1).log10().mean())


def test_frames_of_a_quarter_of_the_pixels(model: Animator, film: Tensor, record_property: Record) -> None:
    process: Any = model.denoiser.process
    operator = Downsample(2)
    seen = Measurement(operator, operator(film), 0.05)
    start = seen.y.repeat_interleave(2, -1).repeat_interleave(2, -2)
    found = {
        "Posterior": solved(model, Posterior(model.denoiser, process, (seen,), 2.0)),
        "Skipped": solved(model, Skipped(model.denoiser, process, (seen,), 3.0)),
        "RED-diff": red_diff(
            seen, model.denoiser, process, start, steps=24, weight=0.03, rate=0.05, given=Given(cond=model.told(COUNT))
        ),
    }
    values = {name: psnr(x, film) for name, x in found.items()}
    blind = psnr(solved(model, model.denoiser), film)
    record_property("super-resolution", ", ".join(f"{n} {v:.1f}" for n, v in values.items()) + f"; blind {blind:.1f} dB")
    assert min(values.values()) > blind + 4


def test_a_first_frame_that_the_network_is_not_told(model: Animator, film: Tensor, record_property: Record) -> None:
    mask = torch.zeros(SHAPE[1], 1, 1)
    mask[0] = 1
    x, blind = solved(model, KnownRegion(model.denoiser, film, mask)), solved(model, model.denoiser)
    assert torch.equal(x[:, :, 0], film[:, :, 0])
    gaps = [float((v[:, :, 1] - film[:, :, 0]).abs().mean()) for v in (x, blind, film)]
    record_property("known region", f"second frame off the first by {gaps[0]:.2f}, blind {gaps[1]:.2f}, real {gaps[2]:.2f}")
    assert gaps[0] < 0.95 * gaps[1]


def test_bright_clips_are_selected(model: Animator, record_property: Record) -> None:
    def light(x0: Any, given: Given = NONE) -> Tensor:
        out: Tensor = x0.flatten(1).mean(1)
        return out

    plain = solved(model, model.denoiser, count=8)
    steered = solved(model, model.denoiser, FeynmanKac(Ancestral(), Rewarded(light, 40.0), group=4, every=3), count=8)
    best, kept = (float(light(best_of(x, light, 4)).mean()) for x in (plain, steered))
    record_property("feynman-kac", f"light {kept:.3f}, best of 4 {best:.3f}, all {light(plain).mean():.3f}")
    assert light(steered).mean() > light(plain).mean() + 0.02
