"""Pictures of clouds: points as small shaded discs, seen from a few sides, the near ones in front."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from polyscore.hub.files import atomic_path
from polyscore.shapes.packages import package

__all__ = ["SIDES", "draw_cloud", "write_sheet"]

SIDES = ((30.0, 20.0), (120.0, 20.0), (30.0, 89.0))
"""Azimuth and elevation in degrees, y up: from two sides and from above."""

Picture = NDArray[np.uint8]


def draw_cloud(
    points: Any, colours: Any, *, size: int = 320, side: tuple[float, float] = SIDES[0], frame: Any = None, radius: float = 0.008
) -> Picture:
    """A picture (size, size, 3) of points (N, 3) with colours (N, 3) in [0, 1] on white.

    Args:
        points: y is up.
        colours: darkened with the distance.
        size: pixels.
        side: azimuth and elevation of the camera, degrees.
        frame: points (M, 3) that fill the picture; by default `points`.
        radius: of a disc, in pictures.
    """
    x, c = np.asarray(points, dtype=float), np.asarray(colours, dtype=float)
    whole = x if frame is None else np.asarray(frame, dtype=float)
    middle = (whole.min(0) + whole.max(0)) / 2
    reach = 1.05 * max(float(np.linalg.norm(whole - middle, axis=-1).max()), 1e-12)
    azimuth, elevation = (math.radians(angle) for angle in side)
    towards = np.array([math.cos(elevation) * math.sin(azimuth), math.sin(elevation), math.cos(elevation) * math.cos(azimuth)])
    right = np.array([math.cos(azimuth), 0.0, -math.sin(azimuth)])
    up = np.cross(towards, right)
    seen = (x - middle) @ np.stack([right, up, towards], -1) / reach
    picture = np.full((size, size, 3), 255, dtype=np.uint8)
    reach_px = max(1, round(radius * size))
    line = np.arange(-reach_px, reach_px + 1)
    disc = [(dx, dy) for dx in line for dy in line if dx * dx + dy * dy <= reach_px**2]
    light = 0.62 + 0.38 * (seen[:, 2] + 1) / 2
    shown = (np.clip(c * light[:, None], 0, 1) * 255).round().astype(np.uint8)
    order = np.argsort(seen[:, 2])
    column = ((seen[order, 0] + 1) / 2 * (size - 1)).round().astype(int)
    row = ((1 - seen[order, 1]) / 2 * (size - 1)).round().astype(int)
    depth = np.full((size, size), -np.inf)
    for dx, dy in disc:
        r, k = row + dy, column + dx
        ok = (r >= 0) & (r < size) & (k >= 0) & (k < size)
        r, k, z, paint = r[ok], k[ok], seen[order, 2][ok], shown[order][ok]
        nearer = z > depth[r, k]
        # of several points on one pixel numpy keeps the last, which is the nearest: they come sorted
        depth[r[nearer], k[nearer]] = z[nearer]
        picture[r[nearer], k[nearer]] = paint[nearer]
    return picture


def write_sheet(path: str | os.PathLike[str], pictures: Sequence[Picture], columns: int) -> Path:
    """Pictures of one size as one PNG, row by row, whole or not at all.

    Raises:
        MissingExtraError: pillow is not installed.
    """
    image = package("PIL.Image", "a picture")
    rows = -(-len(pictures) // columns)
    size = pictures[0].shape[0]
    sheet = np.full((rows * size, columns * size, 3), 255, dtype=np.uint8)
    for i, one in enumerate(pictures):
        r, c = divmod(i, columns)
        sheet[r * size : (r + 1) * size, c * size : (c + 1) * size] = one
    with atomic_path(path) as place:
        image.fromarray(sheet).save(place, format="PNG")
    return Path(path)
