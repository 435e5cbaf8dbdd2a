"""Variance-exploding processes: a = 1, b = 0.

Song et al. 2021 (arXiv 2011.13456); Karras et al. 2022 (EDM, arXiv 2206.00364); Xu et al. 2023 (PFGM++, arXiv 2302.04265).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor

from polyscore.noise import NoiseLaw, Normal
from polyscore.noise.heavy import StudentT
from polyscore.processes import clocks, grids
from polyscore.processes.gaussian import Coefs, GaussianProcess

__all__ = ["EDM", "PFGMPlusPlus", "VE"]


@dataclass(frozen=True)
class VE(GaussianProcess):
    """s = sigma_min (sigma_max / sigma_min)^t for t > 0, and s = 0 at t = 0: the data themselves (Song et al. 2021)."""

    sigma_min: float = 0.01
    sigma_max: float = 50.0
    law: NoiseLaw = field(default_factory=Normal)

    def default_grid(self, n: int) -> Tensor:
        return grids.leading_one(self, n)

    def coefs(self, t: Tensor) -> Coefs:
        s = self.sigma_min * (self.sigma_max / self.sigma_min) ** t
        return Coefs(torch.ones_like(t), torch.zeros_like(t), torch.where(t > 0, s, torch.zeros_like(s)))

    def time_at_sigma(self, sigma: float | Tensor) -> Tensor:
        """t = ln(sigma / sigma_min) / ln(sigma_max / sigma_min), exactly; levels below sigma_min give the smallest t > 0."""
        level = torch.as_tensor(sigma, dtype=torch.float64) / self.sigma_min
        return (torch.log(level) / math.log(self.sigma_max / self.sigma_min)).clamp(1e-16, 1)


@dataclass(frozen=True)
class EDM(GaussianProcess):
    """s = sigma_max t: the noise level is the clock (Karras et al. 2022). Its default grid is Karras' with rho = 7."""

    sigma_max: float = 80.0
    sigma_min: float = 0.002
    law: NoiseLaw = field(default_factory=Normal)

    default_clock = clocks.NOISE_LEVEL

    def default_grid(self, n: int) -> Tensor:
        return grids.Karras(self.sigma_min, self.sigma_max)(self, n)

    def coefs(self, t: Tensor) -> Coefs:
        return Coefs(torch.ones_like(t), torch.zeros_like(t), self.sigma_max * t)

    def time_at_sigma(self, sigma: float | Tensor) -> Tensor:
        """t = sigma / sigma_max, exactly."""
        return torch.as_tensor(sigma, dtype=torch.float64) / self.sigma_max


@dataclass(frozen=True)
class PFGMPlusPlus(EDM):
    """EDM with the heavy-tailed kernel of an electric field in `dimension` extra dimensions (Xu et al. 2023).

    x = x0 + R v with v uniform on the sphere and R^2 / (R^2 + r^2) ~ Beta(N / 2, D / 2), r = s sqrt(D): the multivariate
    Student law with D degrees of freedom and scale s. D to infinity is EDM.
    """

    dimension: int = 128

    law: NoiseLaw = field(init=False, default_factory=Normal)

    def __post_init__(self) -> None:
        object.__setattr__(self, "law", StudentT(self.dimension))
