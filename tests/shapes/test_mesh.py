"""The tool chain: surfaces that are closed for every field, few queries, exact volumes, colours that stay where they belong."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import trimesh
from torch import Tensor

from polyscore.errors import InputError
from polyscore.shapes.mesh import (
    Field,
    bake,
    body,
    clean,
    examine,
    is_solid,
    isosurface,
    largest_body,
    mesh_bytes,
    paint,
    read_mesh,
    sample_surface,
    simplify,
    smooth,
    solid,
    triangulate,
    unit_box,
    write_mesh,
)


def ball(p: Tensor) -> Tensor:
    inside: Tensor = 0.35 - torch.linalg.vector_norm(p, dim=-1)
    return inside


def ring(p: Tensor) -> Tensor:
    tube = torch.stack([p[:, [0, 2]].norm(dim=-1) - 0.3, p[:, 1]], -1)
    inside: Tensor = 0.1 - torch.linalg.vector_norm(tube, dim=-1)
    return inside


def stool(p: Tensor) -> Tensor:
    """A seat on four legs, each thinner than a coarse cell."""
    seat = 0.05 - torch.maximum((p[:, 1] - 0.2).abs(), p[:, [0, 2]].norm(dim=-1) - 0.25)
    legs = torch.minimum(0.012 - (p[:, [0, 2]].abs() - 0.15).norm(dim=-1), 0.35 - (p[:, 1] + 0.15).abs())
    return torch.maximum(torch.minimum(seat, 0.3 - p[:, [0, 2]].norm(dim=-1)), legs)


def noise(seed: int, points: int = 17, *, smooth_by: int = 0) -> Field:
    """Independent values at the points of a grid, or a random trigonometric polynomial."""
    draw = torch.Generator().manual_seed(seed)
    table = torch.randn(points, points, points, generator=draw)
    waves, phase = 9 * torch.randn(40, 3, generator=draw), 6.3 * torch.rand(40, generator=draw)

    def rough(p: Tensor) -> Tensor:
        i, j, k = ((p + 0.5) * (points - 1)).round().long().unbind(-1)
        return table[i, j, k]

    return rough if not smooth_by else lambda p: torch.cos(p @ waves.T + phase).mean(-1)


def look(mesh: trimesh.Trimesh) -> Any:
    return mesh.visual


def colours(p: Tensor) -> Tensor:
    return p + 0.5


@pytest.mark.parametrize("field", [ball, ring, stool])
def test_following_the_surface_asks_little_and_finds_the_mesh_of_the_full_grid(field: Field) -> None:
    few = sample_surface(field, 128)
    full = sample_surface(field, 128, coarse=128)
    assert full.queries == 127**3
    assert few.queries * 8 <= full.queries
    sparse, dense = triangulate(few), triangulate(full)
    assert np.array_equal(sparse.vertices, dense.vertices)
    assert np.array_equal(sparse.faces, dense.faces)
    assert is_solid(sparse)


@pytest.mark.parametrize("seed", range(4))
def test_also_where_corners_alternate_and_bodies_touch(seed: int) -> None:
    field = noise(seed, smooth_by=1)
    dense = isosurface(field, 32, coarse=32)
    sparse = isosurface(field, 32, coarse=8)
    # what no coarse edge found are whole bodies: all that was found is in the dense mesh, in its order
    known = {point.tobytes() for point in sparse.vertices}
    kept = np.array([point.tobytes() in known for point in dense.vertices])
    assert np.array_equal(dense.vertices[kept], sparse.vertices)
    assert len(sparse.faces) == kept[dense.faces].all(axis=1).sum() >= 0.9 * len(dense.faces)
    assert examine(sparse).watertight and examine(sparse).winding


@pytest.mark.parametrize("seed", range(4))
def test_every_field_has_a_closed_surface_of_distinct_points(seed: int) -> None:
    field = noise(seed)
    rough: Field = field if seed % 2 else lambda p: (field(p) > 1).float() - 0.5
    mesh = isosurface(rough, 16)
    facts = examine(mesh)
    assert facts.watertight and facts.winding and facts.degenerate_faces == 0
    assert facts.volume is not None and facts.volume > 0
    single = np.asarray(mesh.vertices, dtype=np.float32)  # as a file has them
    assert len(np.unique(single, axis=0)) == len(single)
    rims = {edge for face in mesh.faces.tolist() for edge in zip(face, face[1:] + face[:1], strict=True)}
    assert all((b, a) in rims for a, b in rims)
    # a manifold at its vertices too: the faces around one are one fan
    around: dict[int, list[tuple[int, int]]] = {}
    for a, b, c in mesh.faces.tolist():
        for corner, start, end in ((a, b, c), (b, c, a), (c, a, b)):
            around.setdefault(corner, []).append((start, end))
    for fan in around.values():
        successor = dict(fan)
        assert len(successor) == len(fan)
        first = here = fan[0][0]
        length = 0
        while length == 0 or here != first:
            here, length = successor[here], length + 1
        assert length == len(fan)


def test_volumes_converge_with_the_square_of_the_cell() -> None:
    off = [abs(isosurface(ball, n).volume - 4 / 3 * math.pi * 0.35**3) for n in (16, 32, 64)]
    assert off[0] / off[1] > 3 and off[1] / off[2] > 3
    assert isosurface(ball, 32).euler_number == 2
    assert isosurface(ring, 64).euler_number == 0


def test_a_body_that_meets_the_box_is_cut_off_flat() -> None:
    mesh = isosurface(lambda p: 0.2 - p[:, [0, 1]].norm(dim=-1), 32)
    assert is_solid(mesh)
    np.testing.assert_allclose(mesh.bounds[:, 2], [-0.5, 0.5], atol=0.02 / 32)
    assert is_solid(isosurface(lambda p: torch.ones(len(p), 1), 8))


def test_fields_that_have_no_surface() -> None:
    with pytest.raises(InputError, match="positive at no point"):
        isosurface(lambda p: -torch.ones(len(p)), 8)
    with pytest.raises(InputError, match=r"343 that are not finite"):
        isosurface(lambda p: torch.full((len(p),), torch.nan), 8)
    with pytest.raises(InputError, match="resolution 3"):
        isosurface(ball, 3)


def test_the_largest_body_has_neither_crumbs_nor_cavities() -> None:
    def crumbs(p: Tensor) -> Tensor:
        hollow = torch.minimum(ball(p), p.norm(dim=-1) - 0.2)
        return torch.maximum(hollow, 0.06 - (p - torch.tensor([0.42, 0.42, 0.42])).norm(dim=-1))

    mesh = isosurface(crumbs, 64)
    assert examine(mesh).bodies == 3
    whole = largest_body(mesh)
    assert is_solid(whole)
    assert whole.volume == pytest.approx(4 / 3 * math.pi * 0.35**3, rel=0.01)


def test_smoothing_keeps_volume_and_topology() -> None:
    rough = isosurface(lambda p: (ring(p) > 0).float() - 0.5, 48)
    even = smooth(rough, 20)
    assert even.volume == pytest.approx(rough.volume, rel=0.03)
    assert np.array_equal(even.faces, rough.faces)
    exact = 4 * math.pi**2 * 0.3 * 0.1
    assert rough.area > 1.05 * exact  # the steps of the voxels
    assert even.area == pytest.approx(exact, rel=0.01)
    assert np.array_equal(smooth(rough, 0).vertices, rough.vertices)


@pytest.mark.parametrize(("field", "genus"), [(ball, 0), (ring, 1), (stool, 0)])
def test_simplification_keeps_a_body_a_body(field: Field, genus: int) -> None:
    fine = largest_body(isosurface(field, 96))
    coarse = simplify(fine, 600)
    assert is_solid(coarse) and len(coarse.faces) <= 1200
    assert coarse.euler_number == 2 - 2 * genus
    assert coarse.volume == pytest.approx(fine.volume, rel=0.02)
    np.testing.assert_allclose(coarse.bounds, fine.bounds, atol=0.01)  # the thin legs too
    assert len(simplify(coarse, 5000).faces) == len(coarse.faces)


def test_simplification_stops_before_it_closes_a_handle() -> None:
    assert simplify(isosurface(ring, 32), 4).euler_number == 0


def test_cleaning_welds_and_drops_what_is_no_face() -> None:
    box = trimesh.creation.box()
    points = np.concatenate([box.vertices[box.faces].reshape(-1, 3), [[np.nan, 0, 0], [9, 9, 9]]])
    faces = np.concatenate([np.arange(36).reshape(-1, 3), [[0, 0, 1], [0, 1, 36], [0, 1, 0]]])
    broken = trimesh.Trimesh(points, faces, process=False)
    facts = examine(broken)
    assert (facts.nan_vertices, facts.watertight, facts.degenerate_faces) == (1, False, 2)
    whole = clean(broken)
    assert is_solid(whole) and len(whole.vertices) == 8 and whole.volume == pytest.approx(1)
    with pytest.raises(InputError, match="no face"):
        clean(trimesh.Trimesh([[0, 0, 0], [1, 0, 0], [2, 0, 0]], [[0, 1, 2]], process=False))


def test_facts_of_known_solids() -> None:
    two: Any = trimesh.util.concatenate([trimesh.creation.box(), trimesh.creation.icosphere().apply_translation([5, 0, 0])])
    facts = examine(two)
    assert (facts.bodies, facts.euler_number, facts.watertight, facts.winding) == (2, 4, True, True)
    assert facts.volume == pytest.approx(two.volume) and facts.low == pytest.approx((-0.5, -1, -1))
    open_box = trimesh.Trimesh(trimesh.creation.box().vertices, trimesh.creation.box().faces[1:], process=False)
    facts = examine(open_box)
    assert (facts.watertight, facts.open_edges, facts.volume, facts.euler_number) == (False, 3, None, 1)
    flipped = trimesh.creation.box()
    flipped.faces[0] = flipped.faces[0][::-1]
    assert not examine(flipped).winding and examine(flipped).watertight
    fin = trimesh.Trimesh([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1], [0, -1, 0]], [[0, 1, 2], [0, 1, 3], [0, 1, 4]])
    assert examine(fin).crowded_edges == 1


def test_a_solid_is_one_coloured_body_in_the_unit_box() -> None:
    mesh = solid(ring, colours, 48, faces=1500, smoothing=3)
    facts = examine(mesh)
    assert facts.watertight and facts.bodies == 1 and facts.faces <= 1500
    np.testing.assert_allclose(mesh.bounds.mean(axis=0), 0, atol=1e-9)
    assert mesh.extents.max() == pytest.approx(1)
    there = body(ring, 48, faces=1500, smoothing=3)
    np.testing.assert_allclose(look(mesh).vertex_colors[:, :3] / 255, there.vertices + 0.5, atol=0.003)


def test_a_texture_has_the_colours_of_the_places_it_covers() -> None:
    plain = body(ring, 48, faces=1500)
    mesh = bake(plain, colours, 256, metallic=0.5)
    assert look(mesh).material.metallicFactor == 0.5
    # read the picture between texels, as a viewer does, in the middle of every face
    picture = np.asarray(look(mesh).material.baseColorTexture) / 255
    place = look(mesh).uv[mesh.faces].mean(axis=1) * [1, -1] + [0, 1]
    corner = np.floor(place * 256 - 0.5).astype(int)
    share = place * 256 - 0.5 - corner
    seen = np.zeros((len(place), 3))
    for i in (0, 1):
        for j in (0, 1):
            weight = np.abs(1 - i - share[:, 0]) * np.abs(1 - j - share[:, 1])
            seen += weight[:, None] * picture[np.clip(corner[:, 1] + j, 0, 255), np.clip(corner[:, 0] + i, 0, 255)]
    np.testing.assert_allclose(seen, mesh.triangles_center + 0.5, atol=0.01)
    assert examine(mesh).watertight
    # the normals at seams are those of the whole surface, also in the unit box and in the file
    index = {tuple(point): normal for point, normal in zip(plain.vertices, plain.vertex_normals, strict=True)}
    whole = np.array([index[tuple(point)] for point in mesh.vertices])
    np.testing.assert_allclose(mesh.vertex_normals, whole, atol=1e-9)
    np.testing.assert_allclose(unit_box(mesh).vertex_normals, whole, atol=1e-9)
    scene = trimesh.load_scene(trimesh.util.wrap_as_stream(mesh_bytes(mesh, ".glb")), file_type="glb", process=False)
    np.testing.assert_allclose(scene.geometry["shape"].vertex_normals, whole, atol=1e-5)


def test_colours_of_another_shape() -> None:
    with pytest.raises(InputError, match=r"shape \(\d+, 2\)"):
        paint(isosurface(ball, 8), lambda p: p[:, :2])
    with pytest.raises(InputError, match="4 texels"):
        bake(isosurface(ball, 8), colours, 4)


@pytest.mark.parametrize("kind", [".glb", ".obj", ".ply", ".stl"])
def test_files_hold_the_mesh_and_the_same_mesh_has_the_same_bytes(kind: str, tmp_path: Path) -> None:
    mesh = solid(ring, colours, 32, faces=1000)
    path = write_mesh(tmp_path / f"ring{kind}", mesh)
    again = mesh_bytes(solid(ring, colours, 32, faces=1000), kind.upper())
    assert path.read_bytes() == again
    assert [name.name for name in tmp_path.iterdir()] == [path.name]
    loaded = read_mesh(path)
    facts = examine(loaded)
    assert facts.watertight and facts.volume == pytest.approx(mesh.volume, rel=1e-5)
    if kind == ".stl":
        assert facts.colours is None
        return
    np.testing.assert_allclose(loaded.vertices, mesh.vertices, atol=1e-6)
    if kind == ".glb":
        assert (loaded.metadata["metallic"], loaded.metadata["roughness"]) == (0.0, 0.9)
        shiny = read_mesh(write_mesh(tmp_path / "shiny.glb", unit_box(paint(loaded, colours, metallic=0.75, roughness=0.25))))
        assert (shiny.metadata["metallic"], shiny.metadata["roughness"]) == (0.75, 0.25)
    # bytes of linear light are coarse where it is dark
    np.testing.assert_allclose(
        look(loaded).vertex_colors.astype(int), look(mesh).vertex_colors.astype(int), atol=7 if kind == ".glb" else 0
    )


@pytest.mark.parametrize("kind", [".glb", ".obj", ".ply"])
def test_textured_meshes_in_files(kind: str, tmp_path: Path) -> None:
    mesh = unit_box(bake(body(ball, 24, faces=600), colours, 64, roughness=0.25))
    path = write_mesh(tmp_path / f"ball{kind}", mesh)
    assert path.read_bytes() == mesh_bytes(unit_box(bake(body(ball, 24, faces=600), colours, 64, roughness=0.25)), kind)
    loaded = read_mesh(path)
    assert examine(loaded).watertight
    if kind == ".glb":
        assert look(loaded).material.roughnessFactor == 0.25
        assert np.array_equal(look(loaded).material.baseColorTexture, look(mesh).material.baseColorTexture)
    else:
        assert look(loaded).kind == "vertex"
        seen = look(loaded).vertex_colors[:, :3] / 255
        assert np.median(np.abs(seen - (loaded.vertices * 0.7 + 0.5))) < 0.02


def test_damaged_and_foreign_files(tmp_path: Path) -> None:
    good = mesh_bytes(isosurface(ball, 8), ".glb")
    cases = {
        "empty.glb": b"",
        "cut.glb": good[: len(good) // 2],
        "text.stl": b"no mesh at all",
        "points.ply": b"ply\nformat ascii 1.0\nelement vertex 1\n"
        + b"".join(b"property float %c\n" % axis for axis in b"xyz")
        + b"end_header\n0 0 0\n",
        "far.obj": b"v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 9\n",
        "mesh.txt": b"v 0 0 0",
    }
    for name, data in cases.items():
        (tmp_path / name).write_bytes(data)
        with pytest.raises(InputError, match=name.replace(".", r"\.")):
            read_mesh(tmp_path / name)
    with pytest.raises(InputError, match="no such file"):
        read_mesh(tmp_path / "absent.glb")
    with pytest.raises(InputError, match="suffix"):
        mesh_bytes(isosurface(ball, 8), ".blend")
