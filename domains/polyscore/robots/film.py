"""Films of rollouts: painted frames and a mosaic of episodes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from polyscore.errors import InputError
from polyscore.pictures import grid
from polyscore.robots.rollout import Outcome
from polyscore.robots.tasks import Task

__all__ = ["mosaic"]

Frames = NDArray[np.uint8]


def mosaic(
    task: Task,
    outcomes: Sequence[Outcome],
    fans: Sequence[NDArray[np.float32]] | None = None,
    *,
    size: int = 160,
    every: int = 2,
    columns: int = 4,
) -> Iterator[Frames]:
    """Frames (H, W, 3) of episodes side by side, every `every`-th step, with their goals as outlines; the last ones stay.

    The lines from the effector are the draws of `fans` (steps, K, A) or else the action alone. A finished episode has a frame:
    green where all that was asked is done, amber where half of it is, red.

    Raises:
        InputError: no episodes, not one fan for each, or a task that nothing draws.
    """
    paint = task.paint
    if paint is None:
        raise InputError(f"mosaic: nothing draws an observation of {task.name}")
    if not outcomes or (fans is not None and len(fans) != len(outcomes)):
        raise InputError(f"mosaic: {len(outcomes)} episodes, {0 if fans is None else len(fans)} fans; expected one for each")
    drawn = [o.actions[:, None] for o in outcomes] if fans is None else fans
    longest = max(o.steps for o in outcomes)
    for step in [*range(0, longest, every), longest]:
        pictures = [_frame(paint, o, fan, step, size) for o, fan in zip(outcomes, drawn, strict=True)]
        yield grid(np.stack(pictures), columns=columns, gap=2)


def _frame(paint: Any, outcome: Outcome, fan: NDArray[np.float32], step: int, size: int) -> Frames:
    at = min(step, outcome.steps)
    actions = fan[at] if at < outcome.steps else fan[:0, 0]
    picture: Frames = paint(outcome.observations[at], size=size, goal=outcome.goal, actions=actions).copy()
    if at == outcome.steps:
        colour = (58, 150, 80) if outcome.result == 1 else (225, 160, 40) if outcome.result >= 0.5 else (200, 60, 50)
        for edge in (picture[:4], picture[-4:], picture[:, :4], picture[:, -4:]):
            edge[...] = colour
    return picture
