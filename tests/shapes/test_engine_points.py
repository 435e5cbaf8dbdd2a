"""From a cloud of points to a body: the closing against known solids, and the engine that draws the cloud."""

from __future__ import annotations

from dataclasses import replace
from typing import cast

import numpy as np
import pytest
import torch
from torch import Tensor

from polyscore.errors import CheckpointError, InputError
from polyscore.processes import Cosine
from polyscore.shapes import ColouredPoints, PointSetNetwork
from polyscore.shapes.data.procedural import grid_points
from polyscore.shapes.engine_table import engine
from polyscore.shapes.engines import LevelBody, Points, Request, last, voxelise
from polyscore.shapes.engines.closing import closed_body, nearest_colours
from polyscore.shapes.mesh import is_solid
from polyscore.shapes.words import parse

trimesh = pytest.importorskip("trimesh")
pytest.importorskip("skimage")


def surface(mesh: object, count: int, seed: int = 0) -> Tensor:
    found, _ = trimesh.sample.sample_surface(mesh, count, seed=seed)
    return torch.from_numpy(np.asarray(found)).float()


@pytest.mark.parametrize("count", [512, 2048])
def test_points_of_a_ball_give_the_ball(count: int) -> None:
    """Seed 0 of 512 points leaves a hole that the first reach does not bridge."""
    draw = torch.Generator().manual_seed(0)
    points = 0.4 * torch.nn.functional.normalize(torch.randn(count, 3, generator=draw), dim=1)
    mesh = closed_body(points, torch.zeros(count, 3)).mesh(resolution=48)
    assert is_solid(mesh)
    assert mesh.volume == pytest.approx(4 / 3 * np.pi * 0.4**3, rel=0.08)
    radius = np.linalg.norm(mesh.vertices, axis=1)
    assert np.abs(radius - 0.4).mean() < 0.015
    assert np.abs(radius - 0.4).max() < 0.08


def test_a_hollow_a_sheet_and_a_leg_stay() -> None:
    """A cup stays hollow, a board of 3 % of the box and a leg of 5 % are still there."""
    cup = trimesh.creation.annulus(r_min=0.26, r_max=0.34, height=0.6)
    floor = trimesh.creation.cylinder(radius=0.3, height=0.06).apply_translation((0.0, 0.0, -0.27))
    points = torch.cat([surface(cup, 3000), surface(floor, 500)])
    mesh = closed_body(points, torch.zeros_like(points)).mesh(resolution=64)
    assert is_solid(mesh)
    inside = torch.from_numpy(voxelise(mesh.vertices, mesh.faces, 40))
    centres = grid_points(40)
    across = centres[..., :2].norm(dim=-1)
    wall = (across > 0.27) & (across < 0.33) & (centres[..., 2].abs() < 0.28)
    hollow = (across < 0.22) & (centres[..., 2] > -0.2) & (centres[..., 2] < 0.28)
    assert float(inside[wall].float().mean()) > 0.97
    assert float(inside[hollow].float().mean()) < 0.01
    top = surface(trimesh.creation.box(extents=(0.9, 0.03, 0.9)), 3000)
    leg = surface(trimesh.creation.cylinder(radius=0.025, height=0.4), 500)[:, [0, 2, 1]] - torch.tensor([0.0, 0.2, 0.0])
    level = closed_body(torch.cat([top, leg]), torch.zeros(3500, 3)).level
    assert (level(torch.tensor([[0.0, -0.3, 0.0], [0.3, 0.0, 0.2], [-0.4, 0.0, 0.4]])) > 0).all()
    assert (level(torch.tensor([[0.15, -0.3, 0.0], [0.3, 0.06, 0.2], [0.3, -0.06, 0.2]])) < 0).all()


def test_colours_are_those_of_the_nearest_points() -> None:
    points = surface(trimesh.creation.box(extents=(0.8, 0.8, 0.8)), 2000)
    colours = torch.where(points[:, :1] > 0, torch.tensor([1.0, 0.0, 0.0]), torch.tensor([0.0, 0.0, 1.0]))
    tint = nearest_colours(points, colours)
    assert torch.allclose(tint(points[:50]), colours[:50], atol=0.05)
    assert torch.allclose(tint(torch.tensor([[0.5, 0.1, 0.0], [-0.5, 0.1, 0.0]])), torch.tensor([[1.0, 0, 0], [0, 0, 1.0]]))


def test_clouds_that_are_none() -> None:
    few = torch.zeros(3, 3)
    with pytest.raises(InputError, match=r"points \(3, 3\), colours \(3, 3\); expected \(N, 3\), N at least 16"):
        closed_body(few, few)
    with pytest.raises(InputError, match="points reach 2"):
        closed_body(torch.full((20, 3), 2.0), torch.zeros(20, 3))
    with pytest.raises(InputError, match="balls of radius 0 around 20 points; expected less than 0.24"):
        closed_body(torch.zeros(20, 3), torch.zeros(20, 3))
    with pytest.raises(InputError, match="around 20 points; expected less than 0.24"):
        closed_body(torch.rand(20, 3, generator=torch.Generator().manual_seed(0)) - 0.5, torch.zeros(20, 3))
    with pytest.raises(CheckpointError, match="solids is a TextToShape, expected a ColouredPoints"):
        engine("points").load("solids")
    with pytest.raises(InputError, match="expected at least 16 points, one step"):
        Points(points=3)


class Cube(PointSetNetwork):
    """Says where the points of a box are, and that they are green: v = (a x - x0) / s at any time."""

    def __init__(self) -> None:
        super().__init__((12, 8), width=8, heads=1, blocks=1, latents=2)

    def forward(self, xyz: Tensor, rgb: Tensor, t_xyz: Tensor, t_rgb: Tensor, labels: Tensor) -> Tensor:
        process = Cosine(alpha_min=0.01)
        at = xyz.reshape(-1, 3)
        size = at.abs() / torch.tensor([1.6, 0.8, 1.2])  # in units of the data's deviation
        box = (at / size.amax(1, keepdim=True).clamp(min=1e-6)).view_as(xyz)
        green = torch.tensor([-1.0, 1.0, -1.0]).expand_as(rgb)
        out = []
        for x, x0, t in ((xyz, box, t_xyz), (rgb, green, t_rgb)):
            a, _, s = (c.to(x)[:, None, None] for c in process.coefs(t.double()))
            out.append((a * x - x0) / s.clamp(min=1e-6))
        return torch.cat(out, -1)


def test_the_engine_closes_the_cloud_that_is_drawn() -> None:
    model = ColouredPoints(Cube())
    words = parse("a green house")
    short = Points(points=1024, steps=4, guidance=1.0)
    found = cast("LevelBody", last(short.frames(model, Request(words, 2))).body)
    mesh = found.mesh(resolution=48)
    assert is_solid(mesh)
    low, high = mesh.bounds
    assert np.allclose(high - low, 0.94 * np.array([1.0, 0.5, 0.75]), atol=0.05)
    assert mesh.volume == pytest.approx(0.94**3 * 0.375, rel=0.1)
    assert (found.colour(torch.tensor([[0.0, 0.2, 0.0]])).argmax(1) == 1).all()
    again = cast("LevelBody", last(short.frames(model, Request(words, 2))).body)
    where = grid_points(8).reshape(-1, 3)
    assert torch.equal(found.level(where), again.level(where))
    kept = replace(short, strength=0.0)
    ball = trimesh.creation.icosphere(subdivisions=3, radius=0.4)
    followed = cast("LevelBody", last(kept.frames(model, Request(words, 2, sketch=ball))).body).mesh(resolution=48)
    assert followed.volume == pytest.approx(4 / 3 * np.pi * 0.47**3, rel=0.1)  # as large as the box, and still a ball
    painted = last(short.frames(model, Request(words, 2, paint=ball))).body
    assert (painted.colour(torch.from_numpy(ball.vertices[:20]).float()).argmax(1) == 1).all()
