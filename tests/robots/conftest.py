"""What the methods of editing and of guidance are tried on here: a shipped model and data of it."""

from __future__ import annotations

import pytest
from tests.editing_cells import Subject

from polyscore.robots import Policy
from polyscore.robots.recording import record
from polyscore.state import Given


@pytest.fixture(scope="module")
def pushes() -> Subject:
    model = Policy.from_pretrained("push-blocks").double().requires_grad_(False)
    episode, _ = next(iter(record(1, seed=3)))
    observations, actions = episode.observations.double(), episode.actions.double()
    state = model.encode(observations[:10]).view(2, 5, -1)
    goals = [model.encode_goal(observations[[at]]).expand(2, 1, -1) for at in (-1, 0)]
    given = [Given(cond={"state": state, "goal": goal}) for goal in goals]
    x = model.normaliser.action(actions[:10]).view(2, 5, -1)
    return Subject(model.denoiser, model.denoiser.process, x, given[0], given[1], (model.denoiser,))
