r"""The visual hull: the largest body whose silhouettes are those of the views (Laurentini 1994, doi 10.1109/34.273735).

A point belongs to it if every view covers its pixel: with soft coverages w_v,

    h(p) = min over v of w_v(project_v(p)).

It needs no optimisation. Fitting starts with thin fog in it, which light passes, so that hollows can form, and is kept inside
of it, so that no specks grow in space that some view sees through.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from polyscore.shapes.data.procedural import grid_points
from polyscore.shapes.fields import VoxelField
from polyscore.shapes.render.cameras import Camera

__all__ = ["carve", "fog", "hull", "room_of"]

_FOG = 4.0  # density of the fog: a body of half the box lets exp(-2) through
_TOLD = (0.15, 0.5)  # from nothing to something: values of h


@torch.no_grad()
def hull(camera: Camera, coverage: Tensor, n: int) -> Tensor:
    """h at the voxel centres of [-1/2, 1/2]^3, (n, n, n), axes z, y, x, for coverages (B, H, W) by B cameras."""
    height, width = coverage.shape[1:]
    points = grid_points(n).reshape(1, -1, 3).to(coverage)
    xy = camera.project(points.expand(len(camera), -1, 3), (height, width)).xy
    place = 2 * xy / xy.new_tensor([width, height]) - 1
    seen = F.grid_sample(coverage[:, None], place[:, None], mode="bilinear", padding_mode="zeros", align_corners=False)
    return seen[:, 0, 0].amin(0).view(n, n, n)


@torch.no_grad()
def fog(field: VoxelField, h: Tensor) -> None:
    """Fill the field with thin fog where h is large, and nothing where it is not."""
    filled = field.raw_at(_FOG)
    field.raw.copy_((filled * _share(h))[None, None])


@torch.no_grad()
def carve(field: VoxelField, h: Tensor, *, most: float = 16.0) -> None:
    """Take away what is outside: raw densities are at most `most`, and at most 0 (the empty start) where h is small."""
    field.raw.copy_(torch.minimum(field.raw, (most * _share(h))[None, None]))


def room_of(h: Tensor) -> Tensor:
    """The voxels that `carve` leaves, and those beside them, which share their values: where something may be."""
    near: Tensor = F.max_pool3d(_share(h)[None, None], 3, stride=1, padding=1)[0, 0]
    return near > 0


def _share(h: Tensor) -> Tensor:
    low, high = _TOLD
    return ((h - low) / (high - low)).clamp(0, 1)
