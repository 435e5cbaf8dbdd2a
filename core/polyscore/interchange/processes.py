"""Forward processes as diffusers' schedulers keep them.

A table of betas at t = (i + 1) / N in variance-preserving or, for the schedulers that work on sigma = s / a, exploding
coordinates; EDM; flow; IPNDM's sine. They differ from `polyscore.processes` in the prior's scale only: diffusers starts from
unit noise, or from the marginal of unit-variance data, where ours start from s eps.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor

from polyscore.interchange.levels import Array, index_of
from polyscore.noise import NoiseLaw, Normal
from polyscore.processes import EDM, BetaTable, Coefs, Flow, GaussianProcess

__all__ = ["ExplodingTable", "SineProcess", "UnitTable", "UnitFlow", "WideEDM"]


@dataclass(frozen=True)
class UnitTable(BetaTable):
    """A beta table whose prior is unit noise (x_T ~ N(0, 1), as DDPM has it).

    Attributes:
        last_abar: abar that the schedulers' table of levels has at its last index in place of the table's own: 2^-24 where
            the SNR ends at zero. That level may lie below the one before it.
    """

    last_abar: float | None = None

    @property
    def sigmas(self) -> Array:
        """sigma_i = s_i / a_i, the levels that grids interpolate."""
        abar = torch.cumprod(1 - torch.tensor(self.betas, dtype=torch.float64), 0)
        if self.last_abar is not None:
            abar[-1] = self.last_abar
        levels: Array = ((1 - abar) / abar).sqrt().numpy()
        return levels

    def index(self, sigma: float | Array) -> Array:
        """The index, with fraction, whose level is `sigma` (linear in ln sigma between entries)."""
        return index_of(torch.as_tensor(sigma, dtype=torch.float64).reshape(-1).numpy(), self.sigmas)

    def std_at_start(self, t: Tensor) -> Tensor:
        return torch.ones_like(t)


@dataclass(frozen=True)
class ExplodingTable(UnitTable):
    """The same table in coordinates x / a: a = 1, s = sigma_i.

    Attributes:
        data_std: the prior has the marginal's standard deviation sqrt(sigma^2 + data_std^2); 0 starts from noise alone.
    """

    data_std: float = 0.0

    def coefs(self, t: Tensor) -> Coefs:
        a, b, s = super().coefs(t)
        return Coefs(torch.ones_like(a), b, s / a)

    def std_at_start(self, t: Tensor) -> Tensor:
        return torch.sqrt(self.coefs(t).s ** 2 + self.data_std**2)


@dataclass(frozen=True)
class WideEDM(EDM):
    """EDM whose prior is the marginal of unit-variance data at sigma_max: std sqrt(sigma_max^2 + data_std^2)."""

    data_std: float = 1.0

    def std_at_start(self, t: Tensor) -> Tensor:
        return torch.full_like(t, math.hypot(self.sigma_max, self.data_std))


@dataclass(frozen=True)
class UnitFlow(Flow):
    """Rectified flow whose prior is unit noise even where the grid starts below t = 1."""

    def std_at_start(self, t: Tensor) -> Tensor:
        return torch.ones_like(t)


@dataclass(frozen=True)
class SineProcess(GaussianProcess):
    """s = sin^2(pi t / 2), a = sqrt(1 - s^2): the process of diffusers' IPNDM."""

    law: NoiseLaw = field(default_factory=Normal)

    def coefs(self, t: Tensor) -> Coefs:
        s = torch.sin(t * (math.pi / 2)) ** 2
        return Coefs(torch.sqrt((1 - s**2).clamp(min=0)), torch.zeros_like(s), s)
