"""The T of `PushT`: its outline, its place, and how much of it lies there."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["GOAL", "PARTS", "SIDE", "coverage", "placed"]

Array = NDArray[np.float64]

SIDE = 0.512
GOAL = np.array([0.256, 0.256, np.pi / 4])
PARTS = tuple(
    np.array([[-x, low], [x, low], [x, high], [-x, high]]) for x, low, high in ((0.06, 0.0, 0.03), (0.015, 0.03, 0.12))
)
"""Corners of bar and stem, counter-clockwise."""
_AREA = 0.12 * 0.03 + 0.03 * 0.09


def coverage(pose: Any, goal: Any = GOAL) -> float:
    """Share of a T at `pose` (x, y, yaw) that lies on a T at `goal`."""
    ours, theirs = ([placed(part, place) for part in PARTS] for place in (pose, goal))
    return sum(_overlap(a, b) for a in ours for b in theirs) / _AREA


def placed(part: Array, pose: Any) -> Array:
    """Corners of a part of a T at `pose` (x, y, yaw)."""
    c, s = np.cos(pose[2]), np.sin(pose[2])
    turned: Array = part @ np.array([[c, s], [-s, c]])
    return turned + np.asarray(pose[:2], dtype=np.float64)


def _overlap(subject: Array, window: Array) -> float:
    """Area of the intersection of two convex polygons, counter-clockwise (Sutherland and Hodgman 1974)."""
    points = list(subject)
    for start, end in zip(window, np.roll(window, -1, axis=0), strict=True):
        way = end - start
        sides = [float(way[0] * (p - start)[1] - way[1] * (p - start)[0]) for p in points]
        kept = []
        for i, (point, side) in enumerate(zip(points, sides, strict=True)):
            before, last = points[i - 1], sides[i - 1]
            if (side >= 0) != (last >= 0):
                kept.append(before + (point - before) * (last / (last - side)))
            if side >= 0:
                kept.append(point)
        points = kept
        if not points:
            return 0.0
    x, y = np.array(points).T
    return float(abs(x @ np.roll(y, -1) - y @ np.roll(x, -1)) / 2)
