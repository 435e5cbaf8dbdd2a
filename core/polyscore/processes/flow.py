"""Flow matching and stochastic interpolants.

Liu et al. 2022 (rectified flow, arXiv 2209.03003), Lipman et al. 2022 (arXiv 2210.02747), Albergo et al. 2023 (arXiv 2303.08797).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor

from polyscore.noise import NoiseLaw, Normal
from polyscore.processes import clocks
from polyscore.processes.gaussian import Coefs, GaussianProcess

__all__ = ["Flow", "FlowToEndPoint", "LinearInterpolant", "TrigonometricInterpolant"]


@dataclass(frozen=True)
class Flow(GaussianProcess):
    """Rectified flow, x = (1 - t) x0 + t eps; its velocity is eps - x0."""

    law: NoiseLaw = field(default_factory=Normal)

    def coefs(self, t: Tensor) -> Coefs:
        return Coefs(1 - t, torch.zeros_like(t), t)

    def time_at_sigma(self, sigma: float | Tensor) -> Tensor:
        """t = sigma / (1 + sigma), exactly."""
        level = torch.as_tensor(sigma, dtype=torch.float64)
        return torch.where(torch.isinf(level), torch.ones_like(level), level / (1 + level))


@dataclass(frozen=True)
class FlowToEndPoint(GaussianProcess):
    """x = (1 - t) x0 + t y + ((1 - t) sigma_min + t sigma_max) eps: flow matching towards a noisy end point.

    The enhancement process of Lee et al. 2025 (FlowSE, arXiv 2505.19476). For t = 0 the level is sigma_min.
    """

    sigma_min: float = 0.0
    sigma_max: float = 0.487
    law: NoiseLaw = field(default_factory=Normal)
    default_clock = clocks.TIME

    def coefs(self, t: Tensor) -> Coefs:
        return Coefs(1 - t, t, (1 - t) * self.sigma_min + t * self.sigma_max)


@dataclass(frozen=True)
class LinearInterpolant(GaussianProcess):
    """x = (1 - t) x0 + t y + gamma(t) eps with gamma = scale sqrt(2 t (1 - t)); y is a sample of the other end."""

    scale: float = 1.0
    law: NoiseLaw = field(default_factory=Normal)

    def coefs(self, t: Tensor) -> Coefs:
        return Coefs(1 - t, t, self.scale * torch.sqrt(2 * t * (1 - t)))


@dataclass(frozen=True)
class TrigonometricInterpolant(GaussianProcess):
    """x = cos(pi t / 2) x0 + sin(pi t / 2) y + gamma(t) eps with gamma = scale sqrt(2 t (1 - t))."""

    scale: float = 1.0
    law: NoiseLaw = field(default_factory=Normal)

    def coefs(self, t: Tensor) -> Coefs:
        angle = t * (math.pi / 2)
        a = torch.where(t >= 1, torch.zeros_like(t), torch.cos(angle))
        return Coefs(a, torch.sin(angle), self.scale * torch.sqrt(2 * t * (1 - t)))
