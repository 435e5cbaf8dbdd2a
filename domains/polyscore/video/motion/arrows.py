"""From a few arrows to a dense flow: thin-plate splines through the arrows and through points that are pinned.

The displacement is the smoothest field (least integrated squared second derivatives) with the given values at the control points:

    u(p) = c + A p + sum_i w_i r_i^2 ln r_i,   r_i = |p - p_i|,   sum w_i = 0, sum w_i p_i = 0

(Duchon 1977; Bookstein 1989). The arrows' feet travel along their arrows at constant speed, so the field is solved anew for every
frame. Pinned points move nothing: without them one arrow would drag the whole picture, camera and all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from polyscore.errors import InputError
from polyscore.noise import Flow
from polyscore.video.motion.frames import grid

__all__ = ["Arrow", "arrows"]


@dataclass(frozen=True)
class Arrow:
    """What is at (x, y) in the first frame shall be at (to_x, to_y) in the last, in pixels."""

    x: float
    y: float
    to_x: float
    to_y: float


def arrows(
    given: Sequence[Arrow],
    size: tuple[int, int],
    frames: int,
    *,
    pinned: Sequence[Sequence[float]] | None = None,
    moving: Tensor | None = None,
    smooth: float = 0.0,
) -> Flow:
    """The flow of `frames` frames of `size` (H, W) that follows the arrows.

    Args:
        given: the arrows.
        pinned: points (x, y) that stay; None: a grid of points along the border of the frame.
        moving: (H, W) bool, the part of the first frame that may move, and that travels with the mean of the arrows.
        smooth: lets the field miss the arrows for smoothness, in squared pixels.

    Raises:
        InputError: no arrows, arrows that start at one point or lie outside, fewer than two frames, a field that tears.
    """
    if not given or frames < 2:
        raise InputError(f"arrows: {len(given)} arrows over {frames} frames; expected at least 1 and 2")
    start = torch.tensor([[a.x, a.y] for a in given], dtype=torch.float64)
    move = torch.tensor([[a.to_x - a.x, a.to_y - a.y] for a in given], dtype=torch.float64) / (frames - 1)
    height, width = size
    if bool(((start < 0) | (start > torch.tensor([width - 1.0, height - 1.0]))).any()):
        raise InputError(f"arrows: an arrow starts outside the frame of {width} x {height} pixels")
    fixed = torch.tensor(_border(size) if pinned is None else [list(p) for p in pinned], dtype=torch.float64).view(-1, 2)
    feet = torch.cat([start, fixed])
    if len(feet) > 1 and float(torch.pdist(feet).min()) < 1e-3:
        raise InputError("arrows: two arrows or pinned points share one place; remove one of them")
    speed = torch.cat([move, torch.zeros_like(fixed)])
    here = grid(size).double().flatten(1).T
    fields = []
    for t in range(frames - 1):
        places = feet + t * speed
        field = _spline(places, speed, here, smooth).T.reshape(2, height, width)
        if moving is not None:
            field = field * _shifted(moving, t * move.mean(0))
        fields.append(field)
    return Flow(torch.stack(fields).float())


def _border(size: tuple[int, int], each: int = 5) -> list[list[float]]:
    xs = torch.linspace(0, size[1] - 1, each).tolist()
    ys = torch.linspace(0, size[0] - 1, each).tolist()
    return [[x, y] for x in xs for y in ys if x in (xs[0], xs[-1]) or y in (ys[0], ys[-1])]


def _kernel(distance_squared: Tensor) -> Tensor:
    return 0.5 * distance_squared * torch.log(distance_squared.clamp_min(1e-12))


def _spline(points: Tensor, values: Tensor, at: Tensor, smooth: float) -> Tensor:
    """Values (N, 2) at points (N, 2) carried to `at` (M, 2). With fewer than three points: a constant, or linear between two."""
    if len(points) < 3:
        nearest = torch.cdist(at, points).square().add(1e-9).reciprocal()
        return nearest @ values / nearest.sum(1, keepdim=True)
    scale = points.std().clamp_min(1e-6)  # the system is solved in units of the spread of the points
    p, q = points / scale, at / scale
    n = len(p)
    affine = torch.cat([torch.ones(n, 1, dtype=p.dtype), p], 1)
    top = torch.cat([_kernel(torch.cdist(p, p).square()) + smooth * torch.eye(n, dtype=p.dtype), affine], 1)
    matrix = torch.cat([top, torch.cat([affine.T, torch.zeros(3, 3, dtype=p.dtype)], 1)])
    solved = torch.linalg.lstsq(matrix, torch.cat([values, torch.zeros(3, 2, dtype=p.dtype)]), driver="gelsd").solution
    found: Tensor = _kernel(torch.cdist(q, p).square()) @ solved[:n]
    found = found + torch.cat([torch.ones(len(q), 1, dtype=p.dtype), q], 1) @ solved[n:]
    return found


def _shifted(mask: Tensor, by: Tensor) -> Tensor:
    """The mask moved by whole pixels."""
    dx, dy = (int(v) for v in by.round().tolist())
    height, width = mask.shape
    out = torch.zeros_like(mask)
    ys, xs = mask.nonzero().unbind(1)
    ys, xs = ys + dy, xs + dx
    keep = (ys >= 0) & (ys < height) & (xs >= 0) & (xs < width)
    out[ys[keep], xs[keep]] = True
    return out
