"""Mean-reverting (Ornstein-Uhlenbeck) processes: the state drifts from x0 to y, b = 1 - a.

Sampling starts around y itself although a(1) is not 0: the prior is a method. Richter et al. 2023 (SGMSE+, arXiv 2208.05830),
Lemercier et al. 2023 (StoRM, arXiv 2212.11851), Luo et al. 2023 (IR-SDE, arXiv 2301.11699).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor

from polyscore.errors import InputError
from polyscore.noise import NoiseLaw, Normal
from polyscore.processes import clocks
from polyscore.processes.gaussian import Coefs, GaussianProcess
from polyscore.state import Given

__all__ = ["IRSDE", "OUVE", "OUVP", "OrnsteinUhlenbeck"]


class OrnsteinUhlenbeck(GaussianProcess):
    """Mean-reverting processes; the prior is centred on y, whatever b(1)."""

    default_clock = clocks.LOG_SNR

    def mean_at_start(self, like: Tensor, t: Tensor, given: Given) -> Tensor:
        """y: at t = 1 the original systems start at y + s z."""
        if given.y is None:
            raise InputError(f"{type(self).__name__}: given.y is None, expected the end point y (noisy observation)")
        return torch.as_tensor(given.y).expand_as(like)


@dataclass(frozen=True)
class OUVE(OrnsteinUhlenbeck):
    """dx = theta (y - x) dt + sigma_min (sigma_max/sigma_min)^t sqrt(2 L) dw, L = ln(sigma_max / sigma_min) (SGMSE).

    a = e^(-theta t), b = 1 - a, s^2 = sigma_min^2 e^(-2 theta t) (e^(2 (theta + L) t) - 1) L / (theta + L).
    """

    theta: float = 1.5
    sigma_min: float = 0.05
    sigma_max: float = 0.5
    law: NoiseLaw = field(default_factory=Normal)

    def coefs(self, t: Tensor) -> Coefs:
        log = math.log(self.sigma_max / self.sigma_min)
        a = torch.exp(-self.theta * t)
        variance = self.sigma_min**2 * a**2 * torch.expm1(2 * (self.theta + log) * t) * log / (self.theta + log)
        return Coefs(a, -torch.expm1(-self.theta * t), variance.sqrt())


@dataclass(frozen=True)
class OUVP(OrnsteinUhlenbeck):
    """dx = k beta (y - x) / 2 dt + sqrt(beta) dw, beta = beta_min + t (beta_max - beta_min) (StoRM).

    a = exp(-k B / 2), b = 1 - a, s^2 = (1 - exp(-k B)) / k with B = the integral of beta from 0 to t.
    The original code uses that variance as the standard deviation; here the root is taken.
    """

    beta_min: float
    beta_max: float
    stiffness: float = 1.0
    law: NoiseLaw = field(default_factory=Normal)

    def coefs(self, t: Tensor) -> Coefs:
        exponent = -self.stiffness * (self.beta_min * t + 0.5 * (self.beta_max - self.beta_min) * t**2)
        b = -torch.expm1(exponent / 2)
        return Coefs(1 - b, b, torch.sqrt(-torch.expm1(exponent) / self.stiffness))


@dataclass(frozen=True)
class IRSDE(OrnsteinUhlenbeck):
    """a = e^(-T), b = 1 - a, s = lambda sqrt(1 - e^(-2T)), T = -t ln(delta): constant theta, a(1) = delta (Luo et al. 2023)."""

    delta: float = 0.005
    noise_level: float = 10 / 255
    law: NoiseLaw = field(default_factory=Normal)

    def coefs(self, t: Tensor) -> Coefs:
        exponent = t * math.log(self.delta)
        return Coefs(exponent.exp(), -torch.expm1(exponent), self.noise_level * torch.sqrt(-torch.expm1(2 * exponent)))
