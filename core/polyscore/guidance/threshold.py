"""Keeping x0 inside the range of the data."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from polyscore.denoisers.base import Prediction
from polyscore.guidance.wrapper import Wrapper
from polyscore.state import Given, State, Time, map_state

__all__ = ["Clamp", "DynamicThreshold"]


@dataclass(frozen=True)
class Clamp(Wrapper):
    """x0 <- clip(x0, low, high): static thresholding (Ho et al. 2020, arXiv 2006.11239)."""

    low: float = -1.0
    high: float = 1.0

    def __call__(self, x: State, t: Time, given: Given) -> Prediction:
        prediction = self.denoiser(x, t, given)
        return replace(prediction, x0=map_state(lambda x0: x0.clamp(self.low, self.high), prediction.x0))


@dataclass(frozen=True)
class DynamicThreshold(Wrapper):
    """x0 <- bound clip(x0, -q, q) / q, q = max(bound, quantile of |x0| in each sample) (Saharia et al. 2022, arXiv 2205.11487).

    Args:
        denoiser: the denoiser.
        quantile: which share of a sample's entries stays unclipped; 1 only scales.
        bound: the range of the data is [-bound, bound].
    """

    quantile: float = 0.995
    bound: float = 1.0

    def __call__(self, x: State, t: Time, given: Given) -> Prediction:
        prediction = self.denoiser(x, t, given)
        return replace(prediction, x0=map_state(self._leaf, prediction.x0))

    def _leaf(self, x0: Tensor) -> Tensor:
        # torch.quantile has a limit of 2^24 entries, so the order statistics are taken from a sort.
        ordered = x0.abs().flatten(1).sort(1).values
        place = self.quantile * (ordered.shape[1] - 1)
        left = min(int(place), ordered.shape[1] - 1)
        right = min(left + 1, ordered.shape[1] - 1)
        q = torch.lerp(ordered[:, left], ordered[:, right], place - left).clamp(min=self.bound)
        q = q.reshape(-1, *[1] * (x0.ndim - 1))
        return torch.maximum(torch.minimum(x0, q), -q) * (self.bound / q)
