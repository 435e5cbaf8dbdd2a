r"""Rotations in the forms people keep them in, all to and from matrices.

    quaternion   (w, x, y, z), real part first: exp of the rotation vector is (cos(t / 2), sin(t / 2) axis)
    axis angle   the rotation vector, |w| radians about w / |w|  (`so3_exp`, `so3_log` of the core)
    six numbers  the first two columns, made orthonormal by Gram and Schmidt: continuous, unlike all with fewer (Zhou et al. 2019,
                 arXiv 1812.07035)
    Euler angles three angles about axes, "XYZ" being R_x(a) R_y(b) R_z(c): intrinsic turns in that order

A conversion to a matrix and back gives the same rotation, the quaternion up to the sign that makes its real part positive.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import normalize

from polyscore.errors import InputError
from polyscore.lie import so3_exp, so3_log

__all__ = [
    "axis_angle_to_matrix",
    "euler_to_matrix",
    "matrix_to_axis_angle",
    "matrix_to_euler",
    "matrix_to_quaternion",
    "matrix_to_six",
    "quaternion_to_matrix",
    "six_to_matrix",
]


def axis_angle_to_matrix(vector: Tensor) -> Tensor:
    """Rotation (..., 3, 3) of a rotation vector (..., 3)."""
    return so3_exp(vector)


def matrix_to_axis_angle(R: Tensor) -> Tensor:
    """Rotation vector (..., 3), at most pi long, of a rotation (..., 3, 3)."""
    return so3_log(R)


def quaternion_to_matrix(quaternion: Tensor) -> Tensor:
    """Rotation (..., 3, 3) of a quaternion (..., 4), real part first, of any length but 0.

    Raises:
        InputError: another shape.
    """
    w, x, y, z = normalize(_sized(quaternion, 4, "quaternion_to_matrix"), dim=-1).unbind(-1)
    rows = [
        1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y),
        2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x),
        2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y),
    ]  # fmt: skip
    return torch.stack(rows, -1).reshape(*quaternion.shape[:-1], 3, 3)


def matrix_to_quaternion(R: Tensor) -> Tensor:
    """Unit quaternion (..., 4), real part first and not negative, of a rotation (..., 3, 3)."""
    w = so3_log(R)
    x = w.square().sum(-1, keepdim=True)
    small = x < 1e-8
    angle = torch.where(small, 1.0, x).sqrt()
    # sin(t / 2) / t and cos(t / 2), by their series where t is tiny
    real = torch.where(small, 1 - x / 8, torch.cos(angle / 2))
    return torch.cat([real, w * torch.where(small, 0.5 - x / 48, torch.sin(angle / 2) / angle)], -1)


def six_to_matrix(six: Tensor) -> Tensor:
    """Rotation (..., 3, 3) of six numbers (..., 6): two columns, not parallel.

    Raises:
        InputError: another shape.
    """
    first, second = _sized(six, 6, "six_to_matrix").chunk(2, -1)
    a = normalize(first, dim=-1)
    b = normalize(second - (a * second).sum(-1, keepdim=True) * a, dim=-1)
    return torch.stack([a, b, torch.linalg.cross(a, b)], -1)


def matrix_to_six(R: Tensor) -> Tensor:
    """The first two columns (..., 6) of a rotation (..., 3, 3)."""
    return R[..., :2].mT.flatten(-2)


def euler_to_matrix(angles: Tensor, axes: str = "XYZ") -> Tensor:
    """Rotation (..., 3, 3) R_1(a) R_2(b) R_3(c) of angles (..., 3) in radians about the named axes.

    Raises:
        InputError: another shape, or axes that are not three of X, Y, Z without a neighbour twice.
    """
    i, j, k = _axes(axes)
    turns = [_about(axis, angle) for axis, angle in zip((i, j, k), _sized(angles, 3, "euler_to_matrix").unbind(-1), strict=True)]
    return turns[0] @ turns[1] @ turns[2]


def matrix_to_euler(R: Tensor, axes: str = "XYZ") -> Tensor:
    """Angles (..., 3) in radians, the middle one in [-pi/2, pi/2], or [0, pi] where the first axis comes again.

    At the ends of its range (gimbal lock) only the sum or difference of the other two is defined, and the last is 0.

    Raises:
        InputError: axes that are not three of X, Y, Z without a neighbour twice.
    """
    i, j, k = _axes(axes)
    sign = 1.0 if (j - i) % 3 == 1 else -1.0
    if i == k:
        other = 3 - i - j
        sine = torch.hypot(R[..., i, j], R[..., i, other])
        middle = torch.atan2(sine, R[..., i, i])
        first = torch.atan2(R[..., j, i], -sign * R[..., other, i])
        last = torch.atan2(R[..., i, j], sign * R[..., i, other])
        locked = torch.atan2(sign * R[..., other, j], R[..., j, j])
    else:
        sine = torch.hypot(R[..., i, i], R[..., i, j])
        middle = torch.atan2(sign * R[..., i, k], sine)
        first = torch.atan2(-sign * R[..., j, k], R[..., k, k])
        last = torch.atan2(-sign * R[..., i, j], R[..., i, i])
        locked = torch.atan2(sign * R[..., k, j], R[..., j, j])
    flat = sine < 4 * torch.finfo(R.dtype).eps ** 0.75
    return torch.stack([torch.where(flat, locked, first), middle, torch.where(flat, 0.0, last)], -1)


def _about(axis: int, angle: Tensor) -> Tensor:
    """The rotation about one axis."""
    o, e, c, s = torch.zeros_like(angle), torch.ones_like(angle), angle.cos(), angle.sin()
    rows = {0: [e, o, o, o, c, -s, o, s, c], 1: [c, o, s, o, e, o, -s, o, c], 2: [c, -s, o, s, c, o, o, o, e]}[axis]
    return torch.stack(rows, -1).reshape(*angle.shape, 3, 3)


def _axes(axes: str) -> tuple[int, int, int]:
    if len(axes) != 3 or not set(axes) <= set("XYZ") or axes[0] == axes[1] or axes[1] == axes[2]:
        raise InputError(f"Euler angles about {axes!r}; expected three of X, Y, Z, no one twice in a row")
    i, j, k = ("XYZ".index(axis) for axis in axes)
    return i, j, k


def _sized(x: Tensor, size: int, name: str) -> Tensor:
    if x.ndim < 1 or x.shape[-1] != size:
        raise InputError(f"{name}: a tensor of shape {tuple(x.shape)}, expected (..., {size})")
    return x
