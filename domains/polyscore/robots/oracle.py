r"""The scripted expert of PushBlocks: a machine of phases with four orders, drawn evenly.

With d the unit vector from a block to its target, the effector goes to 5 cm behind the block (block - 0.05 d), to 3 cm, and then
aims 1 cm behind its centre, which pushes it along d. Where the block's faces turn away from d by more than 0.2 rad (modulo 90
degrees), it pushes beside the centre until they are within 0.03 rad. Closer than 4 cm to the target the block is done: the
effector leaves it the way it came, returns to its origin, and serves the other block. It goes around blocks that stand in its
way, as does a block that is pushed, and begins anew with one that it has lost or pushed out of its target.

Demonstrations for learning execute a noisy action and record the clean one (DART; Laskey et al. 2017, arXiv:1703.09327).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["PushOracle"]

_ORIGIN = np.array([0.3, -0.4])
_SECONDS = 0.1

Array = NDArray[np.float64]


@dataclass
class PushOracle:
    """One episode's expert: `oracle(observation) -> action`.

    Args:
        order: the pairs 2 block + target, first and second.
        tolerance: metres within which a way point counts as reached.
    """

    order: tuple[int, int] = (0, 3)
    tolerance: float = 0.002
    phase: str = "approach"
    index: int = 0
    served: int = 0
    _retreat: Any = field(default=None, repr=False)

    def __call__(self, observation: Any) -> NDArray[np.float32]:
        o = np.asarray(observation, dtype=np.float64)
        for _ in range(6):  # a phase that is over gives way to the next within the same call
            aim, speed, over = self._phase(o)
            if not over:
                break
        way = aim - o[8:10]
        length = float(np.linalg.norm(way))
        return (way * min(1.0, speed * _SECONDS / max(length, 1e-9))).astype(np.float32)

    def _phase(self, o: Array) -> tuple[Array, float, bool]:
        """Where to, how fast, and whether the phase has just ended."""
        block, target = divmod(self.order[self.index], 2)
        at, goal, yaw = o[3 * block : 3 * block + 2], o[10 + 3 * target : 12 + 3 * target], o[3 * block + 2]
        gap = float(np.linalg.norm(goal - at))
        via = _around(at, goal, [o[3 - 3 * block : 5 - 3 * block]], close=0.05, clear=0.07)
        d = (via - at) / max(float(np.linalg.norm(via - at)), 1e-9)
        match self.phase:
            case "approach":
                return self._way_point(o, at - 0.05 * d, 0.3, "touch")
            case "touch":
                return self._way_point(o, at - 0.03 * d, 0.3, "push")
            case "push" | "orient" if gap < 0.04:
                self._retreat, self.served = at - 0.05 * d, self.served + 1
                return self._to("retreat", o)
            case "push" | "orient" if _lost(o[6:8] - at, d):
                return self._to("approach", o)
            case "push":
                if abs(_turn(d, yaw)) > 0.2:
                    return self._to("orient", o)
                return at - 0.01 * d, 0.35, False
            case "orient":
                turn = _turn(d, yaw)
                if abs(turn) < 0.03:
                    return self._to("push", o)
                return at - 0.0125 * d - np.sign(turn) * 0.0125 * np.array([-d[1], d[0]]), 0.15, False
            case "retreat":
                away = self._way_point(o, self._retreat, 0.3, "home" if self.served < 2 else "approach")
                if away[2] and self.served > 1:
                    self.index = self._left(o)
                return away
            case _:
                home = self._way_point(o, _ORIGIN, 0.3, "approach")
                if home[2]:
                    self.index = self._left(o)
                return home

    def _left(self, o: Array) -> int:
        """The number in the order of a block that is not in its target: the second one, unless the first was pushed out again."""
        for index in (1, 0):
            block, target = divmod(self.order[index], 2)
            if np.linalg.norm(o[3 * block : 3 * block + 2] - o[10 + 3 * target : 12 + 3 * target]) > 0.045:
                return index
        return 1

    def _to(self, phase: str, o: Array) -> tuple[Array, float, bool]:
        self.phase = phase
        return o[8:10], 0.3, True

    def _way_point(self, o: Array, point: Array, speed: float, then: str) -> tuple[Array, float, bool]:
        if float(np.linalg.norm(point - o[6:8])) < self.tolerance:
            return self._to(then, o)
        if self.phase != "touch":
            point = _around(o[6:8], point, (o[0:2], o[3:5]), close=0.04, clear=0.055)
        return point, speed, False


def _lost(way: Array, d: Array) -> bool:
    """Whether the effector, `way` from the block's centre, is no longer behind it."""
    along, beside = float(way @ d), float(way @ np.array([-d[1], d[0]]))
    return along > -0.018 or abs(beside) > 0.03 or along < -0.06


def _around(start: Array, point: Array, blocks: Sequence[Array], *, close: float, clear: float) -> Array:
    """`point`, or a way point `clear` beside the first of `blocks` that stands within `close` of the straight way to it."""
    way, best = point - start, point
    nearest = float(np.linalg.norm(way))
    if nearest < 0.02:
        return point
    ahead = way / nearest
    left = np.array([-ahead[1], ahead[0]])
    for block in blocks:
        along, beside = float((block - start) @ ahead), float((block - start) @ left)
        if 0 < along < nearest and abs(beside) < close:
            nearest, best = along, block - (np.sign(beside) or 1.0) * clear * left
    return best


def _turn(d: Array, yaw: float) -> float:
    """The angle by which a face of the block would have to turn to face along d, in [-pi/4, pi/4)."""
    return float((np.arctan2(d[1], d[0]) - yaw + np.pi / 4) % (np.pi / 2) - np.pi / 4)
