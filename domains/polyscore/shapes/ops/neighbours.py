"""Neighbours of points: the k nearest, or the first k inside a ball."""

from __future__ import annotations

import torch
from torch import Tensor

from polyscore.errors import InputError

__all__ = ["ball_query", "gather", "knn"]

_PAIRS = 1 << 22  # distances held at once: 16 MB of float32


def knn(points: Tensor, queries: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Distances and indices (..., Q, k) of the k points (..., N, D) nearest to each query (..., Q, D), nearest first.

    Distances are differences of coordinates, not |a|^2 + |b|^2 - 2ab, which loses the near ones in float32.

    Raises:
        InputError: fewer than k points.
    """
    n = points.shape[-2]
    if not 1 <= k <= n:
        raise InputError(f"knn: k is {k} and there are {n} points; expected 1 to {n}")
    rows = max(1, _PAIRS // max(1, points.shape[:-2].numel() * n))
    parts = [
        torch.cdist(part, points, compute_mode="donot_use_mm_for_euclid_dist").topk(k, largest=False)
        for part in torch.split(queries, rows, -2)
    ]
    return torch.cat([part.values for part in parts], -2), torch.cat([part.indices for part in parts], -2)


def ball_query(points: Tensor, k: int, radius: float) -> Tensor:
    """Indices (B, N, k) of the first k points, in the order of the cloud, within `radius` of each point (B, N, 3).

    A point is no neighbour of itself, but fills the places that are left over. The first and not the nearest: a subsample of
    the ball that does not shrink where points are dense (Qi et al. 2017, PointNet++, arXiv 1706.02413).
    """
    n = points.shape[-2]
    square = points.square().sum(-1)
    distance = square[..., :, None] + square[..., None, :] - 2 * points @ points.mT
    order = torch.arange(n, device=points.device)
    inside = (distance <= radius**2) & (order[:, None] != order)
    first = torch.where(inside, order, n).topk(min(k, n), largest=False).values
    first = torch.where(first == n, order[:, None], first)
    return first if k <= n else torch.cat([first, order[:, None].expand(*first.shape[:-1], k - n)], -1)


def gather(values: Tensor, index: Tensor) -> Tensor:
    """values (..., N, C) at index (..., Q, k): (..., Q, k, C)."""
    flat = index.flatten(-2)[..., None].expand(*index.shape[:-2], -1, values.shape[-1])
    return values.gather(-2, flat).reshape(*index.shape, values.shape[-1])
