"""Policies that were frozen for acting: the numbers of the policy they were made of, whatever becomes of it."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tests.robots.parts import policy
from torch import Tensor

from polyscore.denoisers import Precondition
from polyscore.processes import EDM
from polyscore.robots.acting import Acting
from polyscore.robots.networks import ActionDiT, HoldLast, ScoreGPT
from polyscore.robots.networks.packed import PackedGPT, packed
from polyscore.robots.samplers import SAMPLERS
from polyscore.state import Given


def denoiser(goals: int = 2, hidden: int = 0, *, observed: int = 0) -> Precondition:
    torch.manual_seed(0)
    network: Any = ScoreGPT(6, 3, window=5, goals=goals, width=24, layers=3, heads=4, attention_dropout=0.2, hidden=hidden)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    network = HoldLast(network, observed) if observed else network
    return Precondition(network, EDM(2.0, 0.05), predicts="edm", time="edm").eval()


def given(batch: int, steps: int, goals: int) -> tuple[Tensor, Given]:
    draw = torch.Generator().manual_seed(1)
    state, goal = (torch.randn(batch, n, 6, generator=draw) for n in (steps, goals))
    return torch.randn(batch, steps, 3, generator=draw), Given(cond={"state": state} | ({"goal": goal} if goals else {}))


@pytest.mark.parametrize("goals", [0, 2])
@pytest.mark.parametrize("hidden", [0, 7])
@pytest.mark.parametrize(("batch", "steps"), [(1, 1), (1, 5), (40, 3)])
def test_a_packed_network_says_the_same(goals: int, hidden: int, batch: int, steps: int) -> None:
    model = denoiser(goals, hidden)
    x, told = given(batch, steps, goals)
    fast = Acting(model)
    assert isinstance(fast.network, PackedGPT)
    with torch.no_grad():
        for t in (1.0, 0.4, 0.4, 0.01):
            torch.testing.assert_close(fast(x, t, told).x0, model(x, t, told).x0, atol=2e-6, rtol=2e-6)
        times = torch.rand(batch, dtype=torch.float64) * 0.9 + 0.1
        torch.testing.assert_close(fast(x, times, told).x0, model(x, times, told).x0, atol=2e-6, rtol=2e-6)
        whole = fast(x.double(), 0.4, told).x0
        assert whole.dtype == torch.float64
        torch.testing.assert_close(whole, model(x.double(), 0.4, told).x0, atol=2e-6, rtol=2e-6)


def test_a_chunk_of_held_states_too_and_other_networks_as_they_are() -> None:
    model = denoiser(observed=2)
    x, told = given(3, 5, 2)
    with torch.no_grad():
        torch.testing.assert_close(Acting(model)(x, 0.3, told).x0, model(x, 0.3, told).x0, atol=2e-6, rtol=2e-6)
    other = ActionDiT(6, 2, window=4, width=16, layers=1, heads=2)
    assert packed(other) is other


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("guidance", [0.0, 1.0, 2.0])
def test_a_frozen_policy_acts_alike(sampler: str, guidance: float) -> None:
    slow = policy(sampler=sampler, guidance=guidance)
    fast = slow.frozen()
    observations = torch.randn(6, 2, 8, generator=torch.Generator().manual_seed(4))
    for seen in observations:
        torch.testing.assert_close(fast.act(seen, seen, seed=3), slow.act(seen, seen, seed=3), atol=1e-5, rtol=1e-5)


def test_it_keeps_the_weights_it_was_made_of() -> None:
    slow = policy()
    seen = torch.ones(8)
    before, fast = slow.act(seen, seen, seed=1), slow.frozen()
    with torch.no_grad():
        for parameter in slow.parameters():
            parameter.mul_(1.5)
    slow.reset()
    assert float((slow.act(seen, seen, seed=1) - before).abs().max()) > 1e-3
    torch.testing.assert_close(fast.act(seen, seen, seed=1), before, atol=1e-6, rtol=1e-6)


def test_levels_are_forgotten_before_they_are_many() -> None:
    fast = Acting(denoiser(0))
    x, told = given(1, 1, 0)
    for i in range(1005):
        fast._level(x, 0.1 + i / 2000)
    assert len(fast._levels) == 5
