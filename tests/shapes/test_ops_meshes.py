"""Operations on meshes and rotations: closed forms, invariances, exact inverses, scipy."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from scipy.spatial.transform import Rotation
from torch import Tensor

from polyscore.errors import InputError
from polyscore.lie import se3_exp, transform
from polyscore.shapes import ops

EULER = ["".join(axes) for axes in itertools.product("XYZ", repeat=3) if axes[0] != axes[1] != axes[2]]


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def tetrahedron() -> tuple[Tensor, Tensor]:
    """A regular one with edges of length 1, outward."""
    vertices = torch.tensor([[1.0, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]], dtype=torch.float64) / math.sqrt(8)
    return vertices, torch.tensor([[0, 1, 2], [0, 2, 3], [0, 3, 1], [1, 3, 2]])


def plane(n: int) -> tuple[Tensor, Tensor]:
    """A square of n^2 points, a triangle lattice."""
    at = torch.cartesian_prod(torch.arange(n), torch.arange(n)).double()
    i = torch.arange(n * n).reshape(n, n)[:-1, :-1].reshape(-1)
    faces = torch.cat([torch.stack([i, i + n, i + 1], -1), torch.stack([i + n, i + n + 1, i + 1], -1)])
    return torch.cat([at, torch.zeros(n * n, 1).double()], -1), faces


def test_a_regular_tetrahedron() -> None:
    vertices, faces = tetrahedron()
    torch.testing.assert_close(ops.face_areas(vertices, faces), torch.full((4,), math.sqrt(3) / 4).double())
    torch.testing.assert_close(ops.vertex_normals(vertices, faces), vertices / vertices.norm(dim=-1, keepdim=True))
    assert ops.edges_of(faces).tolist() == [[0, 1], [0, 2], [0, 3], [1, 2], [1, 3], [2, 3]]
    assert sorted(map(sorted, ops.face_pairs(faces).tolist())) == [list(pair) for pair in itertools.combinations(range(4), 2)]
    assert ops.edge_length_loss(vertices, faces, 0.25).item() == pytest.approx(0.75**2)
    # the neighbours' mean is -v / 3, so the difference is 4 |v| / 3, and |v| = sqrt(3 / 8)
    assert ops.laplacian_loss(vertices, faces).item() == pytest.approx(4 / 3 * math.sqrt(3 / 8))
    assert ops.normal_consistency(vertices, faces).item() == pytest.approx(4 / 3)  # outward normals meet at cos = -1/3


def test_a_plane_costs_nothing_inside() -> None:
    vertices, faces = plane(6)
    assert ops.normal_consistency(vertices, faces).item() == pytest.approx(0, abs=1e-12)
    normals = ops.vertex_normals(vertices, faces)
    torch.testing.assert_close(normals, torch.tensor([0.0, 0, 1]).double().expand_as(normals))
    middle = vertices.clone().requires_grad_()
    ops.laplacian_loss(middle, faces).backward()  # type: ignore[no-untyped-call]
    assert middle.grad is not None and middle.grad.isfinite().all()


def test_an_edge_of_three_faces_makes_three_pairs() -> None:
    fin = torch.tensor([[0, 1, 2], [0, 1, 3], [1, 0, 4]])
    assert sorted(map(sorted, ops.face_pairs(fin).tolist())) == [[0, 1], [0, 2], [1, 2]]
    assert ops.face_pairs(torch.tensor([[0, 1, 2]])).shape == (0, 2)


def test_losses_do_not_see_rigid_motions_and_have_their_derivatives() -> None:
    vertices, faces = plane(4)
    vertices = vertices + 0.2 * draw(16, 3)
    g = se3_exp(draw(6, seed=1))
    for loss in (ops.edge_length_loss, ops.laplacian_loss, ops.normal_consistency):
        torch.testing.assert_close(loss(transform(g, vertices), faces), loss(vertices, faces))
        assert torch.autograd.gradcheck(lambda x, loss=loss: loss(x, faces), vertices.clone().requires_grad_())
    torch.testing.assert_close(
        ops.vertex_normals(transform(g, vertices), faces), ops.vertex_normals(vertices, faces) @ g[:3, :3].T
    )
    both = ops.vertex_normals(torch.stack([vertices, 2 * vertices]), faces)
    torch.testing.assert_close(both[0], both[1])


def test_points_fall_on_faces_by_area_and_evenly_on_each() -> None:
    vertices = torch.tensor([[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [3, 0, 0]], dtype=torch.float64)
    faces = torch.tensor([[0, 1, 2], [1, 3, 2], [0, 0, 1]])
    count = 40_000
    points, face, place = ops.sample_points(vertices, faces, count, generator=torch.Generator().manual_seed(0))
    share = torch.bincount(face, minlength=3) / count
    assert share.tolist() == pytest.approx([1 / 3, 2 / 3, 0], abs=4 * math.sqrt(2 / 9 / count))
    torch.testing.assert_close((place[..., None] * vertices[faces[face]]).sum(-2), points)
    torch.testing.assert_close(place.sum(-1), torch.ones(count).double())
    inside = place[face == 0]
    # the moments of the uniform law on a triangle: mean 1/3, variance 1/18, covariance -1/36
    exact = torch.eye(3).double() / 12 - 1 / 36
    torch.testing.assert_close(inside.mean(0), torch.full((3,), 1 / 3).double(), atol=0.01, rtol=0)
    torch.testing.assert_close(torch.cov(inside.T), exact, atol=0.003, rtol=0)
    again = ops.sample_points(vertices, faces, count, generator=torch.Generator().manual_seed(0))[0]
    assert torch.equal(points, again)
    with pytest.raises(InputError, match="area of 0"):
        ops.sample_points(vertices, faces[2:], 3, generator=torch.Generator())


def test_farthest_points_by_brute_force_and_their_guarantee() -> None:
    points = draw(2, 60, 3)
    index = ops.farthest_points(points, 12, start=5)
    for b in range(2):
        chosen = [5]
        while len(chosen) < 12:
            distance = torch.cdist(points[b], points[b][chosen]).amin(-1)
            chosen.append(int(distance.argmax()))
        assert index[b].tolist() == chosen
    line = torch.arange(9.0)[:, None]
    assert ops.farthest_points(line, 5).tolist() == [0, 8, 4, 2, 6]
    with pytest.raises(InputError, match="10 of 9"):
        ops.farthest_points(line, 10)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_quaternions_are_scipys_also_at_half_turns_and_at_rest(dtype: torch.dtype) -> None:
    exact = draw(50, 4)
    exact[:3] = torch.tensor([[0.0, 1, 0, 0], [1, 0, 0, 0], [1, 1e-9, 0, 0]]).double()
    exact = exact / exact.norm(dim=-1, keepdim=True)
    exact = torch.where(exact[:, :1] < 0, -exact, exact)
    R = ops.quaternion_to_matrix(3 * exact.to(dtype))
    torch.testing.assert_close(R.double(), torch.from_numpy(Rotation.from_quat(exact[:, [1, 2, 3, 0]].numpy()).as_matrix()),
                               atol=1e-6 if dtype == torch.float32 else 1e-12, rtol=0)  # fmt: skip
    back = ops.matrix_to_quaternion(R).double()
    torch.testing.assert_close(back.abs() if dtype == torch.float32 else back, exact.abs() if dtype == torch.float32 else exact,
                               atol=1e-6 if dtype == torch.float32 else 1e-9, rtol=0)  # fmt: skip
    torch.testing.assert_close(ops.quaternion_to_matrix(back), R.double(), atol=2e-6, rtol=0)


def test_axis_angle_is_the_exponential() -> None:
    w = draw(20, 3)
    exact = torch.from_numpy(Rotation.from_rotvec(w.numpy()).as_matrix())
    torch.testing.assert_close(ops.axis_angle_to_matrix(w), exact)
    torch.testing.assert_close(ops.matrix_to_axis_angle(exact), torch.from_numpy(Rotation.from_matrix(exact.numpy()).as_rotvec()))


@pytest.mark.parametrize("axes", EULER)
def test_euler_angles_are_scipys_and_gimbal_lock_keeps_the_rotation(axes: str) -> None:
    proper = axes[0] == axes[2]
    angles = (torch.rand(40, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64) - 0.5) * 6
    angles[:, 1] = angles[:, 1].abs() if proper else angles[:, 1] / 2
    locked = [0.0, math.pi, 0.0, math.pi] if proper else [math.pi / 2, -math.pi / 2] * 2
    angles[:4, 1] = torch.tensor(locked, dtype=torch.float64)
    R = ops.euler_to_matrix(angles, axes)
    torch.testing.assert_close(R, torch.from_numpy(Rotation.from_euler(axes, angles.numpy()).as_matrix()))
    found = ops.matrix_to_euler(R, axes)
    torch.testing.assert_close(found[4:], angles[4:])
    torch.testing.assert_close(ops.euler_to_matrix(found, axes), R, atol=1e-10, rtol=0)
    assert (found[:4, 2] == 0).all()


def test_six_numbers() -> None:
    R = ops.axis_angle_to_matrix(draw(20, 3))
    torch.testing.assert_close(ops.six_to_matrix(ops.matrix_to_six(R)), R)
    loose = ops.six_to_matrix(draw(20, 6, seed=2))
    torch.testing.assert_close(loose @ loose.mT, torch.eye(3).double().expand(20, 3, 3))
    torch.testing.assert_close(torch.det(loose), torch.ones(20).double())
    assert torch.autograd.gradcheck(ops.six_to_matrix, draw(2, 6, seed=3).requires_grad_())


def test_rotations_of_other_shapes() -> None:
    for convert, size in ((ops.quaternion_to_matrix, 4), (ops.six_to_matrix, 6), (ops.euler_to_matrix, 3)):
        with pytest.raises(InputError, match=f"expected \\(..., {size}\\)"):
            convert(torch.zeros(2, 5))
    for axes in ("XXY", "xyz", "XY"):
        with pytest.raises(InputError, match="three of X, Y, Z"):
            ops.euler_to_matrix(torch.zeros(3), axes)
