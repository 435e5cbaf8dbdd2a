"""The hard rasteriser against ray casting, its interpolation against closed forms, and its derivatives."""

from __future__ import annotations

import importlib

import pytest
import torch
from torch import Tensor

from polyscore.errors import InputError
from polyscore.shapes.render import Camera, Orthographic, Perspective, interpolate, rasterise
from polyscore.shapes.render.cameras import Projection
from polyscore.shapes.render.rasterise import scan

KINDS = (Perspective, Orthographic)


def soup(count: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Triangles at random in the unit cube, float64."""
    draw = torch.Generator().manual_seed(seed)
    middle = torch.rand(count, 1, 3, generator=draw, dtype=torch.float64) - 0.5
    corners = middle + 0.3 * torch.randn(count, 3, 3, generator=draw, dtype=torch.float64)
    return corners.reshape(-1, 3), torch.arange(3 * count).reshape(-1, 3)


def cast(vertices: Tensor, faces: Tensor, camera: Camera, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Nearest face and its distance along the ray, by Moeller and Trumbore 1997: every ray with every triangle."""
    rays = camera.rays(size)
    origin, u = (part.reshape(-1, 1, 3) for part in rays)
    a, b, c = vertices[faces].unbind(1)
    across = torch.linalg.cross(u, (c - a).expand(len(u), -1, -1))
    det = ((b - a) * across).sum(-1)
    off = origin - a
    q = torch.linalg.cross(off, (b - a).expand_as(off))
    l1, l2 = (off * across).sum(-1) / det, (u * q).sum(-1) / det
    along = ((c - a) * q).sum(-1) / det
    hit = (l1 >= 0) & (l2 >= 0) & (l1 + l2 <= 1) & (along > 0)
    distance, face = torch.where(hit, along, torch.inf).min(-1)
    face = torch.where(torch.isinf(distance), -1, face)
    return face.reshape(len(camera), *size), distance.reshape(len(camera), *size)


@pytest.mark.parametrize("kind", KINDS)
def test_pixels_see_what_their_rays_hit(kind: type[Perspective]) -> None:
    vertices, faces = soup(40)
    camera = kind.orbit(torch.tensor([0.0, 50.0, 210.0], dtype=torch.float64), torch.tensor([10.0, -60.0, 85.0]).double(), 3.0)
    size = (33, 21)
    found = rasterise(vertices, faces, camera, size)
    face, distance = cast(vertices, faces, camera, size)
    assert 0.2 < (face >= 0).double().mean() < 0.9
    assert torch.equal(found.face, face)
    rays = camera.rays(size)
    points = interpolate(found, faces, vertices)
    hit = found.hit
    torch.testing.assert_close(points[hit], (rays.origins + distance[..., None] * rays.directions)[hit])
    forward = -(rays.directions * camera.rotation[:, None, None, :, 2]).sum(-1)
    torch.testing.assert_close(found.depth[hit], (distance * forward)[hit])
    assert torch.isinf(found.depth[~hit]).all() and (points[~hit] == 0).all()


def test_any_number_of_triangles_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    vertices, faces = soup(60, seed=1)
    camera = Perspective.orbit(torch.tensor([0.0, 120.0], dtype=torch.float64), 10.0)
    whole = rasterise(vertices, faces, camera, 24)
    monkeypatch.setattr(importlib.import_module("polyscore.shapes.render.rasterise"), "_PAIRS", 50)
    for part, other in zip(whole, rasterise(vertices, faces, camera, 24), strict=True):
        assert torch.equal(part, other)


def test_a_closed_fan_leaves_no_pixel_open_and_equal_depths_go_to_the_first_face() -> None:
    angle = torch.arange(13) * (2 * torch.pi / 12)
    rim = torch.stack([angle.cos(), angle.sin()], -1)[:12] * 24 + 16
    xy = torch.cat([torch.tensor([[16.5, 16.5]]), rim])[None]  # the middle is the centre of a pixel
    faces = torch.stack([torch.zeros(12, dtype=torch.long), torch.arange(12) + 1, (torch.arange(12) + 1) % 12 + 1], -1)
    flat = Projection(xy, torch.ones(1, 13), torch.ones(1, 13))
    found = scan(flat, faces, 32)
    assert found.hit.all()
    assert found.face[0, 16, 16] == 0
    twice = scan(flat, torch.cat([faces, faces]), 32)
    assert torch.equal(twice.face, found.face)


def test_attributes_are_linear_in_space_and_not_in_the_picture() -> None:
    # a square on edge: its far side at twice the depth of its near side
    vertices = torch.tensor([[-1.0, -1, -3], [1, -1, -3], [1, 1, -6], [-1, 1, -6]], dtype=torch.float64)
    faces = torch.tensor([[0, 1, 2], [0, 2, 3]])
    camera = Perspective(torch.eye(4, dtype=torch.float64)[None], torch.tensor([90.0], dtype=torch.float64))
    found = rasterise(vertices, faces, camera, 64)
    along = interpolate(found, faces, vertices[:, 1:2])[..., 0]
    rays = camera.rays(64)
    slope = rays.directions[..., 1] / -rays.directions[..., 2]
    depth = 4.5 / (1 - 1.5 * slope)  # from y = slope depth on the plane depth = 4.5 + 1.5 y
    torch.testing.assert_close(found.depth[found.hit], depth[found.hit])
    torch.testing.assert_close(along[found.hit], (slope * depth)[found.hit])


def test_barycentric_coordinates_have_the_derivatives_of_their_formula() -> None:
    vertices, faces = soup(3, seed=4)
    camera = Perspective.orbit(torch.tensor([20.0], dtype=torch.float64), 10.0)
    colours = torch.rand(9, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)

    def picture(x: Tensor, c: Tensor) -> Tensor:
        found = rasterise(x, faces, camera, 9)
        return torch.cat([interpolate(found, faces, c).flatten(), found.depth[found.hit]])

    assert torch.autograd.gradcheck(picture, (vertices.requires_grad_(), colours.requires_grad_()))


def test_faces_behind_the_camera_and_degenerate_ones_are_not_seen() -> None:
    camera = Perspective.orbit(0.0, 0.0, 2.0)
    vertices = torch.tensor([[-9.0, -9, 5], [9, -9, 5], [0, 9, 5], [0, 0, 0], [0, 0, 0], [1, 0, 0], [torch.nan, 0, 0]])
    assert not rasterise(vertices, torch.tensor([[0, 1, 2], [3, 4, 5], [3, 5, 6]]), camera, 8).hit.any()
    assert not rasterise(vertices, torch.zeros(0, 3, dtype=torch.long), camera, 8).hit.any()


def test_one_set_of_vertices_a_camera() -> None:
    vertices, faces = soup(10)
    camera = Perspective.orbit(torch.tensor([0.0, 70.0], dtype=torch.float64), 0.0)
    both = torch.stack([vertices, vertices.flip(-1)])
    found = rasterise(both, faces, camera, 12)
    values = interpolate(found, faces, both)
    for i in range(2):
        alone = rasterise(both[i], faces, camera[i], 12)
        assert torch.equal(found.face[i], alone.face[0])
        torch.testing.assert_close(values[i], interpolate(alone, faces, both[i])[0])


def test_what_is_no_mesh() -> None:
    with pytest.raises(InputError, match=r"faces of shape \(1, 4\)"):
        rasterise(torch.zeros(4, 3), torch.zeros(1, 4, dtype=torch.long), Perspective.orbit(0.0, 0.0), 4)
