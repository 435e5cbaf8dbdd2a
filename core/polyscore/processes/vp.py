"""Variance-preserving processes: a^2 + s^2 = 1 (plus an optional floor), b = 0.

Song et al. 2021 (arXiv 2011.13456), Ho et al. 2020 (arXiv 2006.11239), Nichol and Dhariwal 2021 (arXiv 2102.09672).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor

from polyscore.noise import NoiseLaw, Normal
from polyscore.processes import clocks, grids
from polyscore.processes.gaussian import Coefs, GaussianProcess

__all__ = ["VP", "Cosine", "ShortestPath", "SubVP"]


def _log_a(t: Tensor, beta_min: float, beta_max: float) -> Tensor:
    return -0.25 * (beta_max - beta_min) * t**2 - 0.5 * beta_min * t


@dataclass(frozen=True)
class VP(GaussianProcess):
    """a = exp(-(beta_max - beta_min) t^2 / 4 - beta_min t / 2), s^2 = 1 - a^2 + sigma_min^2 (Song et al. 2021)."""

    beta_min: float = 0.1
    beta_max: float = 20.0
    sigma_min: float = 0.0
    law: NoiseLaw = field(default_factory=Normal)

    default_clock = clocks.TIME

    def default_grid(self, n: int) -> Tensor:
        return grids.quadratic(self, n)

    def coefs(self, t: Tensor) -> Coefs:
        log_a = _log_a(t, self.beta_min, self.beta_max)
        return Coefs(log_a.exp(), torch.zeros_like(t), torch.sqrt(self.sigma_min**2 - torch.expm1(2 * log_a)))

    def time_at_sigma(self, sigma: float | Tensor) -> Tensor:
        """The root of the quadratic -ln a = L, L = ln((1 + sigma^2) / (1 + sigma_min^2)) / 2, exactly."""
        level = torch.as_tensor(sigma, dtype=torch.float64) ** 2
        depth = ((torch.log1p(level) - math.log1p(self.sigma_min**2)) / 2).clamp(0, 1e9)
        slope = self.beta_max - self.beta_min
        return (4 * depth / (self.beta_min + torch.sqrt(self.beta_min**2 + 4 * slope * depth))).nan_to_num(nan=0.0).clamp(max=1)


@dataclass(frozen=True)
class SubVP(GaussianProcess):
    """a as VP, s = 1 - a^2: variance never above VP's (Song et al. 2021)."""

    beta_min: float = 0.1
    beta_max: float = 20.0
    law: NoiseLaw = field(default_factory=Normal)

    def coefs(self, t: Tensor) -> Coefs:
        log_a = _log_a(t, self.beta_min, self.beta_max)
        return Coefs(log_a.exp(), torch.zeros_like(t), -torch.expm1(2 * log_a))


@dataclass(frozen=True)
class Cosine(GaussianProcess):
    """a = cos(t arccos(alpha_min)), s^2 = 1 - a^2 + sigma_min^2; alpha_min = 0 is the quarter circle a = cos, s = sin."""

    alpha_min: float = 1e-3
    sigma_min: float = 0.0
    law: NoiseLaw = field(default_factory=Normal)

    def coefs(self, t: Tensor) -> Coefs:
        angle = t * math.acos(self.alpha_min)
        s = torch.sin(angle) if self.sigma_min == 0 else torch.sqrt(torch.sin(angle) ** 2 + self.sigma_min**2)
        return Coefs(torch.cos(angle), torch.zeros_like(t), s)


@dataclass(frozen=True)
class ShortestPath(GaussianProcess):
    """Per-frequency VP on states held in an orthonormal frequency basis (..., *size).

    a_k^2 = (1 - S_k^(1-t)) / (1 - S_k), s_k^2 = 1 - a_k^2, with the power-law spectrum S_k = c1 / (c2 + |k|)^m of the data:
    the Fisher-geodesic of Gaussian marginals (Das et al. 2023, arXiv 2306.00501). |k| is counted in cycles per axis.
    """

    size: tuple[int, ...]
    c1: float = 1.0
    c2: float = 1.0
    m: float = 2.0
    law: NoiseLaw = field(default_factory=Normal)

    def coefs(self, t: Tensor) -> Coefs:
        axes = [torch.fft.fftfreq(n, 1 / n, dtype=torch.float64, device=t.device) for n in self.size]
        radius = torch.stack(torch.meshgrid(*axes, indexing="ij")).square().sum(0).sqrt()
        log_spectrum = math.log(self.c1) - self.m * torch.log(self.c2 + radius)
        log_spectrum = torch.where(log_spectrum.abs() < 1e-9, -1e-9, log_spectrum)
        tau = (1 - t).reshape(*t.shape, *[1] * len(self.size))
        a2 = torch.expm1(tau * log_spectrum) / torch.expm1(log_spectrum)
        return Coefs(a2.sqrt(), torch.zeros_like(a2), (1 - a2).clamp(min=0).sqrt())
