"""The methods of guidance on point clouds, the shipped model of coloured points.

Without attention among its latents this model denoises as well (1.00 of the error), so perturbed attention has no direction here.
"""

from __future__ import annotations

import pytest
import torch
from tests.editing_cells import Record
from tests.guidance_cells import CELLS, Subject, guide

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


@pytest.mark.parametrize("name", [name for name in CELLS if name != "perturbed attention"])
def test_methods(name: str, clouds: Subject, record_property: Record) -> None:
    guide(name, clouds, record_property)
