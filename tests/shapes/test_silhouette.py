"""Soft silhouettes and pictures: closed forms, derivatives, the hard limit, light."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import trimesh
from torch import Tensor

from polyscore.errors import InputError
from polyscore.shapes.mesh import bake, paint
from polyscore.shapes.render import (
    Lambert,
    Orthographic,
    Perspective,
    draw,
    normal_map,
    over,
    rasterise,
    silhouette,
    surface_of,
)


def ball(level: int = 2) -> tuple[Tensor, Tensor]:
    mesh = trimesh.creation.icosphere(level, radius=0.4)
    return torch.tensor(np.array(mesh.vertices)), torch.tensor(np.array(mesh.faces))


def view(*azimuth: float, kind: type[Perspective] | type[Orthographic] = Perspective) -> Perspective | Orthographic:
    return kind.orbit(torch.tensor(azimuth, dtype=torch.float64), 20.0)


def test_one_triangle_is_the_sigmoid_of_its_squared_distance() -> None:
    # a pixel is 1/8 wide; the triangle's left side is the line x = 1 in pixels, far from its other sides
    vertices = torch.tensor([[-0.375, -9.0, 0], [9, 0, 0], [-0.375, 9, 0]], dtype=torch.float64)
    camera = Orthographic.orbit(torch.zeros(1, dtype=torch.float64), 0.0, height=1.0)
    softness = 0.8
    found = silhouette(vertices, torch.tensor([[0, 1, 2]]), camera, 8, softness=softness)
    distance = torch.arange(8).double() + 0.5 - 1
    exact = torch.sigmoid(distance.sign() * distance**2 / softness**2)
    near = distance.abs() < 3.5 * softness
    torch.testing.assert_close(found[0][:, near], exact[near].expand(8, -1))
    corner = torch.tensor([[0.0625, -0.0625, 0], [9, -0.0625, 0], [9, -9, 0]], dtype=torch.float64)  # its corner at (4.5, 4.5)
    found = silhouette(corner, torch.tensor([[0, 1, 2]]), camera, 8, softness=2.0)
    assert found[0, 3, 3].item() == pytest.approx(1 / (1 + math.exp(2 / 4)))  # one pixel off in x and y: d^2 = 2


def test_triangles_join_as_independent_events_whatever_their_depth() -> None:
    one = torch.tensor([[-0.3, -0.3, 0], [0.3, -0.3, 0], [0, 0.3, 0]], dtype=torch.float64)
    two = one + torch.tensor([0.1, 0.05, -0.3])
    camera = view(0.0, 40.0, kind=Orthographic)
    faces = torch.tensor([[0, 1, 2]])
    both = silhouette(torch.cat([one, two]), torch.tensor([[0, 1, 2], [3, 4, 5]]), camera, 16)
    parts = [silhouette(part, faces, camera, 16) for part in (one, two)]
    torch.testing.assert_close(both, 1 - (1 - parts[0]) * (1 - parts[1]))


def test_a_hard_limit_is_the_rasteriser() -> None:
    vertices, faces = ball()
    camera = view(0.0, 130.0)
    soft = silhouette(vertices, faces, camera, 32, softness=1e-3)
    assert torch.equal(soft > 0.5, rasterise(vertices, faces, camera, 32).hit)
    blurred = silhouette(vertices, faces, camera, 32, softness=0.7)
    assert (blurred - soft).abs().mean() < 0.05


def test_derivatives_in_vertices_and_camera() -> None:
    vertices, faces = ball(0)

    def picture(x: Tensor, azimuth: Tensor) -> Tensor:
        return silhouette(x, faces, Perspective.orbit(azimuth, 15.0), (4, 5), softness=1.0)

    azimuth = torch.tensor([10.0], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(picture, (vertices.requires_grad_(), azimuth), atol=1e-5)


def test_a_silhouette_pulls_a_body_to_where_it_is_wanted() -> None:
    vertices, faces = ball(1)
    camera = view(0.0, 90.0)
    wanted = silhouette(vertices * torch.tensor([1.0, 1.2, 0.7]) + torch.tensor([0.1, 0, 0]), faces, camera, 32)
    change = torch.tensor([1.0, 1, 1, 0, 0, 0], dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.Adam([change], lr=0.03)
    for _ in range(60):
        optimiser.zero_grad()
        loss = (silhouette(vertices * change[:3] + change[3:], faces, camera, 32) - wanted).square().mean()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    torch.testing.assert_close(change.detach(), torch.tensor([1.0, 1.2, 0.7, 0.1, 0, 0]).double(), atol=0.04, rtol=0)


def test_what_is_no_silhouette() -> None:
    vertices, faces = ball(0)
    with pytest.raises(InputError, match="softness 0"):
        silhouette(vertices, faces, view(0.0), 8, softness=0)


def test_normals_of_a_ball_are_its_points() -> None:
    vertices, faces = ball(4)
    camera = view(0.0, 75.0, kind=Orthographic)
    normals, hit = normal_map(vertices, faces, camera, 48)
    rays = camera.rays(48)
    offset = (rays.origins - rays.directions * (rays.origins * rays.directions).sum(-1, keepdim=True)) @ camera.rotation[:, None]
    height = (0.16 - offset.square().sum(-1)).clamp_min(0).sqrt()
    exact = torch.cat([offset[..., :2], height[..., None]], -1) / 0.4
    inner = height > 0.1
    assert hit[inner].all() and not hit[offset.square().sum(-1) > 0.16].any()
    torch.testing.assert_close(normals[inner], exact[inner], atol=0.02, rtol=0)


def test_lambert() -> None:
    light = Lambert((0.0, 0.0, 2.0), 0.25, 0.75)
    normals = torch.tensor([[0.0, 0, 1], [0, 1, 0], [0, 0, -1], [0, 0.6, 0.8]])
    seen = light(torch.full((4, 3), 0.5), normals)
    torch.testing.assert_close(seen[:, 0], torch.tensor([0.5, 0.125, 0.125, 0.5 * 0.85]))
    assert Lambert(ambient=3)(torch.ones(1, 3), normals[:1]).max() == 1
    with pytest.raises(InputError, match="expected a direction"):
        Lambert((0.0, 0.0, 0.0))


@pytest.mark.parametrize("textured", [False, True])
def test_pictures_have_the_colours_of_the_mesh_and_soft_edges(textured: bool) -> None:
    mesh = trimesh.creation.icosphere(3, radius=0.4)
    mesh = bake(mesh, lambda p: p + 0.5, 128) if textured else paint(mesh, lambda p: p + 0.5)
    camera = Perspective.orbit(torch.tensor([0.0, 90.0]), 0.0)
    picture = draw(surface_of(mesh), camera, 24, shading=lambda colour, normal: colour, samples=3)
    rays = camera.rays(24)
    along = (rays.origins * rays.directions).sum(-1)
    inside = along**2 - rays.origins.square().sum(-1) + 0.16
    points = rays.origins + (-along - inside.clamp_min(0).sqrt())[..., None] * rays.directions
    whole = inside > 0.06
    torch.testing.assert_close(picture.movedim(1, -1)[whole][:, :3], (points + 0.5)[whole], atol=0.03, rtol=0)
    part = picture[:, 3]
    assert (part[whole] == 1).all() and (part[inside < -0.06] == 0).all()
    assert ((part > 0) & (part < 1)).any() and torch.equal((part * 9).round(), part * 9)
    area = math.pi * (12 * math.tan(math.asin(0.4 / 2.6)) / math.tan(math.radians(20))) ** 2
    assert part[0].sum().item() == pytest.approx(area, rel=0.02)
    ground = over(picture, 0.25)
    assert (ground[:, :, 0, 0] == 0.25).all()
    torch.testing.assert_close(ground.movedim(1, -1)[whole], picture.movedim(1, -1)[whole][:, :3])


def test_light_goes_with_the_camera() -> None:
    mesh = trimesh.creation.icosphere(2, radius=0.4)
    picture = draw(surface_of(mesh), Orthographic.orbit(torch.tensor([0.0, 72.0]), 0.0), 16)  # a symmetry of the icosahedron
    left, right = picture[0, 0, 4:8, 3:8].mean(), picture[0, 0, 4:8, 8:13].mean()
    assert left > right  # the lamp stands to the upper left
    torch.testing.assert_close(picture[0, 3], picture[1, 3], atol=0.3, rtol=0)
    assert (picture[0, :3] - picture[1, :3]).abs().mean() < 0.02
