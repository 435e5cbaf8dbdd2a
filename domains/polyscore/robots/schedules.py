r"""BESO's noise schedules, as time grids: n levels from high to low, then 0.

With ramp = 0 .. 1 in n values, hi and lo the largest and smallest level, and `EDM`'s t = sigma / sigma_max:

    linear            hi + ramp (lo - hi)
    polyexponential   exp((1 - ramp)^rho (ln hi - ln lo) + ln lo)
    vp                sqrt(exp(19.9 t^2 / 2 + 0.1 t) - 1), t from 1 to 1e-3
    ve                hi (lo / hi)^r, r = ramp; in the original r = ramp (n + 1) / (n - 1), which passes lo
    iddpm             levels of the improved-DDPM table between lo and hi (Karras et al. 2022, arXiv:2206.00364, table 1)
    cosine_beta       the betas of the cosine schedule themselves, reversed: a slip of the original, kept under its name

"karras" and "exponential" are those of `polyscore.processes.grids`. "vp" and "cosine_beta" do not look at hi and lo.

Source: Reuss et al. 2023, arXiv:2304.02532, and Crowson's k-diffusion (2022).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from polyscore.errors import InputError
from polyscore.processes import GaussianProcess
from polyscore.processes.grids import Exponential, Grid, Karras, Sigmas

__all__ = ["SCHEDULES", "IDDPM", "CosineBeta", "Linear", "PolyExponential", "VELevels", "VPLevels", "schedule"]

SCHEDULES = ("karras", "exponential", "linear", "polyexponential", "vp", "ve", "ve-upstream", "iddpm", "cosine_beta")


def _ramp(n: int) -> Tensor:
    return torch.linspace(0, 1, n, dtype=torch.float64)


def _grid(process: GaussianProcess, levels: Tensor, n: int) -> Tensor:
    return Sigmas((*levels.tolist(), 0.0))(process, n)


@dataclass(frozen=True)
class Linear:
    """sigma linear from hi to lo."""

    sigma_min: float
    sigma_max: float

    def __call__(self, process: GaussianProcess, n: int) -> Tensor:
        return _grid(process, self.sigma_max + _ramp(n) * (self.sigma_min - self.sigma_max), n)


@dataclass(frozen=True)
class PolyExponential:
    """ln sigma a power of the ramp; rho = 1 is `Exponential`."""

    sigma_min: float
    sigma_max: float
    rho: float = 1.0

    def __call__(self, process: GaussianProcess, n: int) -> Tensor:
        low, high = math.log(self.sigma_min), math.log(self.sigma_max)
        return _grid(process, torch.exp((1 - _ramp(n)) ** self.rho * (high - low) + low), n)


@dataclass(frozen=True)
class VPLevels:
    """The levels of the VP process with beta from `beta_min` to `beta_min + beta_d`, down to t = `end`."""

    beta_d: float = 19.9
    beta_min: float = 0.1
    end: float = 1e-3

    def __call__(self, process: GaussianProcess, n: int) -> Tensor:
        t = torch.linspace(1, self.end, n, dtype=torch.float64)
        return _grid(process, torch.sqrt(torch.expm1(self.beta_d * t**2 / 2 + self.beta_min * t)), n)


@dataclass(frozen=True)
class VELevels:
    """sigma geometric from hi to lo; `reach` is how far: 1 ends at lo, None is the original's (n + 1) / (n - 1)."""

    sigma_min: float
    sigma_max: float
    reach: float | None = 1.0

    def __call__(self, process: GaussianProcess, n: int) -> Tensor:
        reach = (n + 1) / max(n - 1, 1) if self.reach is None else self.reach
        return _grid(process, self.sigma_max * (self.sigma_min / self.sigma_max) ** (reach * _ramp(n)), n)


@dataclass(frozen=True)
class IDDPM:
    """u_(j-1) = sqrt((u_j^2 + 1) / max(abar_(j-1) / abar_j, c1) - 1) from u_M = 0, abar_j = sin^2(pi j / (2 M (1 + c2)))."""

    sigma_min: float
    sigma_max: float
    table: int = 1000
    c1: float = 0.001
    c2: float = 0.008

    def __call__(self, process: GaussianProcess, n: int) -> Tensor:
        abar = [math.sin(math.pi * j / (2 * self.table * (1 + self.c2))) ** 2 for j in range(self.table + 1)]
        levels = [0.0]
        for j in range(self.table, 0, -1):
            levels.append(math.sqrt((levels[-1] ** 2 + 1) / max(abar[j - 1] / abar[j], self.c1) - 1))
        kept = torch.tensor([u for u in reversed(levels) if self.sigma_min <= u <= self.sigma_max], dtype=torch.float64)
        if len(kept) < n:
            raise InputError(f"IDDPM: {len(kept)} levels between {self.sigma_min} and {self.sigma_max}, {n} steps need {n}")
        return _grid(process, kept[torch.round((len(kept) - 1) * _ramp(n)).long()], n)


@dataclass(frozen=True)
class CosineBeta:
    """beta_i = min(1 - abar_i / abar_(i-1), 0.999), abar_i = cos^2((i / n + offset) / (1 + offset) pi / 2), largest first."""

    offset: float = 0.008

    def __call__(self, process: GaussianProcess, n: int) -> Tensor:
        x = torch.linspace(0, 1, n + 1, dtype=torch.float64)
        abar = torch.cos((x + self.offset) / (1 + self.offset) * math.pi / 2) ** 2
        return _grid(process, (1 - abar[1:] / abar[:-1]).clamp(0, 0.999).flip(0), n)


def schedule(name: str, sigma_min: float, sigma_max: float, *, rho: float = 5.0) -> Grid:
    """The grid of a name in `SCHEDULES`; `rho` is read by "karras" and "polyexponential".

    Raises:
        InputError: an unknown name, or not 0 < sigma_min < sigma_max.
    """
    if not 0 < sigma_min < sigma_max:
        raise InputError(f"schedule: sigma_min {sigma_min}, sigma_max {sigma_max}; expected 0 < sigma_min < sigma_max")
    match name:
        case "karras":
            return Karras(sigma_min, sigma_max, rho)
        case "exponential":
            return Exponential(sigma_min, sigma_max)
        case "linear":
            return Linear(sigma_min, sigma_max)
        case "polyexponential":
            return PolyExponential(sigma_min, sigma_max, rho)
        case "vp":
            return VPLevels()
        case "ve":
            return VELevels(sigma_min, sigma_max)
        case "ve-upstream":
            return VELevels(sigma_min, sigma_max, None)
        case "iddpm":
            return IDDPM(sigma_min, sigma_max)
        case "cosine_beta":
            return CosineBeta()
        case _:
            raise InputError(f"schedule {name!r} is unknown; expected one of {', '.join(SCHEDULES)}")
