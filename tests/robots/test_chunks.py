"""Chunks of actions: which plan acts when, ensembles against their closed form, committed actions to the bit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.robots.parts import demonstrations
from torch import Tensor

from polyscore.denoisers import Precondition
from polyscore.errors import InputError
from polyscore.hub import save
from polyscore.processes import EDM
from polyscore.robots.chunks import ChunkPolicy
from polyscore.robots.execution import Committed, Ensembled, Receding
from polyscore.robots.features import First
from polyscore.robots.networks import ActionDiT, ActionUNet, HoldLast, ScoreGPT
from polyscore.robots.normalise import Normaliser, Scaling
from polyscore.robots.policy import Policy
from polyscore.robots.samplers import SAMPLERS
from polyscore.robots.sampling import Sampling

OBSERVED, WINDOW = 2, 9  # eight steps ahead


def policy(execution: Any, *, goals: int = 1, network: Any = None, **sampling: Any) -> ChunkPolicy:
    torch.manual_seed(2)
    net = network or ActionDiT(6, 2, window=WINDOW, observed=OBSERVED, goals=goals, width=16, layers=2, heads=2)
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(0.15 * torch.randn(parameter.shape, generator=generator))
    parts = Precondition(net, EDM(1.0, 0.05), predicts="edm", time="edm"), Normaliser(Scaling(6), Scaling(2)), First(6, (0, 1))
    out = ChunkPolicy(*parts, sampling=Sampling(**sampling), environment="toy", execution=execution).eval()
    out.prepare(demonstrations())
    return out


def observations(count: int, *batch: int) -> Tensor:
    return torch.randn(count, *batch, 8, generator=torch.Generator().manual_seed(11))


def play(model: ChunkPolicy, seen: Tensor) -> tuple[Tensor, list[tuple[int, Tensor]]]:
    """Actions of an episode, scaled, and every plan with the step at which it was drawn."""
    model.reset()
    plans, actions = dict[int, Tensor](), []
    for observation in seen:
        actions.append(model.normaliser.action(model.act(observation, seen[0], seed=5)))
        plans |= dict(model._plans)
    return torch.stack(actions), sorted(plans.items())


def test_a_receding_chunk_is_done_for_so_many_steps() -> None:
    actions, plans = play(policy(Receding(3)), observations(10))
    assert [start for start, _ in plans] == [0, 3, 6, 9]
    expected = [plans[k // 3][1][0, k % 3] for k in range(10)]
    torch.testing.assert_close(actions, torch.stack(expected), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(("execute", "decay"), [(1, 0.01), (1, 2.0), (3, -0.5), (2, 0.0)])
def test_an_ensemble_is_the_weighted_mean_of_all_proposals(execute: int, decay: float) -> None:
    """a_k = sum_i exp(-m i) a_i / sum_i exp(-m i) over the plans that reach step k, the oldest first (Zhao et al. 2023)."""
    actions, plans = play(policy(Ensembled(execute, decay)), observations(14))
    for k, action in enumerate(actions):
        proposals = [plan[0, k - start] for start, plan in plans if start <= k < start + WINDOW - OBSERVED + 1]
        weights = [np.exp(-decay * i) for i in range(len(proposals))]
        mean = sum(w * a for w, a in zip(weights, proposals, strict=True)) / sum(weights)
        torch.testing.assert_close(action, torch.as_tensor(mean), atol=1e-5, rtol=1e-5)
    assert max(sum(s <= k < s + 8 for s, _ in plans) for k in range(14)) == -(-8 // execute)


@pytest.mark.parametrize("sampler", ["ddim", "euler_ancestral", "dpmpp_2m", "lms", "heun", "dpm_adaptive"])
def test_committed_actions_stay_to_the_bit_and_the_rest_knows_them(sampler: str) -> None:
    execute, commit = 3, 2
    model, seen = policy(Committed(execute, commit), sampler=sampler, guidance=1.5), observations(10)
    _, plans = play(model, seen)
    for (start, last), (_, new) in zip(plans[:-1], plans[1:], strict=True):
        assert torch.equal(new[:, :commit], last[:, execute : execute + commit]), start
        assert not torch.equal(new[:, commit:4], last[:, execute + commit : execute + 4])
    free = play(policy(Receding(execute), sampler=sampler, guidance=1.5), seen)[1]
    assert torch.equal(free[0][1], plans[0][1])  # the first plan keeps nothing
    assert not torch.equal(free[1][1][:, commit:], plans[1][1][:, commit:])


def test_kept_actions_are_seen_with_their_noise_at_every_level() -> None:
    """By DDIM, (seen - kept) / sigma is the same draw at all levels, the first one included."""
    model, seen = policy(Committed(3, 2), steps=4), observations(4)
    network: Any = model.denoiser.network
    calls = list[tuple[Tensor, Tensor]]()
    hook = network.register_forward_pre_hook(lambda module, inputs: calls.append(inputs[:2]))
    _, plans = play(model, seen)
    hook.remove()
    draws = []
    for x, time in calls[4:]:
        sigma = torch.exp(4 * time[0])
        kept = x[:, 1:3] * torch.sqrt(sigma**2 + 0.25)
        draws.append((kept - plans[0][1][:, 3:5]) / sigma)
    assert len(draws) == 4
    for draw in draws[1:]:
        torch.testing.assert_close(draw, draws[0], atol=2e-4, rtol=0)


@pytest.mark.parametrize("name", SAMPLERS)
def test_every_sampler_plans(name: str) -> None:
    model = policy(Committed(4, 2), sampler=name, steps=4)
    actions, _ = play(model, observations(6))
    assert bool((actions.abs() <= 1.1 * model.normaliser.action.high.abs() + 1e-4).all())


def test_missing_states_are_the_first_one() -> None:
    model, seen = policy(Receding(1)), observations(3)
    first = model.act(seen[0], seen[0], seed=5)
    model.reset()
    model._states = [model.encode(seen[:1])] * OBSERVED  # as if it had stood still before
    torch.testing.assert_close(model.act(seen[0], seen[0], seed=5), first)


@pytest.mark.parametrize("execution", [Receding(3), Ensembled(2, 0.1), Committed(3, 2)])
def test_an_environment_plans_as_if_alone(execution: Any) -> None:
    model, seen, goals = policy(execution, sampler="euler_ancestral"), observations(7, 3), observations(1, 3)[0]
    together = torch.stack([model.act(o, goals, seed=[7, 8, 9]) for o in seen])
    model.reset()
    alone = torch.stack([model.act(o[1], goals[1], seed=8) for o in seen])
    torch.testing.assert_close(together[:, 1], alone, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    ("execution", "network"),
    [
        (Receding(4), HoldLast(ScoreGPT(6, 2, window=8, goals=1, width=16, layers=1, heads=2), 2)),
        (Ensembled(1, 0.2), ActionUNet(6, 2, window=8, goals=1, widths=(8, 16), kernel=3, embedding=8)),
        (Committed(4, 1), ActionDiT(6, 2, window=8, goals=1, width=16, layers=1)),
    ],
)
def test_a_saved_policy_acts_the_same(execution: Any, network: Any, tmp_path: Path) -> None:
    model = policy(execution, network=network, guidance=1.5)
    save(tmp_path / "toy", model)
    back = Policy.from_pretrained(tmp_path / "toy")
    assert isinstance(back, ChunkPolicy)
    assert back.execution == execution and back.data == model.data
    for observation in observations(7).numpy():
        assert np.array_equal(model.act(observation, observation, seed=1), back.act(observation, observation, seed=1))


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(InputError, match="7 steps done and 2 kept of 8 planned"):
        policy(Committed(7, 2))
    with pytest.raises(InputError, match="wrap it in HoldLast"):
        policy(Receding(1), network=ScoreGPT(6, 2, window=8, goals=1, width=16, layers=1, heads=2))
    for kind, numbers in ((Receding, (0,)), (Committed, (1, 0)), (Ensembled, (1, float("nan")))):
        maker: Any = kind
        with pytest.raises(InputError):
            maker(*numbers)
    model = policy(Receding(2))
    with pytest.raises(InputError, match="wants a goal"):
        model.act(observations(1)[0])
