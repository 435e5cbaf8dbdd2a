r"""BESO's densities of the training noise level, beside those of the core.

| original name | here |
|---|---|
| loglogistic | `LogLogistic(loc=ln 0.5, scale=0.5, ...)`: the original reads no other location and scale than these |
| lognormal | `LogNormal(mean, std)` |
| loguniform | `LogUniform` |
| uniform | `UniformLevel` |
| v-diffusion | `CosineTimes(sigma_data=0.5, ...)` |
| split-lognormal | `SplitLogNormal` |

Source: Reuss et al. 2023, arXiv:2304.02532, and Crowson's k-diffusion (2022).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from polyscore.errors import InputError
from polyscore.processes import GaussianProcess
from polyscore.training.times import CosineTimes, LogLogistic, LogNormal, TimeDensity

__all__ = ["DENSITIES", "LogUniform", "SplitLogNormal", "UniformLevel", "density"]

DENSITIES = ("loglogistic", "lognormal", "loguniform", "uniform", "v-diffusion", "split-lognormal")


@dataclass(frozen=True)
class LogUniform(TimeDensity):
    """ln sigma uniform between the logarithms of sigma_min and sigma_max."""

    sigma_min: float = 0.005
    sigma_max: float = 1.0

    def quantile(self, u: Tensor, process: GaussianProcess) -> Tensor:
        low, high = math.log(self.sigma_min), math.log(self.sigma_max)
        return process.time_at_sigma(torch.exp(low + u * (high - low)))


@dataclass(frozen=True)
class UniformLevel(TimeDensity):
    """sigma uniform between sigma_min and sigma_max."""

    sigma_min: float = 0.005
    sigma_max: float = 1.0

    def quantile(self, u: Tensor, process: GaussianProcess) -> Tensor:
        return process.time_at_sigma(self.sigma_min + u * (self.sigma_max - self.sigma_min))


@dataclass(frozen=True)
class SplitLogNormal(TimeDensity):
    """ln sigma = loc - below |z| with probability below / (below + above), else loc + above |z|; z ~ N(0, 1)."""

    loc: float = -1.0
    below: float = 0.5
    above: float = 1.5

    def quantile(self, u: Tensor, process: GaussianProcess) -> Tensor:
        share = self.below / (self.below + self.above)
        down = self.below * torch.special.ndtri(u / (2 * share))
        up = self.above * torch.special.ndtri((1 + (u - share) / (1 - share)) / 2)
        return process.time_at_sigma(torch.exp(self.loc + torch.where(u < share, down, up)))


def density(
    name: str, *, sigma_min: float, sigma_max: float, sigma_data: float = 0.5, mean: float = -0.6, std: float = 1.6
) -> TimeDensity:
    """The density of an original name; `mean` and `std` are read by "lognormal" and "split-lognormal" (std on both sides).

    Raises:
        InputError: an unknown name.
    """
    match name:
        case "loglogistic":
            return LogLogistic(math.log(sigma_data), 0.5, sigma_min, sigma_max)
        case "lognormal":
            return LogNormal(mean, std)
        case "loguniform":
            return LogUniform(sigma_min, sigma_max)
        case "uniform":
            return UniformLevel(sigma_min, sigma_max)
        case "v-diffusion":
            return CosineTimes(sigma_data, sigma_min, sigma_max)
        case "split-lognormal":
            return SplitLogNormal(mean, std, std)
        case _:
            raise InputError(f"density {name!r} is unknown; expected one of {', '.join(DENSITIES)}")
