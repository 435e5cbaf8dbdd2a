"""Time grids: where a sampler of n steps evaluates. A grid maps (process, n) to n + 1 times, from the noisy end to the data.

Grids are functions or frozen dataclasses; an explicit list is `Table(...)`. Levels are sigma = s / a unless said otherwise.
Karras et al. 2022 (arXiv 2206.00364), Lu et al. 2022 (log-SNR, arXiv 2206.00927), Esser et al. 2024 (shift, arXiv 2403.03206),
Sabour et al. 2024 (Align Your Steps, arXiv 2404.14507).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import torch
from torch import Tensor

from polyscore.errors import InputError

if TYPE_CHECKING:
    from polyscore.processes.gaussian import GaussianProcess

__all__ = [
    "AlignYourSteps",
    "Angle",
    "Exponential",
    "Grid",
    "IndexGrid",
    "Karras",
    "LogSNR",
    "SGMSE",
    "Shift",
    "Sigmas",
    "Table",
    "cosine",
    "leading_one",
    "quadratic",
    "uniform",
]

Grid: TypeAlias = "Callable[[GaussianProcess, int], Tensor | Sequence[float]]"


def _line(start: float, end: float, n: int) -> Tensor:
    return torch.linspace(start, end, n, dtype=torch.float64)


def uniform(process: GaussianProcess, n: int) -> Tensor:
    """t_i = 1 - i / n."""
    return _line(1, 0, n + 1)


def quadratic(process: GaussianProcess, n: int) -> Tensor:
    """t_i = (1 - i / n)^2: fine steps near the data."""
    return _line(1, 0, n + 1) ** 2


def cosine(process: GaussianProcess, n: int) -> Tensor:
    """t_i = 1 - cos(pi/2 (1 - i/n)): fine steps near the data, coarse near the noise."""
    times = 1 - torch.cos(_line(1, 0, n + 1) * (math.pi / 2))
    times[0] = 1.0  # cos(pi / 2) is not quite 0 in floating point
    return times


def leading_one(process: GaussianProcess, n: int) -> Tensor:
    """n times from 1 to 0+ evenly, then 0: for processes whose level jumps from its minimum to 0 at t = 0."""
    times = _line(1, 0, n) if n > 1 else _line(1, 1, 1)
    return torch.cat([times.clamp(min=1e-12), times.new_zeros(1)])


@dataclass(frozen=True)
class Sigmas:
    """Explicit noise levels sigma = s / a, n + 1 of them (0 allowed at the end)."""

    sigmas: tuple[float, ...]

    def __call__(self, process: GaussianProcess, n: int) -> Tensor:
        if len(self.sigmas) != n + 1:
            raise InputError(f"Sigmas: {len(self.sigmas)} levels for {n} steps; expected {n + 1}")
        return _times(process, torch.tensor(self.sigmas, dtype=torch.float64))


def _times(process: GaussianProcess, sigmas: Tensor) -> Tensor:
    return torch.where(sigmas > 0, process.time_at_sigma(sigmas), torch.zeros_like(sigmas))


@dataclass(frozen=True)
class Karras:
    """sigma_i = (smax^(1/rho) + i/(n-1) (smin^(1/rho) - smax^(1/rho)))^rho for i < n, then 0."""

    sigma_min: float = 0.002
    sigma_max: float = 80.0
    rho: float = 7.0

    def __call__(self, process: GaussianProcess, n: int) -> Tensor:
        top, low = self.sigma_max ** (1 / self.rho), self.sigma_min ** (1 / self.rho)
        sigmas = (top + _line(0, 1, max(n, 1)) * (low - top)) ** self.rho
        return _times(process, torch.cat([sigmas, sigmas.new_zeros(1)]))


@dataclass(frozen=True)
class Exponential:
    """ln sigma linear from sigma_max to sigma_min over n levels, then 0."""

    sigma_min: float = 0.002
    sigma_max: float = 80.0

    def __call__(self, process: GaussianProcess, n: int) -> Tensor:
        sigmas = _line(math.log(self.sigma_max), math.log(self.sigma_min), max(n, 1)).exp()
        return _times(process, torch.cat([sigmas, sigmas.new_zeros(1)]))


@dataclass(frozen=True)
class LogSNR:
    """lambda = ln(a / s) linear between the process's values at t = `start` and `end`, n levels, then 0."""

    end: float = 1e-3
    start: float = 1.0

    def __call__(self, process: GaussianProcess, n: int) -> Tensor:
        top, low = (float(torch.log(process.sigma(t))) for t in (self.start, self.end))
        if not math.isfinite(top):
            name = type(process).__name__
            raise InputError(f"LogSNR: the log-SNR of {name} is infinite at t = {self.start}; give start < 1")
        times = process.time_at_sigma(_line(top, low, max(n, 1)).exp())
        times[0] = self.start
        return torch.cat([times, times.new_zeros(1)])


@dataclass(frozen=True)
class Angle:
    """The angle atan2(s, a) linear in i, from its value at t = `start` to 0: finite at both ends of every process."""

    start: float = 1.0

    def __call__(self, process: GaussianProcess, n: int) -> Tensor:
        a, _, s = process.coefs_of(self.start)
        angles = _line(1, 0, n + 1) * torch.atan2(s, a)
        times = process.time_at_sigma(torch.tan(angles))
        times[0], times[-1] = self.start, 0.0
        return times


@dataclass(frozen=True)
class Shift:
    """The map t -> mu t / (1 + (mu - 1) t) applied to another grid: more steps at high noise for mu > 1 (Esser et al. 2024)."""

    mu: float = 3.0
    base: Grid = uniform

    def __call__(self, process: GaussianProcess, n: int) -> Tensor:
        t = torch.as_tensor(self.base(process, n), dtype=torch.float64)
        return self.mu * t / (1 + (self.mu - 1) * t)


@dataclass(frozen=True)
class SGMSE:
    """linspace(1, end, n), then 0: n steps whose last one leaves from t = `end` (SGMSE's t_eps)."""

    end: float = 0.03

    def __call__(self, process: GaussianProcess, n: int) -> Tensor:
        return torch.cat([_line(1, self.end, n), torch.zeros(1, dtype=torch.float64)])


@dataclass(frozen=True)
class IndexGrid:
    """Indices of a beta table of length `total` at t = (index + 1) / total, then clean data.

    The spacing is "leading" (i floor(total/n) + offset), "trailing" (round(total - i total/n) - 1) or "linspace"
    (round(linspace(0, total - 1))).
    """

    spacing: str = "trailing"
    total: int = 1000
    offset: int = 0

    def __call__(self, process: GaussianProcess, n: int) -> Tensor:
        if self.spacing == "leading":
            index = torch.arange(n - 1, -1, -1, dtype=torch.float64) * (self.total // n) + self.offset
        elif self.spacing == "trailing":
            index = torch.round(self.total - torch.arange(n, dtype=torch.float64) * (self.total / n)) - 1
        elif self.spacing == "linspace":
            index = torch.round(_line(self.total - 1, 0, n))
        else:
            raise InputError(f"IndexGrid: spacing {self.spacing!r}, expected leading, trailing or linspace")
        return torch.cat([(index + 1) / self.total, index.new_zeros(1)])


@dataclass(frozen=True)
class Table:
    """Explicit times, n + 1 of them, decreasing."""

    times: tuple[float, ...]

    def __call__(self, process: GaussianProcess, n: int) -> Tensor:
        if len(self.times) != n + 1:
            raise InputError(f"Table: {len(self.times)} times for {n} steps; expected {n + 1}")
        return torch.tensor(self.times, dtype=torch.float64)


@dataclass(frozen=True)
class AlignYourSteps:
    """A short optimised table of levels, log-linearly interpolated to n steps (Sabour et al. 2024); the last level becomes 0.

    `levels` are noise levels sigma = s / a, decreasing, such as a published 10-step table.
    """

    levels: tuple[float, ...]

    def __call__(self, process: GaussianProcess, n: int) -> Tensor:
        log = torch.tensor(self.levels, dtype=torch.float64).log()
        place = _line(0, len(log) - 1, n + 1)
        left = place.floor().clamp(max=len(log) - 2).long()
        sigmas = (log[left] + (place - left) * (log[left + 1] - log[left])).exp()
        sigmas[-1] = 0
        return _times(process, sigmas)
