r"""Points to voxels and back, and from few points to many: what a point-voxel network is made of. Torch alone, batched.

    voxelise     the mean of the features of the points in each cell; empty cells are 0
    devoxelise   trilinear interpolation of a grid at the points
    interpolate  the mean of the three nearest features with weights 1 / distance^2

Sources: Liu et al. 2019 (Point-Voxel CNN), arXiv 1907.03739; Qi et al. 2017 (PointNet++), arXiv 1706.02413.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from polyscore.shapes.ops.neighbours import gather, knn

__all__ = ["ball_around", "devoxelise", "interpolate", "voxel_coordinates", "voxelise"]


def voxel_coordinates(points: Tensor, resolution: int) -> Tensor:
    """Places (B, N, 3) in units of cells, in [0, resolution - 1]: about the mean, the farthest point on the ball's rim.

    As in PVCNN: x -> (x - mean) / (2 max |x - mean|) + 1/2, times the resolution, clamped.
    """
    off = points - points.mean(1, keepdim=True)
    reach = off.norm(dim=-1).amax(1)[:, None, None]
    place: Tensor = ((off / (2 * reach.clamp(min=1e-12)) + 0.5) * resolution).clamp(0, resolution - 1)
    return place


def voxelise(features: Tensor, place: Tensor, resolution: int) -> Tensor:
    """Means (B, C, r, r, r) of features (B, C, N) of points at `place` (B, N, 3), each in the nearest cell."""
    b, c, _ = features.shape
    cell = place.round().long()
    index = (cell[..., 0] * resolution + cell[..., 1]) * resolution + cell[..., 2]
    total = features.new_zeros(b, c, resolution**3).scatter_add(2, index[:, None].expand(-1, c, -1), features)
    count = features.new_zeros(b, resolution**3).scatter_add(1, index, torch.ones_like(index, dtype=features.dtype))
    return (total / count.clamp(min=1)[:, None]).view(b, c, resolution, resolution, resolution)


def devoxelise(grid: Tensor, place: Tensor) -> Tensor:
    """The grid (B, C, r, r, r) at `place` (B, N, 3) in cells: (B, C, N), exact for functions that are linear in each axis."""
    r = grid.shape[-1]
    at = place.flip(-1) * (2 / max(1, r - 1)) - 1  # the last axis of a grid is grid_sample's x
    seen = functional.grid_sample(grid, at[:, :, None, None], mode="bilinear", padding_mode="border", align_corners=True)
    return seen[..., 0, 0]


def ball_around(points: Tensor, centres: Tensor, k: int, radius: float) -> Tensor:
    """Indices (B, M, k) of the first k points (B, N, 3), in their order, within `radius` of each centre (B, M, 3).

    Places left over hold the first found, or the nearest point where the ball is empty.
    """
    n = points.shape[1]
    distance = torch.cdist(centres, points)
    order = torch.arange(n, device=points.device)
    first = torch.where(distance < radius, order, n).topk(min(k, n), largest=False).values
    fill = torch.where(first[..., :1] == n, distance.argmin(-1, keepdim=True), first[..., :1])
    first = torch.where(first == n, fill, first)
    return first if k <= n else torch.cat([first, fill.expand(*first.shape[:-1], k - n)], -1)


def interpolate(features: Tensor, points: Tensor, queries: Tensor) -> Tensor:
    """Features (B, C, N) of points (B, N, 3) at queries (B, M, 3): (B, C, M). A query on a point has the point's feature."""
    distance, index = knn(points, queries, min(3, points.shape[1]))
    weight = 1 / distance.square().clamp(min=1e-10)
    weight = weight / weight.sum(-1, keepdim=True)
    return (gather(features.mT, index) * weight[..., None]).sum(-2).mT
