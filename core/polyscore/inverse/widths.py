r"""How far x0 may be from the denoiser's E[x0 | x_t]: the variance r^2 of p(x0 | x_t) that a likelihood is widened by.

    none            r^2 = 0                              DPS (Chung et al. 2023, arXiv 2209.14687): y is believed at once
    unit_prior      r^2 = s^2 / (a^2 + s^2)              exact for data N(0, I) (PiGDM: Song et al. 2023, openreview 9_gsMA8MRKQ)
    HessianTrace    r^2 = (s^2 / a) tr(dE / dx) / d      second-order Tweedie, Cov[x0 | x_t] = (s^2 / a) dE[x0 | x_t] / dx, its
                                                         trace by Hutchinson's probes v: E v^T (dE/dx) v, by differences

The trace is the second-order term of STSL (Rout et al. 2024, arXiv 2312.00852), which takes it into a lower bound; here it sets
the width, sample by sample, which is exact where Cov[x0 | x_t] is a multiple of I.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch
from torch import Tensor

from polyscore.denoisers.base import Denoiser
from polyscore.guidance.wrapper import real
from polyscore.noise import NoiseLike, as_noise
from polyscore.state import Given, LeafTime

__all__ = ["HessianTrace", "Width", "none", "unit_prior"]

Width: TypeAlias = Callable[[Denoiser, Any, Tensor, LeafTime, Given, Tensor], Tensor]
"""(denoiser, process, x, t, given, x0) to r^2, shaped to multiply x."""


def none(denoiser: Denoiser, process: Any, x: Tensor, t: LeafTime, given: Given, x0: Tensor) -> Tensor:
    """0."""
    return torch.zeros((), dtype=x.real.dtype, device=x.device)


def unit_prior(denoiser: Denoiser, process: Any, x: Tensor, t: LeafTime, given: Given, x0: Tensor) -> Tensor:
    """s^2 / (a^2 + s^2)."""
    a, _, s = (real(c, t, x) for c in process.coefs_of(t))
    out: Tensor = s**2 / (a**2 + s**2)
    return out


@dataclass(frozen=True)
class HessianTrace:
    """(s^2 / a) tr(dE[x0 | x] / dx) / d, one number a sample, at least 0.

    Args:
        probes: network calls a step.
        size: step of the difference, in units of s.
        noise: of the probes.
    """

    probes: int = 1
    size: float = 0.01
    noise: NoiseLike = 0

    def __call__(self, denoiser: Denoiser, process: Any, x: Tensor, t: LeafTime, given: Given, x0: Tensor) -> Tensor:
        a, _, s = (real(c, t, x) for c in process.coefs_of(t))
        source, total = as_noise(self.noise), torch.zeros(len(x), dtype=x.real.dtype, device=x.device)
        with torch.no_grad():
            for _ in range(self.probes):
                v = torch.sign(source(x))
                moved = denoiser(x + self.size * s * v, t, given).x0 - x0
                total = total + (v * moved / (self.size * s)).flatten(1).mean(1)
        shape = (-1, *[1] * (x.ndim - 1))
        return s**2 / a.clamp(min=1e-6) * (total / self.probes).clamp(min=0).view(shape)
