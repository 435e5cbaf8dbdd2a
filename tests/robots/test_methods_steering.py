"""Actions of the shipped policy: selected, made surer, and with one coordinate known."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tests.evaluation_cells import Record
from torch import Tensor

from polyscore.inverse import Keep, Measurement, Posterior, Skipped
from polyscore.processes import grids
from polyscore.robots import Policy
from polyscore.robots.recording import record
from polyscore.samplers import Ancestral, sample
from polyscore.state import Given
from polyscore.steering import Carried, FeynmanKac, Rewarded, Tempered

COUNT = 256


@pytest.fixture(scope="module")
def asked() -> tuple[Policy, Given]:
    """The policy, and what it is told at the beginning of an episode, as often as actions are drawn."""
    model = Policy.from_pretrained("push-blocks")
    ((episode, _),) = record(1, seed=5)
    state, goal = model.encode(episode.observations[:1].float()), model.encode_goal(episode.observations[-1:].float())
    return model, Given(cond={"state": state[None].expand(COUNT, -1, -1), "goal": goal[None].expand(COUNT, -1, -1)})


@torch.no_grad()
def drawn(asked: tuple[Policy, Given], sampler: Any, denoiser: Any = None) -> Tensor:
    """Scaled actions (COUNT, A)."""
    model, given = asked
    process: Any = model.denoiser.process
    like = torch.empty(COUNT, 1, model.normaliser.action.width)
    grid = grids.Karras(0.02, 1.0)
    x: Tensor = sample(sampler, denoiser or model.denoiser, process, like, steps=20, grid=grid, given=given, noise=0)
    return x[:, 0]


def test_the_law_of_actions_is_tilted(asked: tuple[Policy, Given], record_property: Record) -> None:
    """The law becomes p(a) exp(c a): its mean is that of the plain draws weighted by exp(c a)."""
    plain = drawn(asked, Ancestral())
    scale = float(1 / plain[:, 0].std())
    expected = float((torch.softmax(scale * plain[:, 0], 0) * plain[:, 0]).sum())

    def far(x0: Any, given: Given) -> Tensor:
        out: Tensor = x0[:, 0, 0]
        return out

    steered = drawn(asked, FeynmanKac(Ancestral(), Rewarded(far, scale), group=COUNT, every=4))
    moved, wanted = ((value - float(plain[:, 0].mean())) * scale for value in (float(steered[:, 0].mean()), expected))
    record_property("feynman-kac", f"mean moved by {moved:.2f} std, {wanted:.2f} by weighting")
    assert wanted > 0.3
    assert moved == pytest.approx(wanted, abs=0.25)


def test_a_power_makes_actions_surer(asked: tuple[Policy, Given], record_property: Record) -> None:
    plain, narrow = drawn(asked, Tempered((1.0,))), drawn(asked, FeynmanKac(Tempered((2.0,)), Carried(), group=COUNT))
    ratio = float((narrow.std(0) / plain.std(0)).mean())
    record_property("tempered", f"std x {ratio:.2f}, a Gaussian's .71")
    assert 0.4 < ratio < 0.9


@pytest.mark.parametrize("wrapper", [Posterior, Skipped])
def test_a_known_coordinate(asked: tuple[Policy, Given], wrapper: Any, record_property: Record) -> None:
    """One entry of the action is prescribed, a standard deviation off its mean; the others stay where they were."""
    model, _ = asked
    plain = drawn(asked, Ancestral())
    wanted = float(plain[:, 0].mean() + plain[:, 0].std())
    operator = Keep(torch.eye(plain.shape[1])[0])
    y = operator(torch.full((1, 1, plain.shape[1]), wanted))
    x = drawn(asked, Ancestral(), wrapper(model.denoiser, model.denoiser.process, (Measurement(operator, y, 0.02),)))
    off, before = float((x[:, 0] - wanted).abs().mean()), float((plain[:, 0] - wanted).abs().mean())
    record_property(wrapper.__name__, f"off by {off:.3f}, before {before:.3f}")
    assert off < 0.4 * before
    assert float((x[:, 1].mean() - plain[:, 1].mean()).abs()) < 2 * float(plain[:, 1].std())
