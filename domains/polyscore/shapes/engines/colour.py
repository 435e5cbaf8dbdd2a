r"""Colour with geometry fixed: the mean of what all views say about a voxel.

A pixel's colour is taken out of its shading (`polyscore.shapes.finishes.unshade`) and carried back along its ray: voxel k gets

    c_k = sum w c / sum w        over all samples near it,

with w the weight of the sample in the pixel times the pixel's coverage and how squarely the surface faces the camera. Voxels
that no view sees take the colours around them.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from polyscore.shapes.fields import VoxelField
from polyscore.shapes.finishes import Finish, unshade
from polyscore.shapes.pictures import layers
from polyscore.shapes.render.cameras import Camera
from polyscore.shapes.render.volume import absorb, dense, march

__all__ = ["carry_back"]

_SPREAD = 8  # voxels: as deep as a surface that no view sees may lie from one that some view sees
_LEAST = 0.5  # a density that lets 99 % of the light through a voxel


@torch.no_grad()
def carry_back(field: VoxelField, camera: Camera, pictures: Tensor, finish: Finish) -> None:
    """Set the field's colours to what pictures (B, 7, H, W) by B cameras show; its density stays."""
    parts = layers(pictures)
    size = pictures.shape[-1]
    coverage = parts.coverage.clamp(0, 1)
    normal = F.normalize(parts.normal, dim=-1, eps=1e-4)
    colour = unshade((parts.colour / coverage.clamp(min=0.05)[..., None]).clamp(0, 1), normal, finish)
    trust = coverage**2 * normal[..., 2].clamp(min=0.05)
    room = F.max_pool3d((field.raw > field.raw_at(_LEAST)).float(), 3, stride=1, padding=1)[0, 0] > 0
    rays = march(camera, size, 2 * field.size, room=room)
    weight = absorb(dense(field, rays.points, room), rays.step)
    weight = weight * trust.reshape(-1)[rays.pixel, None]
    row, column = (weight > 1e-3).nonzero(as_tuple=True)
    some = weight[row, column]
    told = torch.cat([colour.reshape(-1, 3)[rays.pixel[row]] * some[:, None], some[:, None]], 1)
    total = _splat(told, rays.points[row, column], field.size)
    filled = _spread(total)
    field.raw_colour.copy_(torch.logit(filled.clamp(0.01, 0.99)))


def _splat(values: Tensor, points: Tensor, size: int) -> Tensor:
    """Values (N, C) added to the voxels around points (N, 3), (1, C, n, n, n): the adjoint of trilinear interpolation."""
    with torch.enable_grad():
        grid = values.new_zeros(1, values.shape[1], size, size, size, requires_grad=True)
        place = (2 * points).view(1, 1, 1, -1, 3)
        read = F.grid_sample(grid, place, mode="bilinear", padding_mode="border", align_corners=False)[0, :, 0, 0]
        (total,) = torch.autograd.grad((read * values.T).sum(), grid)
    return total


def _spread(total: Tensor) -> Tensor:
    """Colours (1, 3, n, n, n) of sums (colour, weight): the means, spread some voxels outward, and beyond that their mean."""
    sums, weight = total[:, :3], total[:, 3:]
    for _ in range(_SPREAD):
        known = weight > 1e-3
        wide = F.avg_pool3d(F.pad(torch.cat([sums, weight], 1), (1,) * 6), 3, stride=1)
        scale = wide[:, 3:].clamp(min=1e-12)
        reached = (~known) & (wide[:, 3:] > 1e-12)
        sums = torch.where(reached, wide[:, :3] / scale * 2e-3, sums)
        weight = torch.where(reached, torch.full_like(weight, 2e-3), weight)
    mean = total[:, :3].sum((2, 3, 4), keepdim=True) / total[:, 3:].sum().clamp(min=1e-3)
    return torch.where(weight > 1e-3, sums / weight.clamp(min=1e-3), mean)
