"""The evaluation package on point clouds, by how their points lie: tables among chairs."""

from __future__ import annotations

import torch
from tests.evaluation_cells import Record, evaluate
from torch import Tensor

from polyscore.shapes.data.procedural import draw
from polyscore.shapes.data.procedural_clouds import clouds_of


def moments(clouds: Tensor) -> Tensor:
    """Deviation along the axes, and the mean distance from the middle, of clouds (B, N, 3)."""
    centred = clouds - clouds.mean(1, keepdim=True)
    return torch.cat([centred.std(1), centred.norm(dim=-1).mean(1, keepdim=True)], 1)


def test_lamps_are_told_from_chairs(record_property: Record) -> None:
    chairs, lamps = (moments(clouds_of(draw(name, count), 64).points) for name, count in (("chair", 120), ("lamp", 60)))
    evaluate(chairs, lamps, ["x", "y", "z", "size"], record_property, expected="x")
