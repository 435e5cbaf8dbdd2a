"""The grids of the diffusers schedulers: for n steps, the n + 1 times and what the network is told at each evaluation.

A grid is called like any other, `grid(process, n)`, and has `clock(process, n)`, which turns the times of that run into the
scheduler's timesteps (integers, fractions of an index, ln(sigma) / 4, ...), as rounded or truncated by the scheduler.
"""

from __future__ import annotations

import bisect
import math
from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple, TypeAlias

import numpy as np
import torch
from torch import Tensor

from polyscore.errors import InputError
from polyscore.interchange.levels import Array, Layout, Spacing, index_of, indices, lay
from polyscore.interchange.processes import UnitTable
from polyscore.processes import GaussianProcess

__all__ = [
    "AngleSteps",
    "Clock",
    "DistilledSteps",
    "EDMSteps",
    "FlowSteps",
    "IndexSteps",
    "LevelSteps",
    "Schedule",
    "SolverSteps",
    "StepGrid",
]

Final: TypeAlias = Literal["zero", "table", "last"]


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


def _table(process: GaussianProcess, grid: object) -> UnitTable:
    if not isinstance(process, UnitTable):
        raise InputError(
            f"{type(grid).__name__}: {type(process).__name__} has no beta table; use the process that came with this grid"
        )
    return process


def _times(process: GaussianProcess, sigmas: Array) -> Array:
    levels = torch.from_numpy(np.array(sigmas, dtype=np.float64))
    times: Array = torch.where(levels > 0, process.time_at_sigma(levels), torch.zeros_like(levels)).numpy()
    return times


@dataclass(frozen=True)
class IndexSteps(StepGrid):
    """Whole indices of the table, t = (i + 1) / N (DDIM, DDPM, PNDM).

    Attributes:
        spacing: "leading", "trailing" or "linspace".
        offset: added by "leading".
        stride: the last step goes N // n indices down (DDIM) instead of to clean data (DDPM).
        floor: the index that stands for "below the table": -1 clean data, 0 the first entry (set_alpha_to_one = False).
        reverse: from data to noise (DDIM inversion): the network is told the index it goes to.
    """

    spacing: Spacing = "leading"
    offset: int = 0
    stride: bool = True
    floor: int = -1
    reverse: bool = False

    def schedule(self, process: GaussianProcess, n: int) -> Schedule:
        total = len(_table(process, self))
        index = np.round(indices(self.spacing, total, n, offset=self.offset))
        if index[0] > total - 1:
            raise InputError(
                f"steps_offset: {self.offset} puts the first timestep at {index[0]:g}, beyond the table's {total - 1}"
            )
        last = index[-1] - total // n
        last = self.floor if last < 0 or not self.stride else last
        nodes = np.append(index, last)
        if self.reverse:
            return Schedule((nodes[::-1] + 1) / total, index[::-1])
        return Schedule((nodes + 1) / total, index)


@dataclass(frozen=True)
class LevelSteps(StepGrid):
    """Levels sigma at fractional indices (Euler, Heun, LMS, KDPM2, DPM-SDE).

    Attributes:
        spacing: where the indices are.
        offset: added by "leading".
        layout: lay the levels out anew between the first and the last of them.
        log_linear: lay the levels evenly in ln sigma, n steps between the ends of the table, keeping the indices as timesteps.
        low, high: ends of the new layout, where given.
        final: the last level: "zero" or "table" (the table's first).
        rounded: the network is told the nearest index.
        inner: evaluations between the nodes: none, at the geometric mean of two levels, or at that of a level and the level the
            ancestral step goes down to.
    """

    spacing: Spacing = "linspace"
    offset: int = 0
    layout: Layout | None = None
    log_linear: bool = False
    low: float | None = None
    high: float | None = None
    final: Final = "zero"
    rounded: bool = False
    inner: Literal["none", "midpoint", "ancestral"] = "none"

    def schedule(self, process: GaussianProcess, n: int) -> Schedule:
        table = _table(process, self).sigmas
        steps = indices(self.spacing, len(table), n, offset=self.offset)
        sigmas = np.interp(steps, np.arange(len(table)), table)
        ends = (float(sigmas[-1]), float(sigmas[0]))
        if self.log_linear:
            sigmas, ends = (
                np.exp(np.linspace(math.log(table[-1]), math.log(table[0]), n + 1))[:n],
                (float(table[0]), float(table[-1])),
            )
        if self.layout is not None:
            low = ends[0] if self.low is None else self.low
            high = ends[1] if self.high is None else self.high
            sigmas = lay(self.layout, low, high, n)
            steps = index_of(sigmas, table)
            steps = np.round(steps) if self.rounded else steps
        between = self._inner(sigmas)
        inner = zip(_times(process, between).tolist(), index_of(between, table).tolist(), strict=True)
        return Schedule(_times(process, np.append(sigmas, 0.0 if self.final == "zero" else table[0])), steps, tuple(inner))

    def _inner(self, sigmas: Array) -> Array:
        if self.inner == "none":
            return np.zeros(0)
        down = sigmas[1:] if self.inner == "midpoint" else sigmas[1:] ** 2 / sigmas[:-1]
        return np.sqrt(sigmas[:-1] * down)


@dataclass(frozen=True)
class SolverSteps(StepGrid):
    """Levels at whole indices, one point more than steps, timesteps as integers (DPM-Solver, DEIS, UniPC, SA-Solver).

    Attributes:
        spacing: where the indices are.
        offset: added by "leading".
        layout: lay the levels out anew between the ends of the table.
        low, high: ends of the new layout, where given.
        final: the last level: "zero", "table" (the table's first) or "last" (the last level once more).
        rounded: new levels tell the network the nearest index; otherwise the index below.
        clip: use the table only where ln(a / s) is at least this.
    """

    spacing: Spacing = "linspace"
    offset: int = 0
    layout: Layout | None = None
    low: float | None = None
    high: float | None = None
    final: Final = "zero"
    rounded: bool = False
    clip: float = -float("inf")

    def schedule(self, process: GaussianProcess, n: int) -> Schedule:
        table = _table(process, self).sigmas
        used = int(np.sum(-np.log(table) >= self.clip))
        if self.layout is None:
            steps = np.round(indices(self.spacing, len(table), n, offset=self.offset, points=n + 1, last=used))
            sigmas = np.interp(steps, np.arange(len(table)), table)
        else:
            low = float(table[0]) if self.low is None else self.low
            high = float(table[-1]) if self.high is None else self.high
            sigmas = lay(self.layout, low, high, n)
            steps = index_of(sigmas, table)
            steps = np.trunc(np.round(steps) if self.rounded else steps)
        end = {"zero": 0.0, "table": float(table[0]), "last": float(sigmas[-1])}[self.final]
        return Schedule(_times(process, np.append(sigmas, end)), steps)


@dataclass(frozen=True)
class DistilledSteps(StepGrid):
    """A subset of the `original` indices that a consistency model was distilled on (LCM, TCD).

    Attributes:
        original: number of indices of the teacher, N // original apart.
        floor: index at which the run ends: -1 clean data, 0 the first entry.
    """

    original: int = 50
    floor: int = -1

    def schedule(self, process: GaussianProcess, n: int) -> Schedule:
        total = len(_table(process, self))
        if not 1 <= n <= self.original:
            raise InputError(f"steps: {n}, expected 1..{self.original}, the number of steps the model was distilled on")
        known = np.arange(self.original, 0, -1) * (total // self.original) - 1.0
        index = known[np.floor(np.linspace(0, len(known), n, endpoint=False)).astype(int)]
        return Schedule((np.append(index, self.floor) + 1) / total, index)


@dataclass(frozen=True)
class EDMSteps(StepGrid):
    """Karras or exponential levels from sigma_max to sigma_min, then 0 or sigma_min again.

    Attributes:
        sigma_min, sigma_max, rho: the levels.
        layout: "karras" or "exponential".
        final: the last level: "zero", "table" (sigma_min) or "last" (the last level once more).
        told: the network is told ln(sigma) / 4, atan(sigma) 2 / pi, or 250 ln(sigma).
        train: with a number, the levels are every (train // n)-th of a ramp of that many (consistency models).
    """

    sigma_min: float = 0.002
    sigma_max: float = 80.0
    rho: float = 7.0
    layout: Layout = "karras"
    final: Final = "zero"
    told: Literal["log", "angle", "log1000"] = "log"
    train: int | None = None

    def schedule(self, process: GaussianProcess, n: int) -> Schedule:
        if self.train is not None:
            every = indices("leading", self.train, n)[::-1].astype(int)
            sigmas = lay(self.layout, self.sigma_min, self.sigma_max, self.train, rho=self.rho)[every]
        elif n == 1 and self.layout == "exponential":
            sigmas = np.array([self.sigma_min])  # diffusers lays exponential levels from below
        else:
            sigmas = lay(self.layout, self.sigma_min, self.sigma_max, n, rho=self.rho)
        same = abs(sigmas[-1] - self.sigma_min) < 1e-12 * self.sigma_min  # then the last step has no length
        end = {"zero": 0.0, "table": sigmas[-1] if same else self.sigma_min, "last": sigmas[-1]}[self.final]
        told = np.arctan(sigmas) / math.pi * 2 if self.told == "angle" else np.log(sigmas) / 4
        return Schedule(_times(process, np.append(sigmas, end)), 1000 * told if self.told == "log1000" else told)


@dataclass(frozen=True)
class FlowSteps(StepGrid):
    """Shifted levels of a rectified flow; sigma is the time, and the network is told N sigma.

    Attributes:
        start, end: levels before the shift.
        line: n levels from start to end ("closed"), or n + 1 of which the last is left out, counted down from start ("open") or
            up from end ("rising", the same up to rounding, on which truncated timesteps depend).
        shift: sigma -> shift sigma / (1 + (shift - 1) sigma).
        dynamic: the shift is exp(mu) or mu, and depends on the size of the image.
        mu: see `for_tokens`.
        time_shift: "exponential" (exp(mu)) or "linear" (mu).
        tokens: (base_shift, max_shift, base_tokens, max_tokens): the line that gives mu.
        total: N.
        terminal: stretch the levels so that the last evaluation is at this one.
        layout: lay the levels out anew.
        low, high: ends of the new layout, where given.
        nudge: a first level of 1 becomes 1 - 1e-6.
        last: the level at the end of the run; None repeats the last one.
        whole: timesteps are truncated to integers.
    """

    start: float = 1.0
    end: float = 0.001
    line: Literal["closed", "open", "rising"] = "closed"
    shift: float = 1.0
    dynamic: bool = False
    mu: float | None = None
    time_shift: Literal["exponential", "linear"] = "exponential"
    tokens: tuple[float, float, float, float] = (0.5, 1.15, 256, 4096)
    total: int = 1000
    terminal: float | None = None
    layout: Layout | None = None
    low: float | None = None
    high: float | None = None
    nudge: bool = False
    last: float | None = 0.0
    whole: bool = False

    def for_tokens(self, n: int) -> FlowSteps:
        """This grid for a sequence of n image tokens: mu on the line from (base_tokens, base_shift) to (max_tokens, max_shift)."""
        base, top, few, many = self.tokens
        return replace(self, mu=base + (n - few) * (top - base) / (many - few))

    def schedule(self, process: GaussianProcess, n: int) -> Schedule:
        if n < 1:
            raise InputError(f"steps: {n}, expected at least 1")
        sigmas = self._shifted(self._line(n))
        if self.terminal:
            sigmas = 1 - (1 - sigmas) * (1 - self.terminal) / (1 - sigmas[-1])
        if self.layout is not None:
            low = float(sigmas[-1]) if self.low is None else self.low
            high = float(sigmas[0]) if self.high is None else self.high
            sigmas = lay(self.layout, low, high, n)
        if self.nudge and abs(sigmas[0] - 1) < 1e-6:
            sigmas = np.append(sigmas[0] - 1e-6, sigmas[1:])
        steps = sigmas * self.total
        return Schedule(
            np.append(sigmas, sigmas[-1] if self.last is None else self.last), np.trunc(steps) if self.whole else steps
        )

    def _line(self, n: int) -> Array:
        match self.line:
            case "closed":
                return np.linspace(self.start * self.total, self.end * self.total, n) / self.total
            case "open":
                return np.linspace(self.start, self.end, n + 1)[:-1]
            case _:
                return (1.0 - np.linspace(1 - self.end, 1 - self.start, n + 1))[:0:-1]

    def _shifted(self, sigmas: Array) -> Array:
        if not self.dynamic:
            return self.shift * sigmas / (1 + (self.shift - 1) * sigmas)
        if self.mu is None:
            raise InputError("FlowSteps: use_dynamic_shifting needs mu; use grid.for_tokens(number of image tokens), or set mu")
        mu = math.exp(self.mu) if self.time_shift == "exponential" else self.mu
        return np.asarray(mu / (mu + (1 / sigmas - 1)))


@dataclass(frozen=True)
class AngleSteps(StepGrid):
    """t uniform from 1 to 0; the network is told atan2(s, a) 2 / pi (IPNDM)."""

    def schedule(self, process: GaussianProcess, n: int) -> Schedule:
        times = np.linspace(1, 0, n + 1)
        a, _, s = process.coefs_of(torch.from_numpy(times))
        return Schedule(times, (torch.atan2(s, a) / math.pi * 2)[:-1].numpy())
