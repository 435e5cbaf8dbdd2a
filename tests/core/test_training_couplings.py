"""Couplings are permutations, and the assignments are the least of all permutations."""

from __future__ import annotations

from itertools import permutations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from polyscore.errors import InputError
from polyscore.training import Coupling, Immiscible, Independent, MiniBatchOT, WithinClass

COUPLINGS: list[Coupling] = [Independent(), MiniBatchOT(), Immiscible(), WithinClass(MiniBatchOT()), WithinClass(Immiscible())]


def pairs(size: int, seed: int, *, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
    g = torch.Generator().manual_seed(seed)
    return torch.randn(size, 2, 3, generator=g, dtype=dtype), torch.randn(size, 2, 3, generator=g, dtype=dtype)


@pytest.mark.parametrize("coupling", COUPLINGS, ids=repr)
@settings(max_examples=20, deadline=None)
@given(size=st.integers(1, 12), seed=st.integers(0, 1000), dtype=st.sampled_from([torch.float32, torch.float64, torch.complex64]))
def test_both_marginals_stay_exactly_what_they_were(coupling: Coupling, size: int, seed: int, dtype: torch.dtype) -> None:
    x0, noise = pairs(size, seed, dtype=dtype)
    order = coupling(x0, noise, torch.arange(size) % 3)
    assert sorted(order.tolist()) == list(range(size))  # a permutation: every draw is used once


def cost(x0: Tensor, noise: Tensor, order: tuple[int, ...], power: int) -> float:
    return float((x0 - noise[list(order)]).flatten(1).norm(dim=1).pow(power).sum())


@pytest.mark.parametrize(("coupling", "power"), [(MiniBatchOT(), 2), (Immiscible(), 1)], ids=["squared", "plain"])
@pytest.mark.parametrize("seed", range(5))
def test_the_assignment_is_the_least_of_all_permutations(coupling: Coupling, power: int, seed: int) -> None:
    x0, noise = pairs(6, seed)
    costs = {order: cost(x0, noise, order, power) for order in permutations(range(6))}
    best = tuple(coupling(x0, noise).tolist())
    assert costs[best] == min(costs.values())


def test_squared_and_plain_distances_differ() -> None:
    # Two middle points coincide beside the straight line between the outer ones. Squares shun the one long way (4 > 2 x 1.09),
    # plain distances take it (2 < 2 x 1.04).
    x0, noise = torch.tensor([[0.0, 0.0], [1.0, 0.3]]), torch.tensor([[1.0, 0.3], [2.0, 0.0]])
    assert MiniBatchOT()(x0, noise).tolist() == [0, 1]
    assert Immiscible()(x0, noise).tolist() == [1, 0]


def test_pairs_move_closer() -> None:
    x0, noise = pairs(64, 3)
    paired = (x0 - noise[MiniBatchOT()(x0, noise)]).square().mean()
    assert float(paired) < 0.75 * float((x0 - noise).square().mean())


def test_within_class_assigns_each_class_as_if_it_were_alone() -> None:
    x0, noise = pairs(30, 0)
    cond = torch.randint(0, 3, (30,), generator=torch.Generator().manual_seed(1))
    order = WithinClass()(x0, noise, cond)
    assert torch.equal(cond[order], cond)
    for label in range(3):
        members = (cond == label).nonzero()[:, 0]
        assert torch.equal(order[members], members[MiniBatchOT()(x0[members], noise[members])])


def test_within_class_needs_labels() -> None:
    x0, noise = pairs(4, 0)
    with pytest.raises(InputError, match="cond is NoneType, expected a tensor of 4 labels"):
        WithinClass()(x0, noise)
