"""Scores of clouds and of sets of clouds, against closed forms and brute force."""

from __future__ import annotations

import itertools
import math
import sys

import pytest
import torch
from torch import Tensor

from polyscore.errors import InputError, MissingExtraError
from polyscore.shapes.metrics import (
    chamfer,
    coverage,
    earth_mover,
    minimum_matching,
    nearest_neighbour_accuracy,
    occupancy_divergence,
    pairwise,
)


def clouds(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_chamfer_is_the_sum_of_both_mean_squared_distances() -> None:
    x, y = clouds(3, 40), clouds(3, 25, seed=1)
    square = torch.cdist(x, y) ** 2
    torch.testing.assert_close(chamfer(x, y), square.amin(2).mean(1) + square.amin(1).mean(1))
    assert torch.equal(chamfer(x, x[:, torch.randperm(40)]), torch.zeros(3, dtype=torch.float64))
    torch.testing.assert_close(chamfer(2 * x, 2 * y), 4 * chamfer(x, y))


def test_the_derivatives_are_exact() -> None:
    x, y = clouds(1, 6).requires_grad_(), clouds(1, 6, seed=1).requires_grad_()
    assert torch.autograd.gradcheck(chamfer, (x, y))
    assert torch.autograd.gradcheck(earth_mover, (x, y))


def test_earth_mover_is_the_best_of_all_bijections() -> None:
    x, y = clouds(2, 6), clouds(2, 6, seed=1)
    every = torch.stack([(x - y[:, list(order)]).norm(dim=-1).mean(1) for order in itertools.permutations(range(6))])
    torch.testing.assert_close(earth_mover(x, y), every.amin(0))
    shift = torch.tensor([3.0, 4.0, 0.0], dtype=torch.float64)
    torch.testing.assert_close(earth_mover(x, x.flip(1) + shift), torch.full((2,), 5.0, dtype=torch.float64))


def test_scores_of_sets_on_distances_written_by_hand() -> None:
    d = torch.tensor([[1.0, 5.0, 9.0], [2.0, 7.0, 8.0], [6.0, 3.0, 4.0]])  # nearest reference: 0, 0, 1
    assert minimum_matching(d) == pytest.approx((1 + 3 + 4) / 3)
    assert coverage(d) == pytest.approx(2 / 3)


def test_the_nearest_neighbour_test_tells_far_sets_apart_and_equal_ones_not() -> None:
    def accuracy(x: Tensor, y: Tensor) -> float:
        return nearest_neighbour_accuracy(*(torch.cdist(a, b) for a, b in ((x, x), (x, y), (y, y))))

    x = clouds(60)
    assert accuracy(x, x + 100) == 1.0
    assert accuracy(x, x + 1e-6) == 0.0  # memorised: everybody's nearest is the copy in the other set
    assert abs(accuracy(clouds(800), clouds(800, seed=1)) - 0.5) < 0.05


def test_pairwise_holds_every_pair() -> None:
    x, y = clouds(3, 12), clouds(4, 12, seed=1)
    table = pairwise(chamfer, x, y)
    assert table.shape == (3, 4)
    torch.testing.assert_close(table[2, 1:2], chamfer(x[2:], y[1:2]))


def test_the_divergence_of_places_is_that_of_the_counts() -> None:
    left, right = torch.tensor([-0.25, 0.0, 0.0]), torch.tensor([0.25, 0.0, 0.0])
    one, two = left.expand(1, 8, 3), torch.stack([left, right])[None]
    assert occupancy_divergence(one, one) == pytest.approx(0, abs=1e-12)
    assert occupancy_divergence(one, right.expand(2, 5, 3)) == pytest.approx(1)
    # P = (1, 0), Q = (1/2, 1/2): H(3/4, 1/4) - 1/2
    mixed = -(0.75 * math.log2(0.75) + 0.25 * math.log2(0.25)) - 0.5
    assert occupancy_divergence(one, two) == pytest.approx(mixed)
    # a corner of the cube is counted in a node of the ball
    assert occupancy_divergence(torch.full((1, 1, 3), 0.5), torch.full((1, 1, 3), 0.499)) == pytest.approx(0, abs=1e-12)


def test_refusals(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match=r"chamfer: clouds of shapes \(5, 3\)"):
        chamfer(clouds(5), clouds(5))
    with pytest.raises(InputError, match="4 and 5 points"):
        earth_mover(clouds(1, 4), clouds(1, 5))
    with pytest.raises(InputError, match="1-NNA"):
        nearest_neighbour_accuracy(torch.zeros(2, 2), torch.zeros(2, 3), torch.zeros(2, 2))
    with pytest.raises(InputError, match="inside"):
        occupancy_divergence(torch.ones(1, 2, 3), torch.zeros(1, 2, 3))
    monkeypatch.setitem(sys.modules, "scipy.spatial", None)
    with pytest.raises(MissingExtraError, match=r"polyscore\[shapes\]"):
        chamfer(clouds(1, 4), clouds(1, 4))
