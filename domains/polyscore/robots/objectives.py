r"""Losses, dropping of goals and optimiser of BESO.

The loss is |F - target|^2 of the preconditioned network, which is `X0Loss(EDMWeight(sigma_data))` of the core. Two variants and
the settings of the original are here:

    `LastAction`     history enters without noise, and only the last action counts (`pred_last_action_only`)
    `DropElements`   every number of a goal is dropped for itself (`goal_drop` of the original); of a goal of 60 numbers, some are
                     always left, so it never teaches what a missing goal means. `DropCondition` drops whole goals
    `StepDecay`      Adam or AdamW on all parameters, the rate times gamma every `step_size` steps

Source: Reuss et al. 2023, arXiv:2304.02532.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from polyscore.denoisers import Denoiser
from polyscore.errors import InputError
from polyscore.noise import NoiseLike, as_noise
from polyscore.state import NONE, Given
from polyscore.training.batches import DropCondition
from polyscore.training.objectives import X0Loss
from polyscore.training.optimiser import AdamW
from polyscore.training.weightings import EDMWeight, Weighting

__all__ = ["DropElements", "LastAction", "StepDecay"]


class _LastStep:
    """A noise source whose draws are 0 but for the last step of the window."""

    def __init__(self, noise: NoiseLike) -> None:
        self.noise = as_noise(noise)

    def __call__(self, like: Tensor, t: object = None, u: object = None) -> Tensor:
        draw = self.noise(like, t, u)
        return torch.cat([torch.zeros_like(draw[:, :-1]), draw[:, -1:]], 1)


@dataclass(frozen=True)
class LastAction(X0Loss):
    """w |a_t - ahat_t|^2 of the last step, (B, 1, A), with the steps before it given clean."""

    weight: Weighting = field(default_factory=EDMWeight)

    def __call__(self, denoiser: Denoiser, process: Any, x0: Any, *, t: Any, given: Given = NONE, noise: NoiseLike = 0) -> Any:
        losses: Tensor = super().__call__(denoiser, process, x0, t=t, given=given, noise=_LastStep(noise))
        return losses[:, -1:]


@dataclass(frozen=True)
class DropElements(DropCondition):
    """Replaces each number of `cond["goal"]` with probability `rate`, as the original does.

    The mask of a batch comes from a generator that is seeded with the batch's draws.
    """

    keys: tuple[str, ...] | None = ("goal",)

    def __call__(self, cond: Any, draws: Tensor) -> Any:
        seed = int(torch.round(draws.double() * 2**24).sum()) * 1_000_003 + len(draws)
        generator = torch.Generator().manual_seed(seed % 2**63)
        out = dict(cond)
        for key in self.keys or tuple(cond):
            mask = torch.rand(cond[key].shape, generator=generator) < self.rate
            out[key] = cond[key].masked_fill(mask.to(cond[key].device), self.value)
        return out


@dataclass(frozen=True)
class StepDecay(AdamW):
    """AdamW whose weight decay is on all parameters and whose rate is `gamma`^(n // `step_size`) at step n.

    BESO: learning_rate 1e-4, betas (0.9, 0.999), weight_decay 0.01 for the kitchen and 0 (Adam) for block push, 100, 0.99.

    Raises:
        InputError: as `AdamW`, a step size below 1, or gamma outside (0, 1].
    """

    learning_rate: float = 1e-4
    betas: tuple[float, float] = (0.9, 0.999)
    step_size: int = 100
    gamma: float = 0.99

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.step_size < 1 or not 0 < self.gamma <= 1:
            raise InputError(f"StepDecay: step_size {self.step_size}, gamma {self.gamma}; expected 1 or more and (0, 1]")

    def build(self, parameters: Iterable[nn.Parameter]) -> torch.optim.AdamW:
        trained = [p for p in parameters if p.requires_grad]
        return torch.optim.AdamW(trained, self.learning_rate, self.betas, self.eps, self.weight_decay)

    def factor(self, n: int, steps: int) -> float:
        return float(self.gamma ** (n // self.step_size))
