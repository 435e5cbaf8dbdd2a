"""A density of the training time for processes whose start is worth as much as all the rest."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from polyscore.errors import InputError
from polyscore.processes import GaussianProcess
from polyscore.training.times import TimeDensity, Uniform

__all__ = ["OftenAtStart"]


@dataclass(frozen=True)
class OftenAtStart(TimeDensity):
    """t = 1, where sampling starts, for a share of the draws; the others are of `density`.

    A bridge begins at its end point itself, so that its first call is regression, and with one call the only one. A continuous
    density never trains it.

    Raises:
        InputError: a share outside [0, 1).
    """

    share: float = 0.5
    density: TimeDensity = field(default_factory=Uniform)

    def __post_init__(self) -> None:
        if not 0 <= self.share < 1:
            raise InputError(f"OftenAtStart: share is {self.share}; expected 0 <= share < 1")

    def quantile(self, u: Tensor, process: GaussianProcess) -> Tensor:
        inner = self.density.quantile((u / (1 - self.share)).clamp(max=1), process)
        return torch.where(u > 1 - self.share, torch.ones_like(u), inner)
