r"""Digits as pen strokes: drawn at any size and place without interpolation, and free of anybody's rights.

A glyph is a closed set of points within half a pen's width of a smooth path (Catmull-Rom through the corners below, cut into
segments). Its signed distance is d(q) = min over segments |q - nearest point| - pen / 2, and a pixel of width h shows the share
clamp(1/2 - d / h, 0, 1) of it, which follows a motion of any fraction of a pixel.
"""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["SEGMENTS", "distance", "paths"]

SEGMENTS = 18
_AT_ONCE = 16  # paths

# x to the right and y down, in a box of one unit; of each digit the corners of one path and whether it is smooth
_CORNERS: tuple[tuple[bool, str], ...] = (
    (True, "50,4 24,22 18,50 24,78 50,96 76,78 82,50 76,22 50,4"),
    (False, "28,26 52,4 52,96"),
    (True, "20,28 34,8 62,6 78,26 66,50 40,72 20,95 50,95 82,95"),
    (True, "20,12 50,4 76,20 68,40 44,48 72,56 80,76 52,96 18,86"),
    (False, "66,96 66,4 14,66 86,66"),
    (True, "76,5 52,5 30,5 26,42 52,36 78,58 70,86 44,96 18,86"),
    (True, "70,6 44,22 24,52 26,80 50,96 74,82 76,62 52,46 28,60"),
    (False, "16,5 84,5 42,96"),
    (True, "50,48 27,30 34,9 66,9 73,30 50,48 22,72 34,94 66,94 78,72 50,48"),
    (True, "72,40 48,54 24,38 26,18 50,4 74,20 76,48 56,78 30,94"),
)


def paths() -> Tensor:
    """The ten digits, (10, SEGMENTS + 1, 2): points of their paths, equally spaced, centred, in units of the digit's height."""
    found = []
    for smooth, text in _CORNERS:
        corners = torch.tensor([[float(n) for n in pair.split(",")] for pair in text.split()]) / 100 - 0.5
        found.append(_evenly(_smooth(corners) if smooth else corners))
    return torch.stack(found)


def distance(path: Tensor, places: Tensor) -> Tensor:
    """Distance (N, P) of places (N, P, 2) to paths (N, S + 1, 2), in their unit.

    |q - a - h u|^2 with h = clamp((q - a) . u / |u|^2, 0, 1), u = b - a, expanded so that one product of matrices does most of
    it, some paths at a time so that it stays in the cache.
    """
    start, along = path[:, :-1], path[:, 1:] - path[:, :-1]
    power = along.square().sum(-1).clamp_min(1e-12)[:, None]
    factors = torch.cat([along, -2 * start], 1).mT
    constants = torch.cat([-(start * along).sum(-1), start.square().sum(-1)], 1)[:, None]
    pieces = zip(*(torch.split(part, _AT_ONCE) for part in (factors, constants, power, places)), strict=True)
    return torch.cat([_distance(*piece) for piece in pieces])


def _distance(factors: Tensor, constants: Tensor, power: Tensor, places: Tensor) -> Tensor:
    dot, square = torch.baddbmm(constants, places, factors).chunk(2, -1)
    h = (dot / power).clamp_(0, 1)
    nearest = (square - h * (2 * dot - h * power)).amin(-1) + places.square().sum(-1)
    return nearest.clamp_min_(0).sqrt_()


def _smooth(corners: Tensor, *, each: int = 8) -> Tensor:
    """Catmull-Rom: between corners p1 and p2 the cubic with slopes (p2 - p0) / 2 and (p3 - p1) / 2."""
    p = torch.cat([2 * corners[:1] - corners[1:2], corners, 2 * corners[-1:] - corners[-2:-1]])
    u = (torch.arange(each) / each)[None, :, None]
    p0, p1, p2, p3 = (p[k : len(p) - 3 + k, None] for k in range(4))
    cubic = p1 + 0.5 * u * (p2 - p0 + u * (2 * p0 - 5 * p1 + 4 * p2 - p3 + u * (3 * (p1 - p2) + p3 - p0)))
    return torch.cat([cubic.flatten(0, 1), corners[-1:]])


def _evenly(path: Tensor) -> Tensor:
    """SEGMENTS + 1 points: every corner of a coarse path, the rest evenly along its length."""
    if len(path) <= 5:
        lengths = (path[1:] - path[:-1]).norm(dim=1)
        shares = (lengths / lengths.sum() * SEGMENTS).round().clamp_min(1).long()
        shares[-1] += SEGMENTS - int(shares.sum())
        parts = [a + (b - a) * (torch.arange(int(n)) / n)[:, None] for a, b, n in zip(path[:-1], path[1:], shares, strict=True)]
        return torch.cat([*parts, path[-1:]])
    at = torch.cat([torch.zeros(1), (path[1:] - path[:-1]).norm(dim=1).cumsum(0)])
    wanted = torch.linspace(0, float(at[-1]), SEGMENTS + 1)
    right = torch.searchsorted(at, wanted).clamp(1, len(path) - 1)
    share = ((wanted - at[right - 1]) / (at[right] - at[right - 1]))[:, None]
    return path[right - 1] + share * (path[right] - path[right - 1])
