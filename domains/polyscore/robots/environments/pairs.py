"""Blocks and targets of both block pushes: their pairs, the orders of serving them, and when a block is in a target.

A pair is the number 2 block + target. Observations are those of `PushBlocks`, (16,).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["ORDERS", "REACH", "PairsReached", "goal_of", "inside"]

ORDERS = ((0, 3), (1, 2), (2, 1), (3, 0))
"""The pairs in the four orders of serving both blocks."""
REACH = 0.05
"""Metres between the middles of a block and of the target it is in."""


def inside(observation: NDArray[Any]) -> NDArray[np.bool_]:
    """Which block (row) is in which target (column), (2, 2)."""
    o = np.asarray(observation)
    gaps = np.linalg.norm(o[[0, 1, 3, 4]].reshape(2, 1, 2) - o[[10, 11, 13, 14]].reshape(1, 2, 2), axis=-1)
    return gaps < REACH  # type: ignore[no-any-return]


def goal_of(observation: NDArray[np.float32], expected: Sequence[int]) -> NDArray[np.float32]:
    """The observation with the block of every expected pair in its target."""
    goal = observation.copy()
    for pair in expected:
        block, target = divmod(pair, 2)
        goal[3 * block : 3 * block + 2] = observation[10 + 3 * target : 12 + 3 * target]
    return goal


class PairsReached:
    """The pairs of an episode in the order in which they were reached: `pairs.see(observation)` after every step."""

    def __init__(self) -> None:
        self.completed: list[int] = []

    def see(self, observation: NDArray[Any]) -> bool:
        """Note new pairs; returns whether both blocks are in different targets."""
        found = inside(observation)
        for block, target in np.argwhere(found):
            pair = int(2 * block + target)
            if pair not in self.completed:
                self.completed.append(pair)
        return bool((found[0, 0] and found[1, 1]) or (found[0, 1] and found[1, 0]))
