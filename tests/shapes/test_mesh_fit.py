"""Remeshing keeps a manifold a manifold; a sphere becomes what its views show."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import trimesh

from polyscore.errors import InputError
from polyscore.shapes.mesh import NormalViews, examine, fit_views, is_solid, remesh
from polyscore.shapes.render import Camera, Orthographic, Surface, draw, normal_map


def as_mesh(points: object, faces: object) -> trimesh.Trimesh:
    return trimesh.Trimesh(np.asarray(points), np.asarray(faces), process=False)


@pytest.mark.parametrize("edge", [0.2, 0.06])
@pytest.mark.parametrize("genus", [0, 1])
def test_edges_become_as_long_as_wanted_and_the_surface_stays(edge: float, genus: int) -> None:
    start = trimesh.creation.torus(0.35, 0.14) if genus else trimesh.creation.icosphere(2, radius=0.4)
    points, faces = np.asarray(start.vertices), np.asarray(start.faces)
    for _ in range(6):
        points, faces, _ = remesh(points, faces, edge)
        facts = examine(as_mesh(points, faces))
        assert facts.watertight and facts.winding and facts.euler_number == 2 - 2 * genus
    mesh = as_mesh(points, faces)
    if not (genus and edge == 0.2):  # a tube as thick as an edge is long holds its edges back
        assert 0.75 * edge < mesh.edges_unique_length.mean() < 1.25 * edge
    valence = np.bincount(mesh.edges_unique.reshape(-1))
    assert np.median(valence) == 6 and valence.min() >= 3 and valence.max() <= 9
    assert mesh.volume == pytest.approx(start.volume, rel=0.15 if edge == 0.2 else 0.05)


@pytest.mark.parametrize("seed", range(3))
def test_rough_surfaces_stay_closed_and_values_are_averaged(seed: int) -> None:
    mesh = trimesh.creation.icosphere(2)
    draw_ = np.random.default_rng(seed)
    points, faces = np.asarray(mesh.vertices) + 0.12 * draw_.normal(size=mesh.vertices.shape), np.asarray(mesh.faces)
    values = np.stack([np.full(len(points), 2.5), draw_.uniform(-1, 1, len(points))], axis=1)
    for edge in (0.4, 0.15, 0.3, 0.5):
        points, faces, values = remesh(points, faces, edge, values)
        assert is_solid(as_mesh(points, faces)) and len(values) == len(points)
        assert (values[:, 0] == 2.5).all() and np.abs(values[:, 1]).max() <= 1


def test_only_closed_surfaces_are_remeshed() -> None:
    box = trimesh.creation.box()
    with pytest.raises(InputError, match="closed oriented mesh"):
        remesh(box.vertices, box.faces[1:], 0.5)
    with pytest.raises(InputError, match="an edge of 0"):
        remesh(box.vertices, box.faces, 0.0)


def seen(mesh: trimesh.Trimesh, camera: Camera, size: int) -> NormalViews:
    """The views of a solid; a box has one normal a face."""
    corners = torch.tensor(np.array(mesh.vertices[mesh.faces]), dtype=torch.float32).reshape(-1, 3)
    vertices, faces = corners, torch.arange(len(corners)).reshape(-1, 3)
    if len(mesh.faces) > 100:
        vertices = torch.tensor(np.array(mesh.vertices), dtype=torch.float32)
        faces = torch.tensor(np.array(mesh.faces))
    normals, _ = normal_map(vertices, faces, camera, size)
    picture = draw(Surface(vertices, faces, torch.zeros_like(vertices), torch.ones_like(vertices)), camera, size, samples=4)
    return NormalViews(camera, normals, picture[:, 3])


@pytest.mark.parametrize("kind", ["ellipsoid", "box"])
def test_a_sphere_becomes_what_its_views_show(kind: str) -> None:
    wanted = trimesh.creation.icosphere(4) if kind == "ellipsoid" else trimesh.creation.box((0.6, 0.5, 0.4))
    if kind == "ellipsoid":
        wanted.apply_scale([0.45, 0.3, 0.25])
    camera = Orthographic.orbit(torch.tensor([0.0, 90, 180, 270, 0, 0]), torch.tensor([0.0, 0, 0, 0, 90, -90]), height=1.2)
    start = trimesh.creation.icosphere(2, radius=0.35)
    vertices, faces = torch.tensor(np.array(start.vertices), dtype=torch.float32), torch.tensor(np.array(start.faces))
    log = list(fit_views(seen(wanted, camera, 40), vertices, faces, steps=50, edges=(0.12, 0.06)))
    last = log[-1]
    mesh = as_mesh(last.vertices, last.faces)
    assert is_solid(mesh) and mesh.euler_number == 2
    normals = [step.normals_loss for step in log]
    rims = [step.silhouette_loss for step in log]
    # normals that are smooth at the vertices cannot follow the edges of a box closer than two edges of the mesh
    assert np.mean(normals[-5:]) < (0.1 if kind == "ellipsoid" else 0.5) * normals[0]
    assert np.mean(rims[-5:]) < 0.05 * rims[0]
    np.testing.assert_allclose(mesh.extents, wanted.extents, rtol=0.03 if kind == "ellipsoid" else 0.1)
    assert mesh.volume == pytest.approx(wanted.volume, rel=0.1 if kind == "ellipsoid" else 0.18)
    again = list(fit_views(seen(wanted, camera, 40), vertices, faces, steps=3, edges=(0.12, 0.06)))
    assert torch.equal(again[0].vertices, log[0].vertices)


def test_what_cannot_be_fitted() -> None:
    camera = Orthographic.orbit(torch.tensor([0.0]), 0.0)
    with pytest.raises(InputError, match=r"coverage \(1, 4, 5\)"):
        NormalViews(camera, torch.zeros(1, 4, 4, 3), torch.zeros(1, 4, 5))
    views = NormalViews(camera, torch.zeros(1, 4, 4, 3), torch.zeros(1, 4, 4))
    with pytest.raises(InputError, match="0 steps"):
        next(fit_views(views, torch.zeros(4, 3), torch.zeros(4, 3, dtype=torch.long), steps=0))
