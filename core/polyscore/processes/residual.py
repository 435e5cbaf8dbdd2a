"""Residual processes for paired restoration: the state moves from x0 to the degraded y within few steps.

Liu et al. 2023 (RDDM, arXiv 2308.13712), Yue et al. 2023 (ResShift, arXiv 2307.12348),
Shi et al. 2023 (Resfusion, arXiv 2311.14900).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor

from polyscore.noise import NoiseLaw, Normal
from polyscore.processes import grids
from polyscore.processes.gaussian import Coefs, GaussianProcess

__all__ = ["RDDM", "ResShift", "Resfusion"]


class _Residual(GaussianProcess):
    """x_t = x_u + (increment of b) (y - x0) + noise: the residual enters at every step, so the chain keeps x_u whole, k = 1."""

    def kernel(self, now: Coefs, earlier: Coefs) -> Tensor:
        return torch.ones_like(now.a)


@dataclass(frozen=True)
class RDDM(_Residual):
    """x = x0 + A (y - x0) + B eps with A = 2 t - t^2 (rate falling linearly) and B = noise_level t (variance rate rising)."""

    noise_level: float = 0.1
    law: NoiseLaw = field(default_factory=Normal)

    def coefs(self, t: Tensor) -> Coefs:
        return Coefs((1 - t) ** 2, t * (2 - t), self.noise_level * t)


@dataclass(frozen=True)
class ResShift(_Residual):
    """x = x0 + eta (y - x0) + kappa sqrt(eta) eps, eta = eta_min (eta_max / eta_min)^(t^p) for t > 0 and 0 at t = 0."""

    kappa: float = 2.0
    p: float = 0.3
    eta_min: float = 0.001
    eta_max: float = 0.999
    law: NoiseLaw = field(default_factory=Normal)

    def default_grid(self, n: int) -> Tensor:
        return grids.leading_one(self, n)

    def coefs(self, t: Tensor) -> Coefs:
        eta = self.eta_min * torch.exp(math.log(self.eta_max / self.eta_min) * t**self.p)
        eta = torch.where(t > 0, eta, torch.zeros_like(eta))
        return Coefs(1 - eta, eta, self.kappa * eta.sqrt())


@dataclass(frozen=True)
class Resfusion(GaussianProcess):
    """a = 2 m - 1, b = 1 - m, s = sqrt(1 - m^2), where m = sqrt(abar) of VP, cut off at m = 1/2 so that a(1) = 0."""

    beta_min: float = 0.1
    beta_max: float = 20.0
    law: NoiseLaw = field(default_factory=Normal)

    def coefs(self, t: Tensor) -> Coefs:
        slope = self.beta_max - self.beta_min
        end = (math.sqrt(self.beta_min**2 + 4 * slope * math.log(2)) - self.beta_min) / slope
        log_m = -0.25 * slope * (t * end) ** 2 - 0.5 * self.beta_min * t * end
        a = torch.where(t >= 1, torch.zeros_like(t), 1 + 2 * torch.expm1(log_m))
        return Coefs(a, -torch.expm1(log_m), torch.sqrt(-torch.expm1(2 * log_m)))

    def kernel(self, now: Coefs, earlier: Coefs) -> Tensor:
        """DDPM's own k = m_t / m_u with m = 1 - b."""
        return (1 - now.b) / (1 - earlier.b)
