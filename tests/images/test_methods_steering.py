"""Steering of digits: selection, powers, search and seeds through the objects of `polyscore.steering`."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tests.evaluation_cells import Record
from torch import Tensor

from polyscore.images import ImageGenerator
from polyscore.samplers import DDIM, Ancestral, sample
from polyscore.state import NONE, Given
from polyscore.steering import (
    Carried,
    Counted,
    FeynmanKac,
    Rewarded,
    Tempered,
    best_of,
    rank_seeds,
    search_neighbours,
)


@pytest.fixture(scope="module")
def model() -> ImageGenerator:
    return ImageGenerator.from_pretrained("digits")


def ink(x0: Any, given: Given = NONE) -> Tensor:
    """Mean brightness, (B,)."""
    out: Tensor = x0.flatten(1).mean(1)
    return out


@torch.no_grad()
def drawn(model: Any, sampler: Any, count: int, *, steps: int = 15, digit: int = 10, seed: int = 0, **more: Any) -> Tensor:
    given = Given(cond=torch.full((count,), digit))
    like, process = torch.empty(count, 1, 8, 8), model.denoiser.process
    denoiser = more.pop("denoiser", model.denoiser)
    out: Tensor = sample(sampler, denoiser, process, like, steps=steps, given=given, noise=seed, **more)
    return out


def test_selection_beats_the_best_of_as_many(model: ImageGenerator, record_property: Record) -> None:
    """Ink of the best of 8 at equal calls, over 16 groups."""
    plain = best_of(drawn(model, Ancestral(), 128), ink, 8)
    steered = best_of(drawn(model, FeynmanKac(Ancestral(), Rewarded(ink, 60.0), group=8, every=3), 128), ink, 8)
    record_property("feynman-kac", f"ink {ink(steered).mean():.3f}, best of 8 {ink(plain).mean():.3f}")
    assert ink(steered).mean() > ink(plain).mean() + 0.01


def test_a_power_narrows_a_class(model: ImageGenerator, record_property: Record) -> None:
    """Power 1.15; in 64 dimensions the weights of 2 leave one particle of 64."""
    x, y = (
        drawn(model, sampler, 64, steps=30, digit=3)
        for sampler in (Ancestral(), FeynmanKac(Tempered((1.15,)), Carried(), group=64))
    )
    wide, narrow = ((v - v.mean(0)).square().mean().item() for v in (x, y))
    kinds = len({tuple(row) for row in y.flatten(1).tolist()})
    record_property("tempered", f"variance x {narrow / wide:.2f}, {kinds} of 64 distinct")
    assert 0.3 * wide < narrow < 0.95 * wide
    assert kinds > 16


def test_neighbours_raise_the_reward(model: ImageGenerator, record_property: Record) -> None:
    """Eight pivots, three rounds of four: 13 draws each, against the best of 13."""
    counted = Counted(model.denoiser)

    def draw(z: Tensor) -> Tensor:
        return drawn(model, DDIM(), len(z), steps=8, init=z, denoiser=counted)

    z = torch.randn(8, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    _, _, rewards = search_neighbours(draw, ink, z, rounds=3, neighbours=4, radius=0.5)
    assert counted.calls == 8 * 13 * 8
    random = torch.randn(8 * 13, 1, 8, 8, generator=torch.Generator().manual_seed(1))
    plain = ink(best_of(draw(random), ink, 13)).mean()
    record_property("search", f"ink {rewards[-1].mean():.3f}, start {rewards[0].mean():.3f}, best of 13 {plain:.3f}")
    assert rewards[-1].mean() > rewards[0].mean() + 0.05
    assert rewards[-1].mean() > plain - 0.03


def test_seeds_have_their_own_ink(model: ImageGenerator, record_property: Record) -> None:
    """Ten digits of the same 24 seeds in six steps: how much ink a seed gives carries over from digits to others."""
    z = torch.randn(24, 1, 8, 8, generator=torch.Generator().manual_seed(2))
    scores = torch.stack([ink(drawn(model, DDIM(), 24, steps=6, digit=digit, init=z)) for digit in range(10)])
    ranking = rank_seeds(scores, permutations=60)
    record_property("rank_seeds", f"transfer {ranking.transfer:.2f}, chance {ranking.chance:.2f}")
    assert ranking.matters
    assert torch.equal(ranking.order, rank_seeds(scores, permutations=60).order)
