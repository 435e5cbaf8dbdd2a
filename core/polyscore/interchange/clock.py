"""A grid that knows the network's timesteps.

A grid of a diffusers scheduler is called like any other, `grid(process, n)`, and has `clock(process, n)`, which turns the
times of that run into the scheduler's timesteps (integers, fractions of an index, ln(sigma) / 4, ...), as rounded or
truncated by the scheduler.
"""

from __future__ import annotations

import bisect
import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from polyscore.interchange.levels import Array
from polyscore.processes import GaussianProcess

__all__ = ["Clock", "Schedule", "StepGrid", "times_at"]


@dataclass(frozen=True)
class Clock:
    """Time -> timestep through the pairs of a run, linear between them: exact at the times of that run.

    Attributes:
        times: increasing.
        timesteps: what the network is told at each of them.
        inner: (time, timestep) of evaluations between the nodes; they may share a node's time and be told something else.
    """

    times: tuple[float, ...]
    timesteps: tuple[float, ...]
    inner: tuple[tuple[float, float], ...] = ()

    def __call__(self, t: float, stage: int = 0) -> float:
        """The timestep at time t; `stage` counts the evaluations within a step."""
        if stage:
            near = min(self.inner, key=lambda pair: abs(pair[0] - t), default=(math.inf, 0.0))
            if _same(near[0], t):
                return near[1]
        right = bisect.bisect_left(self.times, t)
        for k in (right, right - 1):
            if 0 <= k < len(self.times) and _same(self.times[k], t):
                return self.timesteps[k]
        value = float(np.interp(t, self.times, self.timesteps))
        return float(round(value)) if abs(value - round(value)) < 1e-6 else value  # half-way between indices of a table


def _same(t: float, u: float) -> bool:
    return abs(t - u) <= 1e-9 * abs(u)


class Schedule(NamedTuple):
    """n + 1 times, the timestep at the first n, and (time, timestep) of evaluations between the nodes."""

    times: Array
    timesteps: Array
    inner: tuple[tuple[float, float], ...] = ()


class StepGrid(ABC):
    """A grid that also knows the network's timesteps."""

    @abstractmethod
    def schedule(self, process: GaussianProcess, n: int) -> Schedule:
        """Times and timesteps of a run of n steps."""

    def __call__(self, process: GaussianProcess, n: int) -> Tensor:
        return torch.from_numpy(np.array(self.schedule(process, n).times, dtype=np.float64))

    def clock(self, process: GaussianProcess, n: int) -> Clock:
        """Time -> timestep for a run of n steps."""
        times, timesteps, inner = self.schedule(process, n)
        pairs = sorted(dict(zip(times[:-1].tolist(), timesteps.tolist(), strict=True)).items())  # of equal times the last counts
        return Clock(tuple(t for t, _ in pairs), tuple(c for _, c in pairs), inner)


def times_at(process: GaussianProcess, sigmas: Array) -> Array:
    """The times at which a process has these levels; t = 0 for level 0."""
    levels = torch.from_numpy(np.array(sigmas, dtype=np.float64))
    times: Array = torch.where(levels > 0, process.time_at_sigma(levels), torch.zeros_like(levels)).numpy()
    return times
