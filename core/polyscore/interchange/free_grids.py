"""Grids without a beta table: EDM's levels, shifted flow levels, IPNDM's angles."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch

from polyscore.errors import InputError
from polyscore.interchange.clock import Schedule, StepGrid, times_at
from polyscore.interchange.levels import Array, Layout, indices, lay
from polyscore.interchange.table_grids import Final
from polyscore.processes import GaussianProcess

__all__ = ["AngleSteps", "EDMSteps", "FlowSteps"]


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
        return Schedule(times_at(process, np.append(sigmas, end)), 1000 * told if self.told == "log1000" else told)


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
        """This grid for n image tokens: mu on the line from (base_tokens, base_shift) to (max_tokens, max_shift)."""
        base, top, few, many = self.tokens
        return replace(self, mu=base + (n - few) * (top - base) / (many - few))

    def schedule(self, process: GaussianProcess, n: int) -> Schedule:
        if n < 1:
            raise InputError(f"steps: {n}, expected at least 1")
        sigmas = self._shifted(self._line(n))
        if self.terminal:
            rest = 1 - sigmas  # in this order of operations: truncated timesteps depend on the last bit
            sigmas = 1 - rest / (rest[-1] / (1 - self.terminal))
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
