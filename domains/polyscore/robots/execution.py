r"""How planned chunks of actions become actions, one a step.

A plan drawn at step k proposes actions for the steps k, k + 1, ..., k + H - 1. The executions differ in when a new plan is drawn,
in what it must keep of the last one, and in how proposals of several plans for one step are mixed:

    `Receding`    every T_a steps; the newest plan acts                                              (Chi et al. 2023)
    `Ensembled`   every T_a steps (1); the mean of all proposals with weights exp(-m i), i = 0 the oldest    (Zhao et al. 2023)
    `Committed`   every T_a steps; the first d actions of a new plan are those of the last plan for these steps: they are
                  in-painted while the rest is drawn, so that it continues what is already on its way       (Black et al. 2025)

Sources: Chi et al. 2023, arXiv:2303.04137; Zhao et al. 2023 (ACT), arXiv:2304.13705; Black et al. 2025, "Real-Time Execution of
Action Chunking Flow Policies", arXiv:2506.07339.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from polyscore.errors import InputError

__all__ = ["Committed", "Ensembled", "Receding"]


@dataclass(frozen=True)
class Receding:
    """A new plan every `execute` steps; the newest one acts.

    Attributes:
        execute: T_a.

    Raises:
        InputError: `execute` below 1.
    """

    execute: int = 8

    def __post_init__(self) -> None:
        if self.execute < 1:
            raise InputError(f"{type(self).__name__}: execute {self.execute}, expected 1 or more")

    @property
    def kept(self) -> int:
        """How many actions of a new plan are those of the last one."""
        return 0

    def mix(self, proposals: Tensor) -> Tensor:
        """The action (N, A) from the proposals (K, N, A) for this step, the oldest first."""
        return proposals[-1]


@dataclass(frozen=True)
class Ensembled(Receding):
    """The weighted mean of what all plans propose: sum_i w_i a_i / sum_i w_i, w_i = exp(-decay i), a_0 of the oldest plan.

    Attributes:
        execute: T_a, steps between plans.
        decay: m; at 0 all plans count alike, the larger it is the more the older ones do.

    Raises:
        InputError: `execute` below 1, or a decay that is not a finite number.
    """

    execute: int = 1
    decay: float = 0.01

    def __post_init__(self) -> None:
        super().__post_init__()
        if not math.isfinite(self.decay):
            raise InputError(f"Ensembled: decay {self.decay}, expected a finite number")

    def mix(self, proposals: Tensor) -> Tensor:
        weights = torch.exp(-self.decay * torch.arange(len(proposals), dtype=torch.float64))
        mixed: Tensor = torch.tensordot((weights / weights.sum()).to(proposals), proposals, 1)
        return mixed


@dataclass(frozen=True)
class Committed(Receding):
    """A new plan every `execute` steps, whose first `commit` actions are those the last plan had for these steps.

    Attributes:
        execute: T_a.
        commit: d, for example the steps that a plan takes to compute.

    Raises:
        InputError: `execute` or `commit` below 1.
    """

    commit: int = 2

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.commit < 1:
            raise InputError(f"Committed: commit {self.commit}, expected 1 or more")

    @property
    def kept(self) -> int:
        return self.commit
