r"""Schedules of discrete processes: the share alpha_t of the data that is still there at time t.

alpha falls from 1 at t = 0 to (nearly) 0 at t = 1. What replaces the lost share is the process's business
(`polyscore.processes.discrete.masking`). With sigma = -ln alpha, the integrated rate of change,

    Linear        1 - t
    Polynomial    1 - t^k
    Cosine        1 - cos(pi/2 (1 - t)),  or  cos^2(pi/2 (t + o) / (1 + o)) normalised: `SquaredCosine`
    LogLinear     sigma = -ln(1 - (1 - e) t)
    Table         numbers at t = i / T, linear in between

Sources: Austin et al. 2021 (D3PM, arXiv 2107.03006); Sahoo et al. 2024 (MDLM, arXiv 2406.07524); Shi et al. 2024 (MD4,
arXiv 2406.04329); Lou et al. 2024 (SEDD, arXiv 2310.16834); Nichol and Dhariwal 2021 (arXiv 2102.09672).
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from polyscore.errors import InputError

__all__ = ["Cosine", "Linear", "LogLinear", "Polynomial", "Schedule", "SquaredCosine", "Table"]


class Schedule(ABC):
    """alpha(t), 1 at t = 0 and falling. Written with torch operations: it is differentiated."""

    @abstractmethod
    def __call__(self, t: Tensor) -> Tensor:
        """alpha at t in [0, 1], float64, of t's shape."""


@dataclass(frozen=True)
class Linear(Schedule):
    """alpha = 1 - t: the share of masked cells is the time."""

    def __call__(self, t: Tensor) -> Tensor:
        return 1 - t


@dataclass(frozen=True)
class Polynomial(Schedule):
    """alpha = 1 - t^power (Shi et al. 2024, arXiv 2406.04329).

    Raises:
        InputError: a power that is not positive.
    """

    power: float = 2.0

    def __post_init__(self) -> None:
        if not self.power > 0:
            raise InputError(f"Polynomial: power {self.power}, expected a positive number")

    def __call__(self, t: Tensor) -> Tensor:
        return 1 - t**self.power


@dataclass(frozen=True)
class Cosine(Schedule):
    """alpha = 1 - cos(pi/2 (1 - t)): few cells at a time near the noise (MaskGIT, Chang et al. 2022, arXiv 2202.04200; MD4)."""

    def __call__(self, t: Tensor) -> Tensor:
        return 1 - torch.sin(t * (math.pi / 2))


@dataclass(frozen=True)
class SquaredCosine(Schedule):
    """alpha = f(t) / f(0), f = cos^2(pi/2 (t + offset) / (1 + offset)), as DiGress takes it.

    Nichol and Dhariwal 2021 (arXiv 2102.09672), Vignac et al. 2023 (arXiv 2209.14734).
    """

    offset: float = 0.008

    def __call__(self, t: Tensor) -> Tensor:
        here, start = (torch.cos((s + self.offset) / (1 + self.offset) * (math.pi / 2)) for s in (t, torch.zeros_like(t)))
        alpha = (here / start) ** 2
        return torch.where(t >= 1, torch.zeros_like(t), alpha)


@dataclass(frozen=True)
class LogLinear(Schedule):
    """alpha = exp(-sigma), sigma = -ln(1 - (1 - end) t): a share `end` of the data is left at t = 1, and all rates are finite.

    Lou et al. 2024 (arXiv 2310.16834), Sahoo et al. 2024 (arXiv 2406.07524).

    Raises:
        InputError: `end` outside (0, 1).
    """

    end: float = 1e-3

    def __post_init__(self) -> None:
        if not 0 < self.end < 1:
            raise InputError(f"LogLinear: end {self.end}, expected a share between 0 and 1")

    def __call__(self, t: Tensor) -> Tensor:
        return 1 - (1 - self.end) * t


@dataclass(frozen=True)
class Table(Schedule):
    """Numbers at t = 0, 1/T, ..., 1, linear in between.

    Raises:
        InputError: fewer than two numbers, a first one that is not 1, or numbers that rise or leave [0, 1].
    """

    values: tuple[float, ...]

    def __post_init__(self) -> None:
        values = tuple(float(value) for value in self.values)
        object.__setattr__(self, "values", values)
        if len(values) < 2 or values[0] != 1 or min(values) < 0 or any(b > a for a, b in pairwise(values)):
            raise InputError(f"Table: {values[:4]}...; expected numbers that fall from 1 at t = 0 and stay in [0, 1]")

    def __call__(self, t: Tensor) -> Tensor:
        table = torch.tensor(self.values, dtype=torch.float64, device=t.device)
        place = (t * (len(table) - 1)).clamp(0, len(table) - 1)
        off = place.detach().round() - place.detach()
        place = place + torch.where(off.abs() < 1e-9, off, torch.zeros_like(off))  # nodes are hit exactly
        left = place.detach().floor().clamp(max=len(table) - 2).long()
        return table[left] + (place - left) * (table[left + 1] - table[left])
