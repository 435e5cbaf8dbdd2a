"""Exponential moving averages of the weights as a Lightning callback.

The average m follows the weights p after optimiser step n = 1, 2, ... by

    m <- d(n) m + (1 - d(n)) p,

and a profile is the function d:

    Constant   d
    Warmup     min(d, (1 + n) / (10 + n))                  torch-ema; SGMSE+, StoRM, GDSS
    Power      (1 - 1 / n)^(gamma + 1)                     Karras, Aittala, Lehtinen, Hellsten, Aila, Laine 2024 (EDM2),
    arXiv 2312.02696

The average starts from the initial weights. Up to `start_step` it is a copy of the weights, so that validation and
checkpoints before that step see the raw weights.
"""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import WeightAveraging
from torch import Tensor

from polyscore.errors import InputError

__all__ = ["EMA", "Constant", "Power", "Profile", "Warmup"]


class Profile(ABC):
    """The decay d(n) of the n-th update, n = 1, 2, ..."""

    @abstractmethod
    def decay(self, n: int) -> float:
        """Share of the old average that the n-th update keeps, in [0, 1]."""


@dataclass(frozen=True)
class Constant(Profile):
    """The same decay at every update."""

    value: float = 0.999

    def __post_init__(self) -> None:
        _check_share("Constant.value", self.value)

    def decay(self, n: int) -> float:
        return self.value


@dataclass(frozen=True)
class Warmup(Profile):
    """A decay that rises to `value`, so that early updates forget the initial weights: min(value, (1 + n) / (10 + n))."""

    value: float = 0.999

    def __post_init__(self) -> None:
        _check_share("Warmup.value", self.value)

    def decay(self, n: int) -> float:
        return min(self.value, (1 + n) / (10 + n))


@dataclass(frozen=True)
class Power(Profile):
    """The power-function average of EDM2: after step n, step k weighs in proportion to (k / n)^gamma.

    Its standard deviation, as a share of the training so far, is sqrt((gamma + 1) / ((gamma + 2)^2 (gamma + 3))); gamma
    6.94 gives 0.1 and 16.97 gives 0.05. `Power.from_width` inverts this.
    """

    gamma: float = 6.94

    def __post_init__(self) -> None:
        if self.gamma < 0:
            raise InputError(f"Power.gamma is {self.gamma}; expected 0 or more")

    @classmethod
    def from_width(cls, width: float) -> Power:
        """The profile whose relative standard deviation is `width`, in (0, 1/sqrt(12)]."""
        if not 0 < width <= 12**-0.5:
            raise InputError(f"Power.from_width: width is {width}; expected a share in (0, 0.2887]")
        low, high = 0.0, 1.0
        while _width(high) > width:
            high *= 2
        for _ in range(100):
            middle = (low + high) / 2
            low, high = (middle, high) if _width(middle) > width else (low, middle)
        return cls((low + high) / 2)

    def decay(self, n: int) -> float:
        return float((1 - 1 / n) ** (self.gamma + 1))


def _width(gamma: float) -> float:
    return float(((gamma + 1) / ((gamma + 2) ** 2 * (gamma + 3))) ** 0.5)


def _check_share(name: str, value: float) -> None:
    if not 0 <= value < 1:
        raise InputError(f"{name} is {value}; expected a share in [0, 1)")


class EMA(WeightAveraging):
    """Average the weights with `profile`; validation, testing and the saved `state_dict` use the average.

    Buffers are copied, not averaged. A checkpoint keeps the raw weights beside the average, so that training resumes
    exactly.

    Raises:
        InputError: `start_step` is negative.
    """

    def __init__(self, profile: Profile = Warmup(), start_step: int = 0, device: str | None = None) -> None:
        if start_step < 0:
            raise InputError(f"EMA: start_step is {start_step}; expected 0 or more")
        self.profile, self.start_step = profile, start_step
        super().__init__(device=device, use_buffers=False, multi_avg_fn=self._average)

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*overrides the configure_model")  # that layers are not sharded
            super().setup(trainer, pl_module, stage)
        if stage == "fit" and self._average_model is not None:
            self._average_model.n_averaged.fill_(1)  # at 0 torch would copy the weights instead of averaging the first update

    def _average(self, averages: Sequence[Tensor], weights: Sequence[Tensor], count: Tensor | int) -> None:
        n = int(count) - self.start_step
        share = 1.0 - self.profile.decay(n) if n > 0 else 1.0
        with torch.no_grad():
            for average, weight in zip(averages, weights, strict=True):
                if average.is_floating_point() or average.is_complex():
                    average.lerp_(weight.to(average.device), share)
                else:
                    average.copy_(weight)
