"""Procedural solids: distances by closed forms, solids in their box, views against projection, paints, seeds."""

from __future__ import annotations

import math

import pytest
import torch

from polyscore.errors import InputError
from polyscore.shapes.data import procedural_primitives as bodies
from polyscore.shapes.data.procedural import draw, grid_points, names
from polyscore.shapes.data.procedural_views import views
from polyscore.shapes.render.cameras import Orthographic


def points(count: int = 400, *, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    x, y, z = ((torch.rand(3, count, generator=generator) - 0.5) * 2).unbind(0)
    return x, y, z


def test_the_box_is_as_far_as_its_nearest_point() -> None:
    x, y, z = points()
    half = (0.3, 0.2, 0.4)
    p = torch.stack([x, y, z], 1)
    nearest = torch.maximum(torch.minimum(p, torch.tensor(half)), -torch.tensor(half))
    outside = (p - nearest).norm(dim=1)
    inside = (torch.tensor(half) - p.abs()).amin(1)
    expected = torch.where(outside > 0, outside, -inside)
    assert torch.allclose(bodies.box(x, y, z, half), expected, atol=2e-6)
    rounded = bodies.box(x, y, z, half, round_=0.05)
    assert (rounded >= expected - 2e-6).all()  # the edges are cut, nothing is added
    faces = (p - nearest).abs().gt(0).sum(1) == 1  # nearest to the middle of a face, where rounding changes nothing
    middle = faces & (nearest.abs() < torch.tensor(half) - 0.05).sum(1).eq(2)
    assert middle.any()
    assert torch.allclose(rounded[middle], expected[middle], atol=2e-6)


@pytest.mark.parametrize(
    "body",
    [
        lambda x, y, z: bodies.cylinder(bodies.length(x, z), y, 0.3, 0.4),
        lambda x, y, z: bodies.frustum(bodies.length(x, z), y, 0.4 + 0 * y, 0.35 + 0 * y, 0.1 + 0 * y),
        lambda x, y, z: bodies.torus(x, y, z, 0.4, 0.1),
        lambda x, y, z: bodies.capsule(x, y, z, 0.2, 0.3),
        lambda x, y, z: bodies.ball(x, y, z, 0.4),
    ],
)
def test_an_exact_distance_leads_to_the_surface_in_one_step(body: object) -> None:
    p = torch.stack(points(), 1).double().requires_grad_()
    d = body(*p.unbind(1))  # type: ignore[operator]
    (slope,) = torch.autograd.grad(d.sum(), p)
    assert torch.allclose(slope.norm(dim=1), torch.ones_like(d), atol=1e-4)  # |grad d| = 1
    outside = d > 0.01
    landed = (p - d[:, None] * slope)[outside]
    assert body(*landed.unbind(1)).abs().max() < 1e-5  # type: ignore[operator]


@pytest.mark.parametrize("name", names())
def test_a_solid_is_in_its_box_and_more_than_a_speck(name: str) -> None:
    solids = draw(name, 3, seed=4)
    inside = solids.occupancy(24)
    share = inside.float().mean((1, 2, 3))
    assert ((share > 0.02) & (share < 0.5)).all()
    shell = grid_points(26, half=0.5 * 26 / 24).reshape(-1, 3)
    shell = shell[shell.abs().amax(1) > 0.5]
    for i in range(3):
        assert (solids.distance(shell, torch.full((len(shell),), i)) > 0).all()


def test_a_solid_depends_on_its_seed_and_number_alone() -> None:
    many, few = draw("chair", 5, seed=3), draw("chair", 2, seed=3)
    assert torch.equal(many.values[:2], few.values)
    assert not torch.equal(draw("chair", 2, seed=4).values, few.values)
    low, high = torch.tensor(list(many.category.ranges.values())).T
    assert ((many.values >= low) & (many.values <= high)).all()
    with pytest.raises(InputError, match="2 solids of kind 'dragon'; expected 1 or more of chair, table"):
        draw("dragon", 2)


def test_normals_are_unit_and_point_outward() -> None:
    solids = draw("mug", 1, seed=1)
    p = grid_points(24).reshape(-1, 3)
    owner = torch.zeros(len(p), dtype=torch.long)
    d = solids.distance(p, owner)
    near = d.abs() < 0.02
    normal, paint = solids.surface(p[near], owner[near])
    assert torch.allclose(normal.norm(dim=1), torch.ones(len(normal)), atol=1e-5)
    out = solids.distance(p[near] + 0.05 * normal, owner[near]) > solids.distance(p[near] - 0.005 * normal, owner[near])
    assert out.float().mean() > 0.97  # all but where two walls meet
    assert (paint == 0).all()


def test_a_view_is_the_shadow_of_the_solid() -> None:
    """The coverage of a picture has the area of the projected occupancy, and its middle."""
    solids = draw("house", 1, seed=2)
    camera = Orthographic.orbit(torch.tensor([0.0]), torch.tensor([0.0]), height=1.5)
    seen = views(solids, camera, 48)
    shadow = solids.occupancy(96)[0].any(0)  # along z, rows y upwards, columns x
    area = float(shadow.float().mean())
    assert float(seen.coverage.mean()) * 1.5**2 == pytest.approx(area, rel=0.02)
    columns = (torch.arange(96) + 0.5) / 96 - 0.5
    there = (torch.arange(48) + 0.5) / 48 * 1.5 - 0.75
    assert float((seen.coverage[0, 0].sum(0) * there).sum() / seen.coverage.sum()) == pytest.approx(
        float((shadow.float().sum(0) * columns).sum() / shadow.sum()), abs=0.01
    )
    facing = seen.coverage[0, 0] > 0.99
    wall = (seen.normals[0, 0, :, :, 2] > 0.99) & facing
    assert wall.float().sum() > 0.4 * facing.float().sum()  # the front wall looks at the camera
    assert torch.allclose(seen.normals[0, 0][facing].norm(dim=-1), torch.ones(int(facing.sum())), atol=1e-4)


def test_a_turned_camera_sees_a_turned_solid() -> None:
    """A lamp is round, so every azimuth shows the same picture, normals in camera axes included."""
    solids = draw("lamp", 1, seed=0)
    camera = Orthographic.orbit(torch.tensor([0.0, 37.0, 200.0]), torch.full((3,), 20.0), height=1.5)
    seen = views(solids, camera, 32)
    for other in (1, 2):
        assert (seen.coverage[0, other] - seen.coverage[0, 0]).abs().max() < 0.05
        both = (seen.coverage[0, 0] > 0.9) & (seen.coverage[0, other] > 0.9)
        agreement = (seen.normals[0, 0] * seen.normals[0, other]).sum(-1)[both]
        assert float(agreement.quantile(0.05)) > 0.9


def test_cameras_that_do_not_divide_among_solids() -> None:
    camera = Orthographic.orbit(torch.zeros(3), torch.zeros(3))
    with pytest.raises(InputError, match="3 cameras for 2 solids"):
        views(draw("tree", 2), camera, 8)


def test_occupancy_has_the_volume_of_its_formula() -> None:
    """A table: the top and four legs, all boxes."""
    solids = draw("table", 1, seed=6)
    v = dict(zip(solids.category.ranges, solids.values[0].tolist(), strict=True))
    top = v["width"] * v["depth"] * v["thick"]
    legs = 4 * v["leg"] ** 2 * (v["height"] - v["thick"])
    assert float(solids.occupancy(96).float().mean()) == pytest.approx(top + legs, rel=0.04)
    assert math.isclose(float(grid_points(4)[0, 0, 1, 0]), -0.125)
