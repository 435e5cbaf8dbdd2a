"""Farthest point sampling: a thin cloud that still covers the whole one."""

from __future__ import annotations

import torch
from torch import Tensor

from polyscore.errors import InputError

__all__ = ["farthest_points"]


@torch.no_grad()
def farthest_points(points: Tensor, count: int, *, start: int = 0) -> Tensor:
    """Indices (..., count) of points (..., N, D): each is the one farthest from all before it, the first is `start`.

    The distance of any point to the chosen ones is at most twice what the best `count` points reach (Gonzalez 1985, doi
    10.1016/0304-3975(85)90224-5). Of equally far points the first is taken.

    Raises:
        InputError: more points are asked for than there are, or `start` is not one of them.
    """
    n = points.shape[-2]
    if not 1 <= count <= n or not 0 <= start < n:
        raise InputError(f"farthest_points: {count} of {n} points from point {start}; expected 1 to {n} and a point below {n}")
    chosen = torch.full(points.shape[:-2], start, dtype=torch.long, device=points.device)
    nearest = points.new_full(points.shape[:-1], torch.inf)
    found = [chosen]
    for _ in range(count - 1):
        here = points.gather(-2, chosen[..., None, None].expand(*chosen.shape, 1, points.shape[-1]))
        nearest = torch.minimum(nearest, (points - here).square().sum(-1))
        chosen = nearest.argmax(-1)
        found.append(chosen)
    return torch.stack(found, -1)
