"""Settings that are given at some times of a clip and hold between them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, TypeVar

from polyscore.errors import InputError

__all__ = ["Timed", "around", "check_rising"]


class Timed(Protocol):
    """Has a `time`: 0 the first frame, 1 the last."""

    @property
    def time(self) -> float: ...


K = TypeVar("K", bound=Timed)


def check_rising(keys: Sequence[Timed], what: str) -> None:
    """Raise an InputError unless there is a key, and each comes later than the one before."""
    times = [key.time for key in keys]
    if not times or times != sorted(times) or len(set(times)) < len(times):
        raise InputError(f"{what} times {times}; expected at least one, rising, between 0 and 1")


def around(keys: Sequence[K], time: float) -> tuple[K, K, float]:
    """The keys before and after `time`, and the share of the way from one to the other; at the ends the nearest key holds."""
    after = next((k for k, key in enumerate(keys) if key.time >= time), len(keys))
    one, two = keys[max(after - 1, 0)], keys[min(after, len(keys) - 1)]
    return one, two, 0.0 if two.time <= one.time else (time - one.time) / (two.time - one.time)
