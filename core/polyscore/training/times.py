r"""Densities of the training time t in (0, 1].

A density is its quantile function: t = quantile(u), u uniform in (0, 1]. Where u comes from is a second choice: independent
draws, `Stratified` or `Antithetic` ones, which lower the variance of the loss and leave its mean alone. Densities of the noise
level sigma = s / a are turned into times by the process, so they mean the same for all of them: a log-normal sigma is EDM's
density on any process, and the logit-normal density of Esser et al. 2024 (arXiv 2403.03206) on `Flow`, where ln sigma = logit t.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from polyscore.errors import InputError
from polyscore.processes import GaussianProcess

__all__ = ["Antithetic", "CosineTimes", "LogLogistic", "LogNormal", "Stratified", "TimeDensity", "Uniform"]


class TimeDensity(ABC):
    """A law of t in (0, 1], written as its quantile function."""

    @property
    def adaptive(self) -> bool:
        """Whether it learns from the losses: then the trainer calls `observe`."""
        return False

    @abstractmethod
    def quantile(self, u: Tensor, process: GaussianProcess) -> Tensor:
        """The time below which a share u of the draws lies; u and t (B,) in (0, 1], float64."""

    def uniforms(self, n: int, generator: torch.Generator) -> Tensor:
        """n independent draws from (0, 1], (n,) float64."""
        return 1 - torch.rand(n, generator=generator, dtype=torch.float64)

    def sample(self, n: int, generator: torch.Generator, process: GaussianProcess) -> Tensor:
        """n times in (0, 1], (n,) float64 on the CPU."""
        return self.quantile(self.uniforms(n, generator), process)

    def correction(self, t: Tensor) -> Tensor:
        """What the loss at t is multiplied by; 1 unless the density is only a means (see `Importance`)."""
        return torch.ones_like(t)

    def observe(self, t: Tensor, loss: Tensor) -> None:  # noqa: B027 - most densities learn nothing
        """Learn from the losses (B,) met at t (B,), for densities that do."""

    def state_dict(self) -> dict[str, Tensor]:
        """What was learned, for a checkpoint."""
        return {}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:  # noqa: B027
        """Go on from `state_dict()`."""


@dataclass(frozen=True)
class Uniform(TimeDensity):
    """t uniform in (t_min, t_max]; the first 1e-5, where s is too small to learn from, is left out.

    Song et al. 2021 (arXiv 2011.13456).

    Raises:
        InputError: not 0 <= t_min < t_max <= 1.
    """

    t_min: float = 1e-5
    t_max: float = 1.0

    def __post_init__(self) -> None:
        if not 0 <= self.t_min < self.t_max <= 1:
            raise InputError(f"Uniform: t_min {self.t_min}, t_max {self.t_max}; expected 0 <= t_min < t_max <= 1")

    def quantile(self, u: Tensor, process: GaussianProcess) -> Tensor:
        return self.t_min + (self.t_max - self.t_min) * u


@dataclass(frozen=True)
class LogNormal(TimeDensity):
    """ln sigma ~ N(mean, std^2) (Karras et al. 2022, arXiv 2206.00364); levels beyond the process's own are put at its ends."""

    mean: float = -1.2
    std: float = 1.2

    def quantile(self, u: Tensor, process: GaussianProcess) -> Tensor:
        return process.time_at_sigma(torch.exp(self.mean + self.std * torch.special.ndtri(u)))


@dataclass(frozen=True)
class LogLogistic(TimeDensity):
    """ln sigma ~ logistic(loc, scale), truncated to [sigma_min, sigma_max], as k-diffusion offers it (Crowson et al. 2022)."""

    loc: float = 0.0
    scale: float = 0.5
    sigma_min: float = 0.002
    sigma_max: float = 80.0

    def __post_init__(self) -> None:
        _check_levels(self, self.sigma_min, self.sigma_max)

    def quantile(self, u: Tensor, process: GaussianProcess) -> Tensor:
        low, high = (_logistic((math.log(s) - self.loc) / self.scale) for s in (self.sigma_min, self.sigma_max))
        return process.time_at_sigma(torch.exp(self.loc + self.scale * torch.logit(low + (high - low) * u)))


@dataclass(frozen=True)
class CosineTimes(TimeDensity):
    """The angle atan(sigma / sigma_data) uniform between those of sigma_min and sigma_max.

    The density of the cosine schedule (Nichol and Dhariwal 2021, arXiv 2102.09672; Salimans and Ho 2022, arXiv 2202.00512); on
    `Flow` without truncation it is the "CosMap" of Esser et al. 2024 (arXiv 2403.03206).
    """

    sigma_data: float = 1.0
    sigma_min: float = 0.0
    sigma_max: float = math.inf

    def __post_init__(self) -> None:
        _check_levels(self, self.sigma_min, self.sigma_max)

    def quantile(self, u: Tensor, process: GaussianProcess) -> Tensor:
        low, high = (math.atan(s / self.sigma_data) for s in (self.sigma_min, self.sigma_max))
        return process.time_at_sigma(self.sigma_data * torch.tan(low + (high - low) * u))


@dataclass(frozen=True)
class _Spread(TimeDensity):
    """A density with other uniforms."""

    density: TimeDensity

    def quantile(self, u: Tensor, process: GaussianProcess) -> Tensor:
        return self.density.quantile(u, process)

    @property
    def adaptive(self) -> bool:
        return self.density.adaptive

    def correction(self, t: Tensor) -> Tensor:
        return self.density.correction(t)

    def observe(self, t: Tensor, loss: Tensor) -> None:
        self.density.observe(t, loss)

    def state_dict(self) -> dict[str, Tensor]:
        return self.density.state_dict()

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        self.density.load_state_dict(state)


@dataclass(frozen=True)
class Stratified(_Spread):
    """One u in each of n equal intervals, in random order: u_i = (pi(i) + v_i) / n."""

    def uniforms(self, n: int, generator: torch.Generator) -> Tensor:
        order = torch.randperm(n, generator=generator).double()
        return (order + super().uniforms(n, generator)) / n


@dataclass(frozen=True)
class Antithetic(_Spread):
    """Pairs u, 1 - u (neighbours i, i + n/2 of the batch), as in the antithetic times of score_sde and DDIM's training."""

    def uniforms(self, n: int, generator: torch.Generator) -> Tensor:
        half = super().uniforms((n + 1) // 2, generator)
        mirrored = (1 - half).clamp(min=torch.finfo(torch.float64).eps)
        return torch.cat([half, mirrored])[:n]


def _logistic(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def _check_levels(density: TimeDensity, low: float, high: float) -> None:
    if not 0 <= low < high:
        raise InputError(f"{type(density).__name__}: sigma_min {low}, sigma_max {high}; expected 0 <= sigma_min < sigma_max")
