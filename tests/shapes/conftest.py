"""What the methods of editing and of guidance are tried on here: a shipped model and data of it."""

from __future__ import annotations

import pytest
import torch
from tests.editing_cells import Subject

from polyscore.shapes import ColouredPoints
from polyscore.state import Given


@pytest.fixture(scope="module")
def clouds() -> Subject:
    model = ColouredPoints.from_pretrained("points").double().requires_grad_(False)
    labels = torch.tensor([[0, 0], [1, 0]])
    x = model.sample(labels, 48, steps=8, seed=1).xyz.double() / model.scale
    stage = model.stage("shape")
    given = [Given(cond={"labels": rows}) for rows in (labels, labels.flip(0))]
    return Subject(stage, model.process, x, given[0], given[1], (model.network,))
