"""Diffusion bridges between x0 and y with a Brownian reference of variance V(t).

    a = 1 - V(t)/V(1),  b = V(t)/V(1),  s^2 = V(t) (1 - V(t)/V(1)).

Jukic et al. 2024 (Schroedinger bridge for speech, arXiv 2407.16074), Chen et al. 2023 (Bridge-TTS, arXiv 2312.03491),
Wang et al. 2024 (FrameBridge, arXiv 2410.15371). Both ends are exact: s(0) = s(1) = 0.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from dataclasses import dataclass, field

import torch
from torch import Tensor

from polyscore.noise import NoiseLaw, Normal
from polyscore.processes.gaussian import Coefs, GaussianProcess

__all__ = ["Bridge", "GMaxBridge", "VEBridge"]


class Bridge(GaussianProcess):
    """A bridge writes the variance V(t) of its reference process."""

    regulariser: float = 0.0

    @abstractmethod
    def variance(self, t: Tensor) -> Tensor:
        """V(t), increasing, V(0) = 0."""

    def coefs(self, t: Tensor) -> Coefs:
        """A `regulariser` > 0 guards every division as the original SGMSE code does (1e-8 there)."""
        r = self.regulariser
        now, end = self.variance(t), self.variance(torch.ones_like(t))
        rest = end - now + r
        root = torch.sqrt(now) * torch.sqrt(rest)
        return Coefs(rest / (end + r), now / (1 + r) / (end + r), root / (end.sqrt() + r))


@dataclass(frozen=True)
class VEBridge(Bridge):
    """V = c (k^(2t) - 1) / (2 ln k): the SBVE process of SGMSE."""

    k: float = 2.6
    c: float = 0.4
    regulariser: float = 0.0
    law: NoiseLaw = field(default_factory=Normal)

    def variance(self, t: Tensor) -> Tensor:
        return self.c * torch.expm1(2 * math.log(self.k) * t) / (2 * math.log(self.k))


@dataclass(frozen=True)
class GMaxBridge(Bridge):
    """V = beta_min t + (beta_max - beta_min) t^2 / 2: diffusion growing linearly (Bridge-TTS gmax, FrameBridge)."""

    beta_min: float = 0.01
    beta_max: float = 50.0
    regulariser: float = 0.0
    law: NoiseLaw = field(default_factory=Normal)

    def variance(self, t: Tensor) -> Tensor:
        return self.beta_min * t + 0.5 * (self.beta_max - self.beta_min) * t**2
