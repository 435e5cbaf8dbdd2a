r"""The same cameras as other programs write them, so that their renderers can be used on our views and ours on theirs.

Ours are [right, up, back | position], camera to world, pixel centres at halves (see `cameras`).

    OpenCV, COLMAP, gsplat   world to camera, axes right, down, forward; K with the focal length in pixels and the middle
                             (W / 2, H / 2), pixel centres at halves. OpenCV's own functions count pixels from their centres: take
                             1/2 from the middle there.
    PyTorch3D                row vectors, x R + T, axes left, up, forward; `FoVPerspectiveCameras(R=R, T=T, fov=camera.fov)`, the
                             field of view that of the shorter side. Its motions are transposed and its twists translation first,
                             its six numbers of a rotation are rows, and its neighbours come with squared distances
    nerfstudio, OpenGL       ours: `Cameras(camera.pose[:, :3], fx=K[:, 0, 0], fy=K[:, 1, 1], cx=W / 2, cy=H / 2)`. nerfstudio's
                             world has z up: our plug-in takes (x, y, z) there for (x, z, -y) here

These are conventions, no dependencies: none of the programs is imported.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from polyscore.errors import InputError
from polyscore.lie import inverse
from polyscore.shapes.render.cameras import Camera, Perspective, Size, shape_of

__all__ = ["Matrices", "from_opencv", "opencv", "pytorch3d"]

_SQUARE = 1e-3  # of the focal length, or of the picture: what counts as equal


class Matrices(NamedTuple):
    """World to camera (B, 4, 4), and K (B, 3, 3): pixels are K q / q_z, or for parallel rays K (q_x, q_y, 1)."""

    extrinsics: Tensor
    intrinsics: Tensor


def opencv(camera: Camera, size: Size) -> Matrices:
    """Matrices of OpenCV, COLMAP and gsplat for pictures of `size`."""
    height, width = shape_of(size)
    depth = torch.ones_like(camera.pose[:, :1, 0])
    focal = height / 2 / camera.divide(depth)[0][:, 0]
    zero, one = torch.zeros_like(focal), torch.ones_like(focal)
    rows = [focal, zero, width / 2 * one, zero, focal, height / 2 * one, zero, zero, one]
    flipped = camera.pose * camera.pose.new_tensor([1.0, -1.0, -1.0, 1.0])
    return Matrices(inverse(flipped), torch.stack(rows, -1).reshape(-1, 3, 3))


def from_opencv(matrices: Matrices, size: Size) -> Perspective:
    """The perspective cameras of such matrices.

    Raises:
        InputError: pixels that are not square, or a middle that is not the picture's: `Perspective` has neither.
    """
    height, width = shape_of(size)
    extrinsics, K = matrices
    middle = K.new_tensor([width / 2, height / 2])
    oblong = (K[:, 0, 0] - K[:, 1, 1]).abs() > _SQUARE * K[:, 1, 1]
    aside = ((K[:, :2, 2] - middle).abs() > _SQUARE * height).any(-1)
    if bool((oblong | aside).any()):
        raise InputError(
            f"from_opencv: K of {K[0].tolist()} for pictures {height} x {width}; expected equal focal lengths and the middle "
            f"({width / 2}, {height / 2})"
        )
    pose = inverse(extrinsics) * extrinsics.new_tensor([1.0, -1.0, -1.0, 1.0])
    return Perspective(pose, torch.atan(height / 2 / K[:, 1, 1]) * (360 / math.pi))


def pytorch3d(camera: Camera) -> tuple[Tensor, Tensor]:
    """R (B, 3, 3) and T (B, 3) of PyTorch3D: a point x, as a row, is x R + T in the camera's axes left, up, forward."""
    R = camera.rotation * camera.pose.new_tensor([-1.0, 1.0, -1.0])
    return R, -(camera.position[:, None] @ R)[:, 0]
