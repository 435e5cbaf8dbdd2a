"""Discrete beta tables as continuous processes.

A table of N betas gives abar_i = prod (1 - beta); index i is the time t = (i + 1) / N and t = 0 is clean data. Between the nodes
the angle atan2(s, a) is linear in t, which is finite at both ends and exact at every node.
Ho et al. 2020 (arXiv 2006.11239), Rombach et al. 2022 (scaled-linear, arXiv 2112.10752),
Nichol and Dhariwal 2021 (arXiv 2102.09672),
Lin et al. 2024 (zero terminal SNR, arXiv 2305.08891).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor

from polyscore.errors import InputError
from polyscore.noise import NoiseLaw, Normal
from polyscore.processes.gaussian import Coefs, GaussianProcess

__all__ = ["BetaTable", "cosine_betas", "linear_betas", "scaled_linear_betas", "zero_terminal_snr"]


def linear_betas(n: int = 1000, start: float = 1e-4, end: float = 0.02) -> tuple[float, ...]:
    """beta linear from `start` to `end` (DDPM)."""
    return tuple(torch.linspace(start, end, n, dtype=torch.float64).tolist())


def scaled_linear_betas(n: int = 1000, start: float = 0.00085, end: float = 0.012) -> tuple[float, ...]:
    """sqrt(beta) linear (latent diffusion, Stable Diffusion)."""
    return tuple((torch.linspace(start**0.5, end**0.5, n, dtype=torch.float64) ** 2).tolist())


def cosine_betas(n: int = 1000, limit: float = 0.999) -> tuple[float, ...]:
    """abar(t) = cos^2((t + .008) / 1.008 pi/2), beta = min(1 - abar(i+1)/abar(i), limit) (Nichol and Dhariwal 2021)."""

    def abar(t: float) -> float:
        return math.cos((t + 0.008) / 1.008 * math.pi / 2) ** 2

    return tuple(min(1 - abar((i + 1) / n) / abar(i / n), limit) for i in range(n))


def zero_terminal_snr(betas: tuple[float, ...]) -> tuple[float, ...]:
    """Shift and scale sqrt(abar) so that its last value is 0 and its first is kept (Lin et al. 2024, algorithm 1)."""
    root = torch.cumprod(1 - torch.tensor(betas, dtype=torch.float64), 0).sqrt()
    root = (root - root[-1]) * root[0] / (root[0] - root[-1])
    abar = root**2
    alphas = torch.cat([abar[:1], abar[1:] / abar[:-1]])
    return tuple((1 - alphas).tolist())


@dataclass(frozen=True)
class BetaTable(GaussianProcess):
    """a = sqrt(abar), s = sqrt(1 - abar) at t = (i + 1) / N.

    Raises:
        InputError: a table that is empty or holds values outside (0, 1].
    """

    betas: tuple[float, ...] = field(default_factory=linear_betas, repr=False)
    law: NoiseLaw = field(default_factory=Normal)

    def __post_init__(self) -> None:
        if not self.betas or not all(0 < beta <= 1 for beta in self.betas):
            raise InputError("BetaTable: betas must be a non-empty table of numbers in (0, 1]")
        object.__setattr__(self, "betas", tuple(self.betas))
        abar = torch.cumprod(1 - torch.tensor(self.betas, dtype=torch.float64), 0)
        a, s = abar.sqrt(), (1 - abar).sqrt()
        object.__setattr__(self, "_angles", torch.cat([a.new_zeros(1), torch.atan2(s, a)]))
        object.__setattr__(self, "_rests", torch.cat([a.new_full((1,), math.pi / 2), torch.atan2(a, s)]))

    def __len__(self) -> int:
        return len(self.betas)

    def time(self, index: float | Tensor) -> Tensor:
        """t = (index + 1) / N; index -1 is clean data."""
        return (torch.as_tensor(index, dtype=torch.float64) + 1) / len(self)

    def coefs(self, t: Tensor) -> Coefs:
        place = (t * len(self)).clamp(0, len(self))
        off = place.detach().round() - place.detach()
        place = place + torch.where(off.abs() < 1e-9, off, torch.zeros_like(off))  # nodes are hit exactly
        left = place.detach().floor().clamp(max=len(self) - 1).long()
        angle, rest = (self._between(table.to(t.device), left, place - left) for table in self._tables())
        return Coefs(torch.sin(rest), torch.zeros_like(angle), torch.sin(angle))

    def time_at_sigma(self, sigma: float | Tensor) -> Tensor:
        """The time at which s / a = sigma, exactly; levels beyond the table give its ends."""
        level = torch.as_tensor(sigma, dtype=torch.float64)
        angles, rests = (table.to(level.device) for table in self._tables())
        angle, rest = torch.atan(level), torch.atan(1 / level)
        left = (torch.searchsorted(-rests, -rest.clamp(float(rests[-1]), float(rests[0])), right=True) - 1).clamp(
            0, len(self) - 1
        )
        low = (angle - angles[left]) / (angles[left + 1] - angles[left])
        high = (rests[left] - rest) / (rests[left] - rests[left + 1])  # near pi / 2 only the rest is precise
        return (left + torch.where(level < 1, low, high).clamp(0, 1)) / len(self)

    def _tables(self) -> tuple[Tensor, Tensor]:
        """atan2(s, a) and atan2(a, s) at the nodes: each is precise where the other is not."""
        return self._angles, self._rests  # type: ignore[attr-defined]

    @staticmethod
    def _between(table: Tensor, left: Tensor, weight: Tensor) -> Tensor:
        return table[left] + weight * (table[left + 1] - table[left])
