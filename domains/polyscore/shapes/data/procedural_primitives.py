r"""Signed distances of simple bodies, negative inside, as functions of coordinates.

Every function takes the coordinates as separate tensors, and sizes that are numbers or tensors of the same shape, so one call
evaluates many bodies of different size. `box`, `cylinder`, `frustum`, `torus`, `capsule` and `ball` are exact distances (Quilez,
"Distance functions", iquilezles.org); `ellipsoid`, `prism` and `hollow` are of the right sign and no larger than the distance to
first order, which is what sphere tracing needs (Hart 1996, doi 10.1007/s003710050084).
"""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["ball", "box", "capsule", "cylinder", "ellipsoid", "frustum", "hollow", "length", "prism", "torus"]

Size = Tensor | float


def length(*axes: Tensor) -> Tensor:
    """sqrt(sum of squares), with gradient 0 and not NaN at 0."""
    total = axes[0] * axes[0]
    for axis in axes[1:]:
        total = torch.addcmul(total, axis, axis)
    return torch.sqrt(total + 1e-12)


def ball(x: Tensor, y: Tensor, z: Tensor, radius: Size) -> Tensor:
    """|p| - r."""
    return length(x, y, z) - radius


def box(x: Tensor, y: Tensor, z: Tensor, half: tuple[Size, Size, Size], *, round_: float = 0.0) -> Tensor:
    """A box of half sides `half`, its edges rounded with radius `round_` (inside the half sides)."""
    q = [axis.abs() - (side - round_) for axis, side in zip((x, y, z), half, strict=True)]
    outside = length(*(part.clamp(min=0) for part in q))
    return outside + torch.maximum(torch.maximum(q[0], q[1]), q[2]).clamp(max=0) - round_


def cylinder(radial: Tensor, along: Tensor, radius: Size, half: Size, *, round_: float = 0.0) -> Tensor:
    """A cylinder of the radius, |along| <= half; `radial` is the distance to its axis."""
    across, up = radial - (radius - round_), along.abs() - (half - round_)
    return length(across.clamp(min=0), up.clamp(min=0)) + torch.maximum(across, up).clamp(max=0) - round_


def frustum(radial: Tensor, along: Tensor, half: Size, bottom: Size, top: Size) -> Tensor:
    """A cone cut off at |along| = half, with radius `bottom` at -half and `top` at +half."""
    cap = radial - torch.minimum(radial, torch.where(along < 0, torch.as_tensor(bottom), torch.as_tensor(top)))
    up = along.abs() - half
    lean, rise = top - bottom, 2 * half
    share = (((top - radial) * lean + (half - along) * rise) / (lean**2 + rise**2)).clamp(0, 1)
    side_r, side_y = radial - top + lean * share, along - half + rise * share
    inside = (side_r < 0) & (up < 0)
    distance = torch.minimum(length(cap, up), length(side_r, side_y))
    return torch.where(inside, -distance, distance)


def torus(x: Tensor, y: Tensor, z: Tensor, ring: Size, tube: Size) -> Tensor:
    """A ring around the z axis."""
    return length(length(x, y) - ring, z) - tube


def capsule(radial_x: Tensor, radial_y: Tensor, along: Tensor, radius: Size, half: Size) -> Tensor:
    """Points within `radius` of the segment |along| <= half."""
    beyond = along.abs() - half
    return length(radial_x, radial_y, beyond.clamp(min=0)) - radius


def ellipsoid(x: Tensor, y: Tensor, z: Tensor, half: tuple[Size, Size, Size]) -> Tensor:
    """k (k - 1) / |p / half^2| with k = |p / half|: exact to first order at the surface."""
    scaled = [axis / side for axis, side in zip((x, y, z), half, strict=True)]
    k = length(*scaled)
    return k * (k - 1) / length(*(axis / side for axis, side in zip(scaled, half, strict=True)))


def prism(x: Tensor, y: Tensor, z: Tensor, half: tuple[Size, Size, Size]) -> Tensor:
    """A gable roof: width 2 half[0] at its foot y = -half[1], none at y = +half[1], length 2 half[2] along z."""
    run, rise = half[0], 2 * half[1]
    slope = ((x.abs() - run) * rise + (y + half[1]) * run) / (rise**2 + run**2) ** 0.5
    return torch.maximum(torch.maximum(slope, -(y + half[1])), z.abs() - half[2])


def hollow(outer: Tensor, inner: Tensor) -> Tensor:
    """`outer` without `inner`."""
    return torch.maximum(outer, -inner)
