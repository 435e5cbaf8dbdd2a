r"""Rotations and rigid motions as exponentials: SO(3), SE(3) and their logarithms.

A twist is xi = (w, v), the rotation first; theta = |w| in radians and W = hat(w), so that W x = w x x. With the even functions

    s1 = sin(theta) / theta,   s2 = (1 - cos(theta)) / theta^2,   s3 = (theta - sin(theta)) / theta^3,
    h = (1 - (theta / 2) cot(theta / 2)) / theta^2

the exponential and its inverse are closed forms (Rodrigues),

    exp(w) = R = I + s1 W + s2 W^2,     exp(w, v) = [R, (I + s2 W + s3 W^2) v],     log: v = (I - W / 2 + h W^2) p.

Below theta = 1/2 the even functions are their power series, so values and derivatives are finite and exact at 0. The logarithm of
a rotation goes through its unit quaternion, read from the largest of its four components: neither a trace that rounding pushed
beyond 3 nor an angle close to pi loses digits, as they do in arccos(tr) and in w ~ R - R^T. Motions compose by `@`.

Sources: Murray, Li and Sastry 1994, A Mathematical Introduction to Robotic Manipulation, ch. 2; Shepperd 1978 (quaternion from a
matrix); Umeyama 1991 (nearest rotation).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from polyscore.errors import InputError

__all__ = [
    "angle",
    "geodesic",
    "hat",
    "inverse",
    "motion",
    "nearest_rotation",
    "se3_exp",
    "se3_log",
    "so3_exp",
    "so3_log",
    "transform",
    "vee",
]

_SMALL = 0.25  # theta^2 below which the series is used; 10 terms are then exact in float64
_TERMS = range(10)
_S1 = [(-1) ** k / math.factorial(2 * k + 1) for k in _TERMS]
_S2 = [(-1) ** k / math.factorial(2 * k + 2) for k in _TERMS]
_S3 = [(-1) ** k / math.factorial(2 * k + 3) for k in _TERMS]
# |B_2k| / (2k)! for k = 1, 2, ...: 2 zeta(2k) / (2 pi)^2k
_H = [1 / 12, 1 / 720, 1 / 30240, 1 / 1209600, 1 / 47900160, 691 / 1307674368000, 1 / 74724249600, 3617 / 10670622842880000]


def hat(w: Tensor) -> Tensor:
    """The skew matrix W (..., 3, 3) of w (..., 3): W x is the cross product w x x."""
    a, b, c = _sized(w, 3, "hat").unbind(-1)
    o = torch.zeros_like(a)
    return torch.stack([o, -c, b, c, o, -a, -b, a, o], -1).reshape(*w.shape[:-1], 3, 3)


def vee(W: Tensor) -> Tensor:
    """The inverse of `hat`; of a matrix that is not skew, its skew part."""
    skew = (W - W.mT) / 2
    return torch.stack([skew[..., 2, 1], skew[..., 0, 2], skew[..., 1, 0]], -1)


def so3_exp(w: Tensor) -> Tensor:
    """The rotation (..., 3, 3) about w (..., 3) by |w| radians."""
    W, x = hat(w), w.square().sum(-1)[..., None, None]
    return _eye(3, w) + _s1(x) * W + _s2(x) * (W @ W)


def so3_log(R: Tensor) -> Tensor:
    """The rotation vector w (..., 3) of R (..., 3, 3), |w| <= pi; at |w| = pi one of the two signs."""
    q = _quaternion(R)
    real, vector = q[..., :1], q[..., 1:]
    y = vector.square().sum(-1, keepdim=True)
    small = y < 1e-12
    n = torch.where(small, 1.0, y).sqrt()
    return vector * torch.where(small, 2 / torch.where(small, real, 1.0), 2 * torch.atan2(n, real) / n)


def se3_exp(twist: Tensor) -> Tensor:
    """The rigid motion (..., 4, 4) of a twist (..., 6), rotation first."""
    w, v = _sized(twist, 6, "se3_exp").chunk(2, -1)
    W, x = hat(w), w.square().sum(-1)[..., None, None]
    left = _eye(3, w) + _s2(x) * W + _s3(x) * (W @ W)
    return motion(so3_exp(w), (left @ v[..., None])[..., 0])


def se3_log(g: Tensor) -> Tensor:
    """The twist (..., 6), rotation first, of a rigid motion (..., 4, 4)."""
    w, p = so3_log(g[..., :3, :3]), g[..., :3, 3]
    W, x = hat(w), w.square().sum(-1)[..., None, None]
    back = _eye(3, w) - W / 2 + _h(x) * (W @ W)
    return torch.cat([w, (back @ p[..., None])[..., 0]], -1)


def motion(R: Tensor, p: Tensor) -> Tensor:
    """The matrix [[R, p], [0, 1]] (..., 4, 4) of a rotation (..., 3, 3) and a translation (..., 3)."""
    top = torch.cat([R, p[..., None]], -1)
    bottom = top.new_tensor([0.0, 0.0, 0.0, 1.0]).expand(*top.shape[:-2], 1, 4)
    return torch.cat([top, bottom], -2)


def inverse(g: Tensor) -> Tensor:
    """g^-1 = [R^T, -R^T p]."""
    back = g[..., :3, :3].mT
    return motion(back, -(back @ g[..., :3, 3:])[..., 0])


def transform(g: Tensor, points: Tensor) -> Tensor:
    """R x + p for points (..., N, 3) in rows."""
    moved: Tensor = points @ g[..., :3, :3].mT + g[..., None, :3, 3]
    return moved


def geodesic(g: Tensor, h: Tensor, share: float | Tensor) -> Tensor:
    """The motion exp(share log(h g^-1)) g: g at 0, h at 1, along one screw in between. `share` is a number or (..., 1)."""
    return se3_exp(share * se3_log(h @ inverse(g))) @ g


def angle(R: Tensor, S: Tensor) -> Tensor:
    """The angle in radians (...) of the rotation that takes R to S, both (..., 3, 3)."""
    size: Tensor = torch.linalg.vector_norm(so3_log(S @ R.mT), dim=-1)
    return size


def nearest_rotation(M: Tensor) -> Tensor:
    """The rotation R that maximises tr(R^T M), M (..., 3, 3): U diag(1, 1, det(U V^T)) V^T of the singular value decomposition.

    With M = sum y_i x_i^T of centred points it solves min sum |y_i - R x_i|^2.
    """
    U, _, Vh = torch.linalg.svd(M)
    flip = torch.det(U @ Vh).sign()
    turned: Tensor = torch.cat([U[..., :2], U[..., 2:] * flip[..., None, None]], -1) @ Vh
    return turned


def _sized(x: Tensor, size: int, name: str) -> Tensor:
    if x.ndim < 1 or x.shape[-1] != size:
        raise InputError(f"{name}: a tensor of shape {tuple(x.shape)}, expected (..., {size})")
    return x


def _eye(n: int, like: Tensor) -> Tensor:
    return torch.eye(n, dtype=like.dtype, device=like.device)


def _quaternion(R: Tensor) -> Tensor:
    """The unit quaternion (..., 4), real part first and not negative."""
    if R.shape[-2:] != (3, 3):
        raise InputError(f"so3_log: a tensor of shape {tuple(R.shape)}, expected (..., 3, 3)")
    (a, b, c), (d, e, f), (g, h, i) = (row.unbind(-1) for row in R.unbind(-2))
    entries = [1 + a + e + i, h - f, c - g, d - b, 1 + a - e - i, b + d, c + g, 1 - a + e - i, f + h, 1 - a - e + i]
    places = [0, 1, 2, 3, 1, 4, 5, 6, 2, 5, 7, 8, 3, 6, 8, 9]
    outer = torch.stack([entries[k] for k in places], -1).reshape(*R.shape[:-2], 4, 4)  # 4 q q^T: any row is q up to a factor
    best = outer.diagonal(dim1=-2, dim2=-1).argmax(-1)
    row = outer.gather(-2, best[..., None, None].expand(*best.shape, 1, 4))[..., 0, :]
    q = row / row.norm(dim=-1, keepdim=True)
    return torch.where(q[..., :1] < 0, -q, q)


def _even(x: Tensor, series: Sequence[float], closed: Callable[[Tensor], Tensor]) -> Tensor:
    """A function of theta, even and analytic at 0, from x = theta^2."""
    small = x < _SMALL
    power = torch.zeros_like(x)
    for coefficient in reversed(series):
        power = power * x + coefficient
    return torch.where(small, power, closed(torch.where(small, 1.0, x).sqrt()))


def _s1(x: Tensor) -> Tensor:
    return _even(x, _S1, lambda theta: theta.sin() / theta)


def _s2(x: Tensor) -> Tensor:
    return _even(x, _S2, lambda theta: (1 - theta.cos()) / theta**2)


def _s3(x: Tensor) -> Tensor:
    return _even(x, _S3, lambda theta: (theta - theta.sin()) / theta**3)


def _h(x: Tensor) -> Tensor:
    return _even(x, _H, lambda theta: (1 - theta / 2 / torch.tan(theta / 2)) / theta**2)
