r"""Weightings w(t) of a denoising loss; each multiplies the loss of the space it is used in.

One change of space is one change of weighting: the errors of all predictions are multiples of the error of x0 (see
`polyscore.training.objectives`), so `X0Loss(weight=MinSNR(5))` and an eps loss with min(SNR, 5) / SNR are the same loss.
Here snr = (a / s)^2 and sigma = s / a.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor

from polyscore.processes import GaussianProcess

__all__ = [
    "ConstantWeight",
    "EDMWeight",
    "Likelihood",
    "MinSNR",
    "P2",
    "SNR",
    "TruncatedSNR",
    "Variance",
    "Weighting",
]


class Weighting(ABC):
    """w(t) > 0."""

    @abstractmethod
    def __call__(self, process: GaussianProcess, t: Tensor) -> Tensor:
        """w, float64, of t's shape (plus that of per-frequency coefficients)."""


@dataclass(frozen=True)
class ConstantWeight(Weighting):
    """w = value."""

    value: float = 1.0

    def __call__(self, process: GaussianProcess, t: Tensor) -> Tensor:
        return torch.full_like(t, self.value)


@dataclass(frozen=True)
class Variance(Weighting):
    """w = s^2: makes the score loss the eps loss (Song and Ermon 2019, arXiv 1907.05600)."""

    def __call__(self, process: GaussianProcess, t: Tensor) -> Tensor:
        return process.coefs_of(t).s ** 2


@dataclass(frozen=True)
class Likelihood(Weighting):
    """w = g(t)^2: with the score loss, a bound of the negative log-likelihood (Song et al. 2021, arXiv 2101.09258)."""

    def __call__(self, process: GaussianProcess, t: Tensor) -> Tensor:
        return process.rates(t).g2


@dataclass(frozen=True)
class SNR(Weighting):
    """w = snr: makes the x0 loss the eps loss."""

    def __call__(self, process: GaussianProcess, t: Tensor) -> Tensor:
        return process.snr(t)


@dataclass(frozen=True)
class TruncatedSNR(Weighting):
    """w = max(snr, 1), for the x0 loss (Salimans and Ho 2022, arXiv 2202.00512)."""

    def __call__(self, process: GaussianProcess, t: Tensor) -> Tensor:
        return process.snr(t).clamp(min=1)


@dataclass(frozen=True)
class MinSNR(Weighting):
    """w = min(snr, gamma), for the x0 loss (Hang et al. 2023, arXiv 2303.09556)."""

    gamma: float = 5.0

    def __call__(self, process: GaussianProcess, t: Tensor) -> Tensor:
        return process.snr(t).clamp(max=self.gamma)


@dataclass(frozen=True)
class P2(Weighting):
    """w = 1 / (k + snr)^gamma, for the eps loss (Choi et al. 2022, arXiv 2204.00227)."""

    gamma: float = 1.0
    k: float = 1.0

    def __call__(self, process: GaussianProcess, t: Tensor) -> Tensor:
        return (self.k + process.snr(t)) ** -self.gamma


@dataclass(frozen=True)
class EDMWeight(Weighting):
    """w = (sigma^2 + sd^2) / (sigma sd)^2, for the x0 loss: 1 / c_out^2 of EDM (Karras et al. 2022, arXiv 2206.00364)."""

    sigma_data: float = 0.5

    def __call__(self, process: GaussianProcess, t: Tensor) -> Tensor:
        sigma2 = process.sigma(t) ** 2
        return (sigma2 + self.sigma_data**2) / (sigma2 * self.sigma_data**2)
