"""Our operations, losses, cameras and rasterisers beside PyTorch3D's, where it is installed (float32, as its kernels are).

No wheel of it exists for current Pythons; `pip install --no-build-isolation 'git+https://github.com/facebookresearch/pytorch3d.git'`
builds it.
"""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch
import trimesh
from torch import Tensor

from polyscore.shapes import ops
from polyscore.shapes.metrics import chamfer
from polyscore.shapes.render import Orthographic, Perspective, interpolate, rasterise, silhouette
from polyscore.shapes.render import pytorch3d as convention
from polyscore.shapes.render.backends import pytorch3d as backend

theirs = pytest.importorskip("pytorch3d.ops")
loss = pytest.importorskip("pytorch3d.loss")
turning = pytest.importorskip("pytorch3d.transforms")

EULER = ["".join(axes) for axes in itertools.product("XYZ", repeat=3) if axes[0] != axes[1] != axes[2]]


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def near(one: Tensor, other: Tensor, within: float = 1e-5) -> None:
    torch.testing.assert_close(one, other, rtol=within, atol=within)


def agree(at: Tensor, one: Tensor, other: Tensor) -> None:
    """Gradients of two numbers in `at`, apart by less than a thousandth of their length."""
    first, second = (torch.autograd.grad(value, at, retain_graph=True)[0] for value in (one, other))
    assert float((first - second).norm()) < 1e-3 * float(first.norm())


def lump(level: int = 3) -> tuple[Tensor, Tensor]:
    """An uneven ball in the unit box."""
    mesh = trimesh.creation.icosphere(level, radius=0.4)
    vertices = torch.tensor(mesh.vertices, dtype=torch.float32)
    return vertices * (1 + 0.15 * torch.sin(9 * vertices).prod(-1, keepdim=True)), torch.tensor(mesh.faces)


def meshes(vertices: Tensor, faces: Tensor) -> Any:
    return pytest.importorskip("pytorch3d.structures").Meshes([vertices], [faces])


def test_neighbours() -> None:
    points, queries = draw(2, 300, 3), draw(2, 80, 3, seed=1)
    squared, index, _ = theirs.knn_points(queries, points, K=6)
    distance, own = ops.knn(points, queries, 6)
    assert torch.equal(own, index)
    near(distance.square(), squared)
    assert torch.equal(ops.gather(points, own), theirs.knn_gather(points, index))
    _, first, _ = theirs.ball_query(points, points, K=7, radius=0.8)
    for cloud, rows in zip(ops.ball_query(points, 6, 0.8), first, strict=True):
        for i, row in enumerate(rows.tolist()):  # a point is its own neighbour there, and places left over are -1
            others = [j for j in row if j not in (-1, i)][:6]
            assert cloud[i].tolist() == others + [i] * (6 - len(others))


def test_farthest_points() -> None:
    points = draw(2, 400, 3)
    _, index = theirs.sample_farthest_points(points, K=40)
    assert torch.equal(ops.farthest_points(points, 40), index)


def test_normals_of_clouds() -> None:
    points = torch.nn.functional.normalize(draw(1, 500, 3), dim=-1)
    normals = theirs.estimate_pointcloud_normals(points, neighborhood_size=20, disambiguate_directions=False)
    own = ops.estimate_normals(points, neighbours=20)
    near((own * normals).sum(-1).abs(), torch.ones(1, 500), 1e-4)


def test_chamfer_and_its_gradient() -> None:
    x, y = draw(3, 200, 3).requires_grad_(), draw(3, 150, 3, seed=1)
    expected, _ = loss.chamfer_distance(x, y, batch_reduction=None)
    own = chamfer(x, y)
    near(own, expected)
    agree(x, own.sum(), expected.sum())


def test_mesh_losses_and_their_gradients() -> None:
    vertices, faces = lump(2)
    vertices.requires_grad_()
    mesh = meshes(vertices, faces)
    pairs = [
        (ops.edge_length_loss(vertices, faces, 0.1), loss.mesh_edge_loss(mesh, 0.1)),
        (ops.laplacian_loss(vertices, faces), loss.mesh_laplacian_smoothing(mesh, "uniform")),
        (ops.normal_consistency(vertices, faces), loss.mesh_normal_consistency(mesh)),
    ]
    for own, expected in pairs:
        near(own, expected)
        agree(vertices, own, expected)


def test_normals_and_areas_of_meshes() -> None:
    vertices, faces = lump(2)
    mesh = meshes(vertices, faces)
    near(ops.vertex_normals(vertices, faces), mesh.verts_normals_packed())
    near(ops.face_areas(vertices, faces), mesh.faces_areas_packed())
    assert torch.equal(ops.edges_of(faces), mesh.edges_packed())


def test_rotations() -> None:
    vectors = draw(200, 3)
    R = ops.axis_angle_to_matrix(vectors)
    near(R, turning.axis_angle_to_matrix(vectors))
    near(R, turning.so3_exp_map(vectors))
    near(ops.matrix_to_quaternion(R), turning.standardize_quaternion(turning.matrix_to_quaternion(R)))
    q = draw(200, 4, seed=1)
    near(ops.quaternion_to_matrix(q), turning.quaternion_to_matrix(q))
    short = vectors / vectors.norm(dim=-1, keepdim=True).clamp_min(1) * 2.9
    near(ops.so3_log(ops.so3_exp(short)), turning.so3_log_map(turning.so3_exp_map(short)))
    for axes in EULER:
        near(ops.euler_to_matrix(vectors, axes), turning.euler_angles_to_matrix(vectors, axes))
        near(ops.euler_to_matrix(ops.matrix_to_euler(R, axes), axes), R)
    six = draw(200, 6, seed=2)  # columns here, rows there
    near(ops.six_to_matrix(six), turning.rotation_6d_to_matrix(six).mT)
    near(ops.matrix_to_six(R), turning.matrix_to_rotation_6d(R.mT))


def test_motions() -> None:
    """Rotation first and columns here; translation first and rows there."""
    twist = draw(100, 6)
    swapped = twist.roll(3, -1)
    near(ops.se3_exp(twist), turning.se3_exp_map(swapped).mT)
    some = 0.5 * twist
    near(ops.se3_log(ops.se3_exp(some)).roll(3, -1), turning.se3_log_map(turning.se3_exp_map(0.5 * swapped)))


@pytest.mark.parametrize("size", [64, (48, 80)])
def test_cameras(size: int | tuple[int, int]) -> None:
    host = pytest.importorskip("pytorch3d.renderer.cameras")
    views = Perspective.orbit(torch.tensor([0.0, 70.0, 200.0]), torch.tensor([10.0, -30.0, 80.0]))
    points = draw(60, 3) / 3
    R, T = convention(views)
    height, width = (size, size) if isinstance(size, int) else size
    # its vertical field of view is that of the shorter side
    fov = views.fov if height <= width else 2 * torch.rad2deg(torch.atan(torch.deg2rad(views.fov / 2).tan() * width / height))
    cameras = host.FoVPerspectiveCameras(R=R, T=T, fov=fov)
    seen = cameras.transform_points_screen(points.expand(3, -1, -1), image_size=(height, width))
    near(seen[..., :2], views.project(points, size).xy, 1e-4)
    near(cameras.get_world_to_view_transform().transform_points(points)[..., 2], views.project(points, size).depth)


@pytest.mark.parametrize("kind", [Perspective, Orthographic])
@pytest.mark.parametrize("size", [64, (40, 56)])
def test_rasterisers(kind: type[Perspective] | type[Orthographic], size: int | tuple[int, int]) -> None:
    """Only pixels whose centre lies on an edge may see another face or none; elsewhere all is equal."""
    vertices, faces = lump()
    vertices.requires_grad_()
    camera = kind.orbit(torch.tensor([15.0, 130.0]), torch.tensor([20.0, -35.0]))
    own, other = (draw(vertices, faces, camera, size) for draw in (rasterise, backend.rasterise))
    same = own.face == other.face
    assert float(same.float().mean()) > 0.999
    both = same & own.hit
    near(own.depth[both], other.depth[both], 2e-4)  # edge on, theirs is 1.1e-4 from float64 and ours 1.3e-6
    near(own.barycentric[both], other.barycentric[both], 1e-4)
    pictures = [interpolate(found, faces, vertices) for found in (own, other)]
    near(pictures[0][both], pictures[1][both], 1e-4)
    weight = both[..., None] * draw(*own.face.shape, 3)
    agree(vertices, (pictures[0] * weight).sum(), (pictures[1] * weight).sum())


@pytest.mark.parametrize("kind", [Perspective, Orthographic])
def test_silhouettes_and_their_gradients(kind: type[Perspective] | type[Orthographic]) -> None:
    vertices, faces = lump(1)
    vertices.requires_grad_()
    camera = kind.orbit(torch.tensor([15.0, 130.0]), 20.0)
    own = silhouette(vertices, faces, camera, 32, softness=0.7)
    other = backend.silhouette(vertices, faces, camera, 32, softness=0.7, nearest=100)
    near(own, other, 5e-5)
    weight = draw(*own.shape)
    agree(vertices, (own * weight).sum(), (other * weight).sum())


def test_what_is_too_near_is_left_out() -> None:
    vertices, faces = lump(2)
    camera = Perspective.orbit(torch.tensor([0.0, 90.0]), 0.0, torch.tensor([0.3, 2.0]))  # one camera stands inside
    own, other = (draw(vertices, faces, camera, 32) for draw in (rasterise, backend.rasterise))
    assert float((own.face == other.face).float().mean()) > 0.99
    behind = Perspective.orbit(0.0, 0.0, centre=(0.0, 0.0, 10.0))
    gone = backend.rasterise(vertices - torch.tensor([0.0, 0.0, -20.0]), faces, behind, 8)
    assert not bool(gone.hit.any())
    assert bool(torch.isinf(gone.depth).all())
