r"""Steering by selection: particles that promise more are copied, others end (Feynman-Kac, sequential Monte Carlo).

Groups of K particles run side by side under any sampler that works step by step. After each step their weights grow by a
potential, w_k <- w_k G_k (`polyscore.steering.potentials`); at every `every`-th look, where ESS < K / 2, the group is drawn anew
from its weights, which are 1 again. The last step always draws: what comes out is equally weighted, and its law tends with K to
the target, p(x) exp(c r(x)) for rewards. No gradient is asked for. Copies part again by their own noise, so the sampler has to be
stochastic.

States may be tensors, mappings (graphs) or categories. What a group holds often has one start in common: compare its diversity
with that of as many plain samples.

Sources: Del Moral 2004; Wu et al. 2023 (twisted SMC), arXiv 2306.17775; Singhal et al. 2025, arXiv 2501.06848.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import torch
from torch import Tensor

from polyscore.errors import ConfigError, InputError
from polyscore.samplers import Run, StepState
from polyscore.steering.potentials import Potential
from polyscore.steering.selection import effective_size, grouped, systematic, take

__all__ = ["FeynmanKac"]


class _Memory(NamedTuple):
    inner: Any
    weight: Tensor  # ln w, (B,)
    potential: tuple[Tensor, ...]


@dataclass(frozen=True)
class FeynmanKac:
    """A stepper with selection.

    Args:
        stepper: the sampler. What it remembers from step to step must not belong to single samples (`Ancestral`,
            `PredictorCorrector`, `Tempered` and the samplers of categories that work cell by cell are right).
        potential: what weights grow by.
        group: K, consecutive rows of the batch; what is given must be alike within a group.
        every: steps between two looks.

    A group's draws come from the noise of its first sample, so they do not depend on the other groups of the batch. With a
    reward of strength 0 every sample is the plain one, bit for bit.

    Raises:
        ConfigError: numbers out of range, or a sampler that is no stepper.
        InputError: a batch that is not whole groups, or a group whose masks differ.
    """

    stepper: Any
    potential: Potential
    group: int
    every: int = 1

    def __post_init__(self) -> None:
        if self.group < 1 or self.every < 1 or not hasattr(self.stepper, "init"):
            what = f"group {self.group}, every {self.every}, {type(self.stepper).__name__}"
            raise ConfigError(f"FeynmanKac: {what}; expected at least 1 and 1, and a stepper such as PredictorCorrector")

    def init(self, run: Run, x: Any) -> StepState:
        first: Tensor = next(iter(x.values())) if isinstance(x, Mapping) else x
        zero = torch.zeros(len(first), dtype=torch.float64, device=first.device)
        grouped(zero, self.group)
        mask = run.given.mask
        if isinstance(mask, Tensor):
            masks = mask.reshape(-1, self.group, *mask.shape[1:])
            if not (masks == masks[:, :1]).all():
                raise InputError("FeynmanKac: the masks within a group differ; expected samples of one size in a group")
        state: StepState = self.stepper.init(run, x)
        return state._replace(memory=_Memory(state.memory, zero, self.potential.start(len(zero), zero.device)))

    def step(self, run: Run, state: StepState, i: int) -> StepState:
        memory: _Memory = state.memory
        inner: StepState = self.stepper.step(run, state._replace(memory=memory.inner), i)
        last = self.stepper.done(run, inner, i + 1)
        look = last or (i + 1) % self.every == 0
        growth, kept = self.potential.grow(run, inner, memory.potential, look=look, last=last)
        weight = memory.weight + growth
        if not look:
            return inner._replace(memory=_Memory(inner.memory, weight, kept))
        poor = effective_size(weight, self.group) < (self.group if last else self.group / 2)
        start = torch.special.ndtr(run.noise(weight.new_empty(len(weight), 1)))
        chosen = systematic(weight, self.group, start.view(-1, self.group)[:, 0])
        drawn = poor.repeat_interleave(self.group)
        rows = torch.where(drawn, chosen, torch.arange(len(weight), device=weight.device))
        prediction = inner.prediction
        if prediction.x0 is not None and (isinstance(prediction.x0, Tensor | Mapping)):
            prediction = replace(prediction, x0=take(prediction.x0, rows))
        kept = type(kept)(*(part[rows] for part in kept)) if kept else kept
        memory = _Memory(inner.memory, torch.where(drawn, 0.0, weight), kept)
        return inner._replace(x=take(inner.x, rows), prediction=prediction, memory=memory)

    def done(self, run: Run, state: StepState, i: int) -> bool:
        return bool(self.stepper.done(run, state, i))
