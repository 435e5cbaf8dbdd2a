"""Cameras: closed forms of the orbit, projection against rays, and what a camera must not accept."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from polyscore.errors import InputError
from polyscore.shapes.render import Camera, Matrices, Orthographic, Perspective, from_opencv, opencv, orbit, pytorch3d

AZIMUTH = torch.tensor([0.0, 37.0, 90.0, 200.0, 300.0], dtype=torch.float64)
ELEVATION = torch.tensor([0.0, 20.0, -35.0, 90.0, 60.0], dtype=torch.float64)
CENTRE = (0.1, -0.2, 0.3)
KINDS = (Perspective, Orthographic)


def cameras(kind: type[Perspective] | type[Orthographic]) -> Camera:
    return kind.orbit(AZIMUTH, ELEVATION, 3.0, centre=CENTRE)


def test_the_front_camera_stands_on_the_z_axis_and_azimuth_turns_it_towards_x() -> None:
    front, side, top = orbit(torch.tensor([0.0, 90.0, 0.0]), torch.tensor([0.0, 0.0, 90.0]), 2.0)
    torch.testing.assert_close(front, torch.tensor([[1.0, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 2], [0, 0, 0, 1]]))
    torch.testing.assert_close(side[:3, 3], torch.tensor([2.0, 0, 0]), atol=1e-6, rtol=0)
    torch.testing.assert_close(side[:3, 0], torch.tensor([0.0, 0, -1]), atol=1e-6, rtol=0)  # its right is the object's back
    torch.testing.assert_close(top[:3, 1], torch.tensor([0.0, 0, -1]), atol=1e-6, rtol=0)  # from above, back is up


def test_poses_are_motions_that_look_at_the_centre() -> None:
    pose = orbit(AZIMUTH, ELEVATION, 3.0, centre=CENTRE)
    R = pose[:, :3, :3]
    torch.testing.assert_close(R @ R.mT, torch.eye(3, dtype=torch.float64).expand(5, 3, 3))
    torch.testing.assert_close(torch.det(R), torch.ones(5, dtype=torch.float64))
    torch.testing.assert_close(pose[:, :3, 3] - 3.0 * R[..., 2], torch.tensor(CENTRE, dtype=torch.float64).expand(5, 3))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", [(5, 9), (8, 3)])
def test_projection_undoes_rays(kind: type[Perspective], size: tuple[int, int]) -> None:
    view = cameras(kind)
    rays = view.rays(size)
    torch.testing.assert_close(rays.directions.norm(dim=-1), torch.ones(5, *size, dtype=torch.float64))
    x, y = torch.arange(size[1]) + 0.5, torch.arange(size[0]) + 0.5
    centres = torch.stack([x.expand(size), y[:, None].expand(size)], -1).double().reshape(-1, 2)
    for along in (0.5, 2.0, 7.0):
        points = (rays.origins + along * rays.directions).reshape(5, -1, 3)
        projected = view.project(points, size)
        torch.testing.assert_close(projected.xy, centres.expand(5, -1, 2))
        axis = -view.rotation[:, :, 2]
        torch.testing.assert_close(projected.depth, ((points - view.position[:, None]) * axis[:, None]).sum(-1))


@pytest.mark.parametrize("kind", KINDS)
def test_the_central_ray_is_the_viewing_axis(kind: type[Perspective]) -> None:
    view = cameras(kind)
    rays = view.rays((7, 3))
    torch.testing.assert_close(rays.directions[:, 3, 1], -view.rotation[..., 2])
    torch.testing.assert_close(rays.origins[:, 3, 1], view.position)
    centre = view.project(torch.tensor([CENTRE], dtype=torch.float64), 8)
    torch.testing.assert_close(centre.xy, torch.full((5, 1, 2), 4.0, dtype=torch.float64))
    torch.testing.assert_close(centre.depth, torch.full((5, 1), 3.0, dtype=torch.float64))


def test_the_field_of_view_is_the_angle_between_top_and_bottom() -> None:
    for fov in (30.0, 90.0):
        view = Perspective.orbit(0.0, 0.0, 2.0, fov=fov)
        half = 2.0 * math.tan(math.radians(fov) / 2)
        xy = view.project(torch.tensor([[0.0, half, 0.0], [0.0, -half, 0.0], [half, 0.0, 0.0]]), (10, 30)).xy[0]
        torch.testing.assert_close(xy, torch.tensor([[15.0, 0.0], [15.0, 10.0], [20.0, 5.0]]), atol=1e-4, rtol=0)


def test_an_orthographic_picture_covers_its_height_at_every_depth() -> None:
    view = Orthographic.orbit(0.0, 0.0, 2.0, height=4.0)
    points = torch.tensor([[2.0, 2.0, 1.5], [-2.0, -2.0, -9.0]])
    projected = view.project(points, 16)
    torch.testing.assert_close(projected.xy[0], torch.tensor([[16.0, 0.0], [0.0, 16.0]]))
    assert projected.w.tolist() == [[1.0, 1.0]]


@pytest.mark.parametrize("kind", KINDS)
def test_the_default_cameras_show_the_unit_cube_from_everywhere(kind: type[Perspective]) -> None:
    corners = torch.cartesian_prod(*[torch.tensor([-0.5, 0.5])] * 3)
    view = kind.orbit(torch.arange(0.0, 360.0, 15.0), 35.0)
    xy = view.project(corners, 64).xy
    assert xy.min() > 0 and xy.max() < 64


@settings(max_examples=30, deadline=None)
@given(st.floats(-180, 180), st.floats(-80, 80), st.floats(-180, 180))
def test_turning_camera_and_object_together_changes_nothing(azimuth: float, elevation: float, turn: float) -> None:
    points = torch.randn(20, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64) / 3
    a = math.radians(turn)
    about_y = torch.tensor([[math.cos(a), 0, math.sin(a)], [0, 1, 0], [-math.sin(a), 0, math.cos(a)]], dtype=torch.float64)

    def at(angle: float) -> Camera:
        return Perspective.orbit(torch.tensor([angle], dtype=torch.float64), elevation, 3.0)

    before, after = at(azimuth).project(points, 32), at(azimuth + turn).project(points @ about_y.T, 32)
    torch.testing.assert_close(before.xy, after.xy, atol=1e-8, rtol=0)
    torch.testing.assert_close(before.depth, after.depth)


def test_angles_have_gradients_also_from_above() -> None:
    points = torch.randn(4, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64) / 3

    def picture(a: Tensor, e: Tensor, r: Tensor, fov: Tensor) -> Tensor:
        return Perspective(orbit(a, e, r), fov).project(points, 8).xy

    values = [torch.tensor([v], dtype=torch.float64, requires_grad=True) for v in (10.0, 90.0, 3.0, 40.0)]
    assert torch.autograd.gradcheck(picture, values)


def test_a_part_of_the_cameras_and_another_type() -> None:
    view = cameras(Perspective)
    assert len(view[1]) == 1 and torch.equal(view[1].pose, view.pose[1:2]) and torch.equal(view[-1].pose, view.pose[-1:])
    assert torch.equal(view[torch.tensor([3, 0])].pose, view.pose[[3, 0]])
    single = view[1:3].to(torch.float32)
    assert isinstance(single, Perspective) and single.fov.dtype == torch.float32 and len(single) == 2


@pytest.mark.parametrize("kind", KINDS)
def test_the_matrices_of_opencv_project_as_the_camera_does(kind: type[Perspective]) -> None:
    points = torch.randn(20, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64) / 3
    view = cameras(kind)
    E, K = opencv(view, (12, 20))
    q = points @ E[:, :3, :3].mT + E[:, None, :3, 3]
    projected = view.project(points, (12, 20))
    torch.testing.assert_close(q[..., 2], projected.depth)
    pixel = torch.cat([q[..., :2] / (q[..., 2:] if kind is Perspective else 1), torch.ones_like(q[..., :1])], -1) @ K.mT
    torch.testing.assert_close(pixel[..., :2], projected.xy)
    torch.testing.assert_close(torch.det(E[:, :3, :3]), torch.ones(5, dtype=torch.float64))


def test_cameras_come_back_from_opencv() -> None:
    view = cameras(Perspective)
    assert isinstance(view, Perspective)
    matrices = opencv(view, (12, 20))
    back = from_opencv(matrices, (12, 20))
    torch.testing.assert_close(back.pose, view.pose)
    torch.testing.assert_close(back.fov, view.fov)
    for size in ((12, 12), (16, 20)):
        with pytest.raises(InputError, match="expected equal focal lengths"):
            from_opencv(matrices, size)
    with pytest.raises(InputError, match="expected equal focal lengths"):
        from_opencv(Matrices(matrices.extrinsics, matrices.intrinsics * torch.tensor([[2.0], [1.0], [1.0]])), (12, 20))


def test_pytorch3d_sees_left_up_forward_of_row_vectors() -> None:
    points = torch.randn(20, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64) / 3
    view = cameras(Perspective)
    assert isinstance(view, Perspective)
    R, T = pytorch3d(view)
    left, up, forward = (points @ R + T[:, None]).unbind(-1)
    half = forward * torch.tan(torch.deg2rad(view.fov / 2))[:, None]
    projected = view.project(points, 16)  # its normalised coordinates grow to the left and upwards, from the middle
    torch.testing.assert_close(forward, projected.depth)
    torch.testing.assert_close(projected.xy, 8 - 8 * torch.stack([left / half, up / half], -1))


def test_what_is_no_camera() -> None:
    with pytest.raises(InputError, match=r"pose of shape \(4, 4\)"):
        Perspective(torch.eye(4), torch.ones(1))
    with pytest.raises(InputError, match="190 degrees"):
        Perspective.orbit(0.0, 0.0, fov=190.0)
    with pytest.raises(InputError, match="positive"):
        Orthographic.orbit(0.0, 0.0, height=0.0)
    with pytest.raises(InputError, match="0 x 3"):
        Perspective.orbit(0.0, 0.0).rays((0, 3))
