"""Grids on a beta table: whole indices, levels at fractional indices, levels at whole indices, a distilled subset."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from polyscore.errors import InputError
from polyscore.interchange.clock import Schedule, StepGrid, times_at
from polyscore.interchange.levels import Array, Layout, Spacing, index_of, indices, lay
from polyscore.interchange.processes import UnitTable
from polyscore.processes import GaussianProcess

__all__ = ["DistilledSteps", "Final", "IndexSteps", "LevelSteps", "SolverSteps"]

Final: TypeAlias = Literal["zero", "table", "last"]


def _table(process: GaussianProcess, grid: object) -> UnitTable:
    if not isinstance(process, UnitTable):
        raise InputError(
            f"{type(grid).__name__}: {type(process).__name__} has no beta table; use the process that came with this grid"
        )
    return process


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
        inner = zip(times_at(process, between).tolist(), index_of(between, table).tolist(), strict=True)
        return Schedule(times_at(process, np.append(sigmas, 0.0 if self.final == "zero" else table[0])), steps, tuple(inner))

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
        return Schedule(times_at(process, np.append(sigmas, end)), steps)


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
