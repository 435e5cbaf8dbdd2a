"""Clocks: the variable in which a multistep method draws its polynomial through past predictions.

The state moves along the probability flow by D d(a/s) or eps d(s/a); what is interpolated, in which variable, decides how good
an extrapolation is. A clock gives its value at a node and, between nodes, the noise level sigma = s / a with its derivative.
ln(a/s) suits processes whose level spans decades; it is infinite where a = 0 or s = 0, where time and angle stay finite.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch

if TYPE_CHECKING:
    from polyscore.processes.gaussian import GaussianProcess

__all__ = ["ANGLE", "LOG_SNR", "NOISE_LEVEL", "TIME", "Angle", "Clock", "LogSNR", "NoiseLevel", "Time"]

Number = Any  # float64 scalar or array (per-frequency coefficients)


class Clock(Protocol):
    """A monotone function of time, known through the noise level."""

    def value(self, t: float, a: Number, s: Number) -> Number:
        """The clock at a node (t, a, s)."""
        ...

    def level(self, process: GaussianProcess, c: Number) -> tuple[Number, Number]:
        """sigma = s / a and d sigma / d c at clock values c of shape (n, ...)."""
        ...


@dataclass(frozen=True)
class LogSNR:
    """lambda = ln(a / s), half the log-SNR: the clock of DPM-Solver (Lu et al. 2022, arXiv 2206.00927)."""

    def value(self, t: float, a: Number, s: Number) -> Number:
        with np.errstate(divide="ignore"):
            return np.log(a) - np.log(s)

    def level(self, process: GaussianProcess, c: Number) -> tuple[Number, Number]:
        sigma = np.exp(-c)
        return sigma, -sigma


@dataclass(frozen=True)
class NoiseLevel:
    """sigma = s / a: the clock of LMS and of DEIS's rho variants (Karras et al. 2022, arXiv 2206.00364)."""

    def value(self, t: float, a: Number, s: Number) -> Number:
        with np.errstate(divide="ignore"):
            return np.divide(s, a)

    def level(self, process: GaussianProcess, c: Number) -> tuple[Number, Number]:
        return c, np.ones_like(c)


@dataclass(frozen=True)
class Angle:
    """theta = atan2(s, a): finite at both ends of every process; the clock of v-prediction."""

    def value(self, t: float, a: Number, s: Number) -> Number:
        return np.arctan2(s, a)

    def level(self, process: GaussianProcess, c: Number) -> tuple[Number, Number]:
        sigma = np.tan(c)
        return sigma, 1 + sigma**2


@dataclass(frozen=True)
class Time:
    """t itself: the clock of DEIS's tab variants (Zhang and Chen 2023, arXiv 2204.13902)."""

    def value(self, t: float, a: Number, s: Number) -> Number:
        return np.float64(t)

    def level(self, process: GaussianProcess, c: Number) -> tuple[Number, Number]:
        t = torch.as_tensor(c, dtype=torch.float64)
        a, s = (x.numpy() for x in process.coefs_of(t)[::2])
        rates = process.rates(t)
        return s / a, (rates.ds.numpy() * a - s * rates.da.numpy()) / a**2


ANGLE, LOG_SNR, NOISE_LEVEL, TIME = Angle(), LogSNR(), NoiseLevel(), Time()
