"""The heavy-tailed law of PFGM++ (Xu et al. 2023, arXiv 2302.04265)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from polyscore.noise.laws import NoiseLaw
from polyscore.noise.source import Noise
from polyscore.state import NONE, Given

__all__ = ["StudentT", "chi2_quantile"]


def chi2_quantile(p: Tensor, degrees: int) -> Tensor:
    """q with P(chi2_degrees <= q) = p, by bisection on the regularised incomplete gamma function in float64."""
    p = p.double().clamp(1e-15, 1 - 1e-15)
    shape = torch.tensor(degrees / 2, dtype=torch.float64, device=p.device)
    spread = 40 * (2 * degrees) ** 0.5 + 80
    lo = torch.zeros_like(p) + max(0.0, degrees - spread)
    hi = torch.zeros_like(p) + degrees + spread
    for _ in range(80):
        mid = (lo + hi) / 2
        below = torch.special.gammainc(shape, mid / 2) < p
        lo, hi = torch.where(below, mid, lo), torch.where(below, hi, mid)
    return torch.as_tensor(hi)


@dataclass(frozen=True)
class StudentT(NoiseLaw):
    """eps = w sqrt(D / chi2_D), one chi2_D variable per sample: multivariate Student noise with D degrees of freedom.

    Its radius obeys R^2 / (R^2 + D) ~ Beta(N / 2, D / 2) for N entries a sample. The chi2 variable is the quantile of a second,
    scalar white draw, so a seeded source stays reproducible per sample.
    """

    degrees: int = 128

    def __call__(self, noise: Noise, like: Tensor, *, t: object = None, u: object = None, given: Given = NONE) -> Tensor:
        white = noise(like, t, u)
        uniform = torch.special.ndtr(noise(torch.empty(like.shape[0], 1, dtype=torch.float64, device=like.device), t, u))
        factor = torch.sqrt(self.degrees / chi2_quantile(uniform, self.degrees))
        return white * factor.reshape(-1, *[1] * (like.ndim - 1)).to(white.real.dtype)
