r"""Adam with decoupled weight decay (Loshchilov and Hutter 2019, arXiv 1711.05101), a warm-up and a decay of the learning rate.

    lr(n) = learning_rate min((n + 1) / warmup, 1) (floor + (1 - floor) c(n)),   c = 1, or (1 + cos(pi n / N)) / 2

with n the optimiser steps taken and N those of the whole run; an exponential decay has floor^(n / N) as the last factor, and a
"tail" (warm-up, stable, decay: Hu et al. 2024, arXiv 2404.06395) has c = 1 until the last share `tail` of the run, over which it
falls in a straight line.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import nn

from polyscore.errors import InputError

__all__ = ["AdamW"]


@dataclass(frozen=True)
class AdamW:
    """Settings of the optimiser; `weight_decay` = 0 is Adam. Vectors (biases, norms) are never decayed.

    Raises:
        InputError: a learning rate that is not positive, a floor or a tail outside [0, 1], or an exponential decay to 0.
    """

    learning_rate: float = 1e-3
    betas: tuple[float, float] = (0.9, 0.99)
    weight_decay: float = 0.0
    eps: float = 1e-8
    warmup: int = 0
    decay: Literal["constant", "cosine", "exponential", "tail"] = "constant"
    floor: float = 0.0
    tail: float = 0.2

    def __post_init__(self) -> None:
        if not self.learning_rate > 0 or not 0 <= self.floor <= 1:
            raise InputError(f"AdamW: learning_rate {self.learning_rate}, floor {self.floor}; expected > 0 and in [0, 1]")
        if self.decay == "exponential" and self.floor == 0:
            raise InputError("AdamW: an exponential decay never reaches the floor 0; expected a positive one")
        if not 0 < self.tail <= 1:
            raise InputError(f"AdamW: tail {self.tail}; expected a share of the run in (0, 1]")

    def build_for(self, model: nn.Module) -> torch.optim.Optimizer:
        """The optimiser of a whole model."""
        return self.build(model.parameters())

    def build(self, parameters: Iterable[nn.Parameter]) -> torch.optim.AdamW:
        """The optimiser of the parameters that are trained."""
        trained = [p for p in parameters if p.requires_grad]
        groups = [
            {"params": [p for p in trained if p.ndim > 1], "weight_decay": self.weight_decay},
            {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0},
        ]
        return torch.optim.AdamW([g for g in groups if g["params"]], self.learning_rate, self.betas, self.eps)

    def schedule(self, optimiser: torch.optim.Optimizer, steps: int) -> torch.optim.lr_scheduler.LambdaLR:
        """The learning rate over `steps` optimiser steps."""
        return torch.optim.lr_scheduler.LambdaLR(optimiser, lambda n: self.factor(n, steps))

    def factor(self, n: int, steps: int) -> float:
        """lr(n) / learning_rate."""
        start = min((n + 1) / self.warmup, 1.0) if self.warmup else 1.0
        if self.decay == "exponential":
            return start * math.pow(self.floor, min(n / max(steps, 1), 1.0))
        c = 1.0
        if self.decay == "cosine":
            c = (1 + math.cos(math.pi * min(n / max(steps, 1), 1.0))) / 2
        if self.decay == "tail":
            c = min(1.0, max(1 - n / max(steps, 1), 0.0) / self.tail)
        return start * (self.floor + (1 - self.floor) * c)
