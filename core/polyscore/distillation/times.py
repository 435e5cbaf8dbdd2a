"""At which noise level a rule looks: times by the progress of the run."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import Tensor

from polyscore.errors import InputError

__all__ = ["Descending", "Edge", "TimeSchedule", "Window", "edge"]

Edge: TypeAlias = float | tuple[float, float, float]


def edge(value: Edge, progress: float) -> float:
    """A number, or (start, end, share): linear from start to end over the first `share` of the run, then end."""
    if not isinstance(value, tuple | list):
        return float(value)
    start, end, share = value
    return start + (end - start) * min(progress / share, 1.0) if share > 0 else end


class TimeSchedule(ABC):
    """Times (B,) in (0, 1), float64, from uniform numbers u (B,) and the progress in [0, 1]."""

    @abstractmethod
    def __call__(self, u: Tensor, progress: float) -> Tensor: ...


@dataclass(frozen=True)
class Window(TimeSchedule):
    """t uniform between two edges that may move.

    `Window(.02, .98)` is DreamFusion's (arXiv 2209.14988), `Window(.02, (.98, .5, .2))` has ProlificDreamer's upper edge (arXiv
    2305.16213).

    Args:
        low, high: edges; a number, or (start, end, share of the run).
        nodes: number N of a model's times; t is cut to a multiple of 1/N. 0: continuous.
        shared: one time for the whole batch.

    Raises:
        InputError: edges outside (0, 1) or in the wrong order.
    """

    low: Edge = 0.02
    high: Edge = 0.98
    nodes: int = 0
    shared: bool = False

    def __post_init__(self) -> None:
        for progress in (0.0, 1.0):
            low, high = edge(self.low, progress), edge(self.high, progress)
            if not 0 < low <= high <= 1:
                raise InputError(f"Window: t runs from {low} to {high} at progress {progress}; expected 0 < low <= high <= 1")

    def __call__(self, u: Tensor, progress: float) -> Tensor:
        low, high = edge(self.low, progress), edge(self.high, progress)
        t = low + (high - low) * (u[:1].expand_as(u) if self.shared else u)
        return torch.floor(t * self.nodes + 1e-9) / self.nodes if self.nodes else t


@dataclass(frozen=True)
class Descending(TimeSchedule):
    """t = high - (high - low) progress^power, the same for all: coarse first.

    power 1/2 is HiFA's (Zhu et al. 2023, arXiv 2305.18766), power 1 DreamGaussian's (Tang et al. 2023, arXiv 2309.16653). With
    `spread` the time is uniform in an interval of that width around the curve, so that a batch sees several levels.
    """

    high: float = 0.98
    low: float = 0.02
    power: float = 0.5
    spread: float = 0.0

    def __post_init__(self) -> None:
        if not (0 < self.low <= self.high <= 1 and self.power > 0 and 0 <= self.spread < 1):
            raise InputError(f"Descending: {self}; expected 0 < low <= high <= 1, power > 0, 0 <= spread < 1")

    def __call__(self, u: Tensor, progress: float) -> Tensor:
        t = self.high - (self.high - self.low) * progress**self.power + self.spread * (u - 0.5)
        inside: Tensor = t.clamp(self.low, self.high)
        return inside
