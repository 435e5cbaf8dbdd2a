"""PushBlocks painted flat from above, without a GL library: a picture in about a millisecond."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from polyscore.errors import MissingExtraError

__all__ = ["paint"]

_BLOCKS = ((242, 191, 51), (76, 166, 90))
_TARGETS = ((224, 150, 140), (140, 172, 224))
_EDGE, _GROUND, _FUTURE = (60, 64, 72), (238, 240, 244), (150, 90, 200)
_ZOOM = 3  # drawn so many times larger, then averaged


def paint(
    observation: NDArray[np.float32],
    *,
    size: int = 240,
    goal: NDArray[np.float32] | None = None,
    futures: Sequence[NDArray[np.float32]] = (),
) -> NDArray[np.uint8]:
    """The scene of an observation (16,), (size, size, 3) bytes: y to the right, x down, 1.1 m wide around the workspace.

    Args:
        observation: of PushBlocks.
        size: of the picture, in pixels.
        goal: an observation whose blocks are drawn as outlines.
        futures: paths (T, 2) of points in metres, drawn as thin lines.

    Raises:
        MissingExtraError: Pillow is not installed.
    """
    try:
        from PIL import Image, ImageDraw
    except ImportError as error:
        raise MissingExtraError("painting needs Pillow: pip install 'polyscore[robots]'") from error
    whole = size * _ZOOM
    scale = whole / 1.1

    def place(points: Any) -> list[tuple[float, float]]:
        p = np.atleast_2d(np.asarray(points, dtype=np.float64))
        return [((y + 0.55) * scale, (x + 0.125) * scale) for x, y in p.tolist()]

    def square(pose: Any, half: float) -> list[tuple[float, float]]:
        x, y, yaw = pose
        corners = half * np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]])
        turn = np.array([[np.cos(yaw), -np.sin(yaw)], [np.sin(yaw), np.cos(yaw)]])
        return place(corners @ turn.T + [x, y])

    picture = Image.new("RGB", (whole, whole), _GROUND)
    draw = ImageDraw.Draw(picture)
    o = np.asarray(observation, dtype=np.float64)
    for i in range(2):
        draw.polygon(square(o[10 + 3 * i : 13 + 3 * i], 0.05), fill=_TARGETS[i])
    for i in range(2):
        draw.polygon(square(o[3 * i : 3 * i + 3], 0.02), fill=_BLOCKS[i], outline=_EDGE)
    if goal is not None:
        for i in range(2):
            draw.polygon(square((goal[3 * i], goal[3 * i + 1], 0.0), 0.026), outline=_BLOCKS[i], width=2 * _ZOOM)
    for path in futures:
        draw.line(place(path), fill=_FUTURE, width=_ZOOM)
    (cx, cy), radius = place(o[6:8])[0], 0.008 * scale
    draw.ellipse((cx - radius, cy - radius, cx + radius, cy + radius), fill=_EDGE)
    return np.asarray(picture.resize((size, size), Image.Resampling.BOX))
