"""How closely noise follows a flow: what any white transport can reach, and what the modes do, a frame and over many."""

from __future__ import annotations

import math

import pytest
from tests.benchmarks.warp_coherence import a_frame, eight_frames, requested

from polyscore.noise import Dither, Nearest, Residual


@pytest.mark.parametrize("name", ["zoom in 5 %", "zoom out 5 %", "rotation 3 degrees"])
def test_dither_follows_as_closely_as_white_noise_can(name: str) -> None:
    found, limit = a_frame(Dither(), requested(name, 64))
    assert found > limit - 0.012
    # 5 % of the rows and of the columns are doubled, or fall together: 1 of 20 cells has a pair, or 1 of 10 is in one
    pairs = {"zoom in 5 %": 0.05, "zoom out 5 %": 0.1, "rotation 3 degrees": 0.0}[name]
    assert limit == pytest.approx((1 - pairs + pairs / math.sqrt(2)) ** 2, abs=0.012)


@pytest.mark.parametrize(
    ("name", "gain"), [("zoom in 5 %", 0.15), ("zoom out 5 %", 0.12), ("rotation 3 degrees", 0.08), ("zoom in 1 %", 0.15)]
)
def test_over_many_frames_what_moves_exactly_follows_best(name: str, gain: float) -> None:
    """The published rounding keeps neighbouring frames alike by moving less than was asked; over time that loses more."""
    published, residual, dither = (eight_frames(motion, requested(name, 64)) for motion in (Nearest(), Residual(), Dither()))
    assert residual > published + gain and dither > published + gain / 2
