"""PushBlocks and PushT painted flat from above, without a GL library: a picture in about a millisecond."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from polyscore.errors import MissingExtraError
from polyscore.robots.environments.tee import GOAL, PARTS, SIDE, placed

__all__ = ["blocks", "tee"]

_BLOCKS = ((242, 191, 51), (76, 166, 90))
_TARGETS = ((224, 150, 140), (140, 172, 224))
_TEE, _PLACE = (120, 130, 150), (168, 214, 176)
_EDGE, _GROUND, _FUTURE = (60, 64, 72), (238, 240, 244), (150, 90, 200)
_ZOOM = 3  # drawn so many times larger, then averaged
_NONE = np.zeros((0, 2), np.float32)
_LONGER = 5  # an action is drawn so many times as long as the way it asks for

Array = NDArray[np.float32]


def blocks(observation: Array, *, size: int = 240, goal: Array | None = None, actions: Array = _NONE) -> NDArray[np.uint8]:
    """PushBlocks of an observation (16,), (size, size, 3) bytes: y to the right, x down, 1.1 m wide around the workspace.

    Args:
        observation: of PushBlocks.
        size: of the picture, in pixels.
        goal: an observation whose blocks are drawn as outlines.
        actions: (K, 2), drawn as lines from the point that the effector is sent to.

    Raises:
        MissingExtraError: Pillow is not installed.
    """
    o = np.asarray(observation, dtype=np.float64)
    canvas = _Canvas(size, 1.1, lambda p: (p[1] + 0.55, p[0] + 0.125))
    for i in range(2):
        canvas.shape(_square(o[10 + 3 * i : 13 + 3 * i], 0.05), fill=_TARGETS[i])
    for i in range(2):
        canvas.shape(_square(o[3 * i : 3 * i + 3], 0.02), fill=_BLOCKS[i], outline=_EDGE)
    if goal is not None:
        for i in range(2):
            canvas.shape(_square((goal[3 * i], goal[3 * i + 1], 0.0), 0.026), outline=_BLOCKS[i], width=2 * _ZOOM)
    for action in actions:
        canvas.line(o[8:10], o[8:10] + _LONGER * action)
    canvas.disc(o[6:8], 0.008)
    return canvas.picture()


def tee(observation: Array, *, size: int = 240, goal: Array | None = None, actions: Array = _NONE) -> NDArray[np.uint8]:
    """PushT of an observation (5,), (size, size, 3) bytes: x to the right, y up.

    Args:
        observation: of PushT.
        size: of the picture, in pixels.
        goal: an observation whose T is drawn as the place, instead of that of the task.
        actions: (K, 2), drawn as lines from the pusher.

    Raises:
        MissingExtraError: Pillow is not installed.
    """
    o = np.asarray(observation, dtype=np.float64)
    canvas = _Canvas(size, SIDE, lambda p: (p[0], SIDE - p[1]))
    for pose, colour in ((GOAL if goal is None else goal[2:], _PLACE), (o[2:], _TEE)):
        for part in PARTS:
            canvas.shape(placed(part, pose), fill=colour)
    for action in actions:
        canvas.line(o[:2], action)
    canvas.disc(o[:2], 0.015)
    return canvas.picture()


class _Canvas:
    """Shapes in metres on a picture `span` metres wide; `place` gives metres to the right and down of a point (x, y)."""

    def __init__(self, size: int, span: float, place: Any) -> None:
        try:
            from PIL import Image, ImageDraw
        except ImportError as error:
            raise MissingExtraError("painting needs Pillow: pip install 'polyscore[robots]'") from error
        self.size, self.scale, self.place = size, size * _ZOOM / span, place
        self._picture = Image.new("RGB", (size * _ZOOM, size * _ZOOM), _GROUND)
        self._draw = ImageDraw.Draw(self._picture)
        self._filter = Image.Resampling.BOX

    def _pixels(self, points: Iterable[Any]) -> list[tuple[float, float]]:
        return [(right * self.scale, down * self.scale) for right, down in map(self.place, np.asarray(list(points)).tolist())]

    def shape(self, corners: Any, **words: Any) -> None:
        self._draw.polygon(self._pixels(corners), **words)

    def line(self, start: Any, end: Any) -> None:
        self._draw.line(self._pixels([start, end]), fill=_FUTURE, width=_ZOOM)

    def disc(self, middle: Any, radius: float) -> None:
        (x, y), r = self._pixels([middle])[0], radius * self.scale
        self._draw.ellipse((x - r, y - r, x + r, y + r), fill=_EDGE)

    def picture(self) -> NDArray[np.uint8]:
        return np.asarray(self._picture.resize((self.size, self.size), self._filter))


def _square(pose: Any, half: float) -> NDArray[np.float64]:
    return placed(half * np.array([[-1.0, -1.0], [1.0, -1.0], [1.0, 1.0], [-1.0, 1.0]]), pose)
