"""Acting: the receding window against its definition, histories, guidance, seeds, saving, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.robots.parts import demonstrations, policy
from torch import Tensor

from polyscore.errors import CheckpointError, InputError
from polyscore.hub import save
from polyscore.noise import Recorded
from polyscore.robots.normalise import Scaling
from polyscore.robots.policy import Policy
from polyscore.robots.samplers import SAMPLERS
from polyscore.state import Given


def observations(count: int, *batch: int) -> Tensor:
    return torch.randn(count, *batch, 8, generator=torch.Generator().manual_seed(11))


def by_definition(model: Policy, seen: Tensor, goal: Tensor, draws: list[list[Tensor]]) -> list[Tensor]:
    """Actions of DDIM with linear levels, written from the published description: everything is moved, the last is taken."""
    sigmas = [*torch.linspace(1.0, 0.05, 3).tolist(), 0.0]
    states: list[Tensor] = []
    past: list[Tensor] = []
    out = []
    for observation, noise in zip(seen, draws, strict=True):
        states = [*states, model.encode(observation)][-4:]
        past = past[-(len(states) - 1) :] if len(states) > 1 else []
        x = torch.stack([*past, sigmas[0] * noise[0][0, 0]])[None]
        given = Given(cond={"state": torch.stack(states)[None], "goal": model.encode_goal(goal)[None, None]})
        for now, then in zip(sigmas[:-1], sigmas[1:], strict=True):
            x0 = model.denoiser(x, now, given).x0
            x = x0 + then / now * (x - x0)
        action = model.normaliser.action.clip(x[0, -1])
        past = [*past, action]
        out.append(model.normaliser.action.inverse(action))
    return out


@torch.no_grad()
def test_the_receding_window_is_that_of_the_original() -> None:
    model, seen, goal = policy(history="redenoise"), observations(7), observations(1)[0]
    draws = [[torch.randn(1, 1, 2, generator=torch.Generator().manual_seed(i))] for i in range(7)]
    found = [model.act(o, goal, seed=Recorded(d)) for o, d in zip(seen, draws, strict=True)]
    torch.testing.assert_close(torch.stack(found), torch.stack(by_definition(model, seen, goal, draws)), atol=1e-5, rtol=1e-5)


class Watching(torch.nn.Module):
    """Notes the actions that a network is shown, and what c_noise says of their level."""

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.network, self.shown = network, list[tuple[Tensor, float]]()
        self.state, self.action, self.window, self.goals = network.state, network.action, network.window, network.goals

    def forward(self, x: Tensor, time: Tensor, given: Given) -> Tensor:
        self.shown.append((x, float(torch.exp(4 * time[0]))))
        out: Tensor = self.network(x, time, given)
        return out


@pytest.mark.parametrize("history", ["keep", "renoise"])
def test_what_the_network_sees_of_the_past(history: Any) -> None:
    model = policy(history=history, sampler="heun")
    model.denoiser.network = watching = Watching(model.denoiser.network)
    for observation in observations(3):
        model.act(observation, observation, seed=0)
    past = torch.stack(model._actions, 1)
    watching.shown.clear()
    model.act(observations(4)[3], observations(1)[0], seed=0)
    assert len(watching.shown) == 5  # Heun: two calls a step but the last
    draws = []
    for x, sigma in watching.shown:
        clean = x[:, :-1] * (sigma**2 + 0.25) ** 0.5  # without c_in
        draws.append((clean - past) / sigma)
    for draw in draws:
        torch.testing.assert_close(draw, draws[0], atol=2e-4, rtol=0)  # one draw an action, whatever the level
    assert float(draws[0].abs().max()) < 2e-4 if history == "keep" else 0.1 < float(draws[0].std()) < 3


def test_guidance_is_one_pass_of_twice_the_batch() -> None:
    model = policy()
    model.denoiser.network = watching = Watching(model.denoiser.network)
    model.act(observations(1)[0], observations(2)[1], seed=0, sampling=None)
    assert [len(x) for x, _ in watching.shown] == [1, 1, 1]
    plain = model.act(observations(1)[0], observations(2)[1], seed=1)
    watching.shown.clear()
    model.reset()
    model.with_sampling(guidance=2.0)
    model.act(observations(1)[0], observations(2)[1], seed=1)
    assert [len(x) for x, _ in watching.shown] == [2, 2, 2]
    assert plain.shape == (2,)


def test_no_guidance_does_not_read_the_goal() -> None:
    model = policy(guidance=0.0)
    one = model.act(observations(1)[0], observations(1)[0], seed=4)
    model.reset()
    torch.testing.assert_close(model.act(observations(1)[0], observations(3)[2], seed=4), one)


@pytest.mark.parametrize("history", ["redenoise", "keep", "renoise"])
def test_an_environment_acts_as_if_alone(history: Any) -> None:
    """Action i depends on seed i, observation i and goal i, whoever is beside it."""
    model, seen, goals = policy(history=history, sampler="euler_ancestral"), observations(5, 3), observations(1, 3)[0]
    together = [model.act(o, goals, seed=[7, 8, 9]) for o in seen]
    model.reset()
    alone = [model.act(o[1], goals[1], seed=8) for o in seen]
    torch.testing.assert_close(torch.stack(together)[:, 1], torch.stack(alone), atol=1e-5, rtol=1e-5)
    model.reset()
    assert not torch.equal(model.act(seen[0][1], goals[1], seed=9), alone[0])


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_every_sampler_acts(sampler: str) -> None:
    """With a history that is held, all agree on what the data are where the model is sure: actions stay in the clipped range."""
    model = policy(sampler=sampler, steps=5)
    for observation in observations(3):
        action = model.normaliser.action(model.act(observation, observation, seed=2))
        own = model.normaliser.action
        assert bool((action.abs() <= 1.1 * own.high.abs() + 1e-5).all())


def test_a_saved_policy_acts_the_same(tmp_path: Path) -> None:
    model = policy(guidance=1.5)
    save(tmp_path / "toy", model)
    back = Policy.from_pretrained(tmp_path / "toy")
    assert back.data == model.data
    assert back.sampling == model.sampling
    assert back.environment == "toy"
    for observation in observations(3):
        assert np.array_equal(
            model.act(observation.numpy(), observation, seed=1), back.act(observation.numpy(), observation, seed=1)
        )


def test_a_spoiled_normaliser_is_refused(tmp_path: Path) -> None:
    model = policy()
    model.normaliser.state.scale[2] = 0.0
    save(tmp_path / "toy", model)
    with pytest.raises(CheckpointError, match="normaliser"):
        Policy.from_pretrained(tmp_path / "toy")


def test_data_of_another_kind_are_refused() -> None:
    model, data = policy(), demonstrations()
    model.check(data)
    data.observations[:, 3] *= 1000  # millimetres
    with pytest.raises(InputError, match="state feature 3"):
        model.check(data)


def test_what_does_not_fit_is_refused() -> None:
    model = policy()
    with pytest.raises(InputError, match="wants a goal"):
        model.act(observations(1)[0])
    with pytest.raises(InputError, match="NaN"):
        model.act(torch.full((8,), torch.nan), observations(1)[0])
    with pytest.raises(InputError, match="seeds"):
        model.act(observations(3), observations(1)[0], seed=[1])
    model.act(observations(3), observations(1)[0])
    with pytest.raises(InputError, match="3 environments, as before"):
        model.act(observations(2), observations(1)[0])
    with pytest.raises(InputError, match="one width each"):
        Policy(model.denoiser, model.normaliser, type(model.features)(5))


@pytest.mark.parametrize("kind", ["identity", "standard", "range"])
def test_scaling_is_inverted_and_bounded(kind: Any) -> None:
    data = demonstrations().observations
    own = Scaling(8).fit(data, kind)
    u = own(data)
    torch.testing.assert_close(own.inverse(u), data, atol=1e-4, rtol=1e-5)
    torch.testing.assert_close(u.amin(0), own.low, atol=1e-5, rtol=1e-5)
    width = own.high - own.low
    clipped = own.clip(torch.full((1, 8), 1e6))[0]
    torch.testing.assert_close(clipped, own.high + 0.05 * width, atol=1e-4, rtol=1e-5)
    if kind == "range":
        torch.testing.assert_close(u.abs().amax(0), torch.ones(8))
    # Both bounds positive: the original's way would raise the lower one.
    shifted = Scaling(1).fit(torch.tensor([[2.0], [4.0]]), "identity")
    torch.testing.assert_close(shifted.clip(torch.tensor([-9.0])), torch.tensor([1.9]))
