"""Every field as what distillation fits: empty at the start, a body from true views, and the same body on voxels."""

from __future__ import annotations

from typing import cast, get_args

import pytest
import torch
from tests.shapes.test_text import Knowing, overlap

from polyscore.errors import InputError
from polyscore.shapes.data.procedural import draw, grid_points
from polyscore.shapes.engines import Distill, OpaqueBody, Request, last
from polyscore.shapes.engines.fit import FieldFit
from polyscore.shapes.engines.opaque import hidden
from polyscore.shapes.engines.start import FieldName, empty_field, on_voxels
from polyscore.shapes.fields import SdfField
from polyscore.shapes.pictures import layers, rig
from polyscore.shapes.text import TextToShape
from polyscore.shapes.words import parse

pytest.importorskip("trimesh")
pytest.importorskip("skimage")
NAMES = get_args(FieldName)
SIZE = 16


@pytest.mark.parametrize("name", NAMES)
def test_a_field_starts_empty_and_finds_the_body_of_true_views(name: str) -> None:
    words, solids = parse("a matte red house"), draw("house", 1, seed=3)
    angles = torch.cat([rig(torch.tensor([30.0 * k]), torch.tensor([rise]), 4)[0] for k, rise in enumerate((-15.0, 15.0, 50.0))])
    wanted = Knowing(solids, words).pictures(angles, SIZE)
    fit = FieldFit(empty_field(name, SIZE), words.finish, SIZE, 1.5, torch.Generator().manual_seed(0), rate=0.2)
    assert float(layers(fit.pictures(angles)).coverage.mean().detach()) < 0.02  # the house covers a fifth
    fit.to(angles, wanted, 40)
    truth = solids.occupancy(SIZE)[0]
    assert overlap(hidden(fit.field, SIZE) > 0, truth) > 0.6
    grid = on_voxels(fit.field, SIZE)
    points = grid_points(SIZE).reshape(-1, 3)
    density, expected = (field.density(points).clamp(min=0.02) for field in (grid, fit.field))
    assert torch.allclose(density, expected, rtol=1e-3, atol=1e-3)
    colour, wanted = (field.colour(points).clamp(0.01, 0.99) for field in (grid, fit.field))
    assert torch.allclose(colour, wanted, atol=1e-4)


def test_the_engine_distils_into_another_field_and_colours_voxels() -> None:
    words, solids = parse("a matte blue house"), draw("house", 1, seed=3)
    prior = TextToShape(Knowing(solids, words), SIZE, extent=1.5)
    engine = Distill(geometry=40, colour=3, sizes=(12, SIZE), field="sdf")
    body = cast("OpaqueBody", last(engine.frames(prior, Request(words, 1))).body)
    found = hidden(body.field, SIZE) > 0
    assert overlap(found, solids.occupancy(SIZE)[0]) > 0.5
    assert int(body.colour(grid_points(SIZE)[found]).mean(0).argmax()) == 2


def test_a_grid_of_distances_is_refined_and_stays_a_distance() -> None:
    ball = SdfField(16, radius=0.3)
    with torch.no_grad():
        ball.log_beta.sub_(0.5)
    finer = ball.refined(32)
    points = 0.8 * (torch.rand(100, 3, generator=torch.Generator().manual_seed(0)) - 0.5)
    assert torch.allclose(finer.distance(points), ball.distance(points), atol=0.01)
    assert torch.equal(finer.log_beta, ball.log_beta)
    assert torch.equal(finer.roughness(), finer.eikonal())


def test_a_field_that_is_not_there() -> None:
    with pytest.raises(InputError, match="field 'mesh'; expected one of voxel, triplane, hash, sdf"):
        Distill(field=cast("FieldName", "mesh"))
    with pytest.raises(InputError, match="field 'mesh': unknown"):
        empty_field("mesh", 8)
