r"""Steering by selection: particles that promise more are copied, others end (Feynman-Kac).

Islands of n graphs run side by side. With a reward r of the denoiser's x0 and strength c, every `every` steps

    ln w_i <- ln w_i + c (r_i(now) - r_i(before)),    and where  1 / sum p_i^2 < n / 2,  p = w / sum w,
    the island is drawn anew from p (systematic resampling), and its weights are 1 again.

The last step always draws, so that what comes out has the law  q(x0) exp(c r(x0)) up to the size of an island. No gradient is
asked for: r may be anything that can be computed of a molecule. Copies part again by their own noise; what an island holds often
has one start in common, so compare its diversity with that of as many plain samples.

Sources: Wu et al. 2023 (twisted SMC), arXiv 2306.17775; Singhal et al. 2025 (Feynman-Kac steering), arXiv 2501.06848.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import torch
from torch import Tensor

from polyscore.errors import ConfigError, InputError
from polyscore.graphs.methods import Method
from polyscore.samplers import DDIM, Ancestral, Run, StepState
from polyscore.state import Given, map_state

__all__ = ["Resampling", "Reward", "resampled"]

Reward = Callable[[Any, Given], Tensor]
"""(x0, given) to what is wanted, one number a graph, (B,)."""


def resampled(method: Method, reward: Reward, scale: float, *, island: int, every: int = 10) -> Method:
    """The method with selection; ancestral sampling is made the stepper it equals.

    Raises:
        ConfigError: the method's sampler has no single steps (the multistep ones), or numbers out of range.
    """
    sampler = Ancestral(method.sampler.eta) if isinstance(method.sampler, DDIM) else method.sampler
    return replace(method, sampler=Resampling(sampler, reward, scale, island, every))


class _Memory(NamedTuple):
    inner: Any
    weight: Tensor  # ln w, (B,)
    reward: Tensor  # as it was last looked at, (B,)


@dataclass(frozen=True)
class Resampling:
    """A stepper with selection.

    Args:
        stepper: the sampler, one that works step by step.
        reward: (x0, given) to r, (B,).
        scale: c.
        island: graphs that compete, consecutive ones of the batch, all of one size.
        every: steps between two looks.

    An island's draws come from the noise of its first graph, so they do not depend on the other islands of the batch.

    Raises:
        ConfigError: numbers out of range, or a sampler that is no stepper.
        InputError: a batch that is not whole islands, or an island of graphs of different sizes.
    """

    stepper: Any
    reward: Reward
    scale: float
    island: int
    every: int = 10

    def __post_init__(self) -> None:
        if self.island < 1 or self.every < 1 or self.scale < 0 or not hasattr(self.stepper, "init"):
            what = f"island {self.island}, every {self.every}, scale {self.scale}, {type(self.stepper).__name__}"
            raise ConfigError(f"Resampling: {what}; expected at least 1, 1 and 0, and a stepper such as PredictorCorrector")

    def init(self, run: Run, x: Any) -> StepState:
        first = next(iter(x.values())) if isinstance(x, Mapping) else x
        if len(first) % self.island:
            raise InputError(f"Resampling: {len(first)} graphs in islands of {self.island}; expected whole islands")
        if run.given.mask is not None:
            masks = run.given.mask.view(-1, self.island, *run.given.mask.shape[1:])
            if not (masks == masks[:, :1]).all():
                raise InputError("Resampling: an island holds graphs of different sizes; expected one size per island")
        state: StepState = self.stepper.init(run, x)
        zero = torch.zeros(len(first), dtype=torch.float64)
        return state._replace(memory=_Memory(state.memory, zero, zero))

    def step(self, run: Run, state: StepState, i: int) -> StepState:
        memory: _Memory = state.memory
        inner: StepState = self.stepper.step(run, state._replace(memory=memory.inner), i)
        last = self.stepper.done(run, inner, i + 1)
        if (i + 1) % self.every and not last:
            return inner._replace(memory=memory._replace(inner=inner.memory))
        reward = self.reward(inner.prediction.x0, run.given).double().cpu()
        weight = memory.weight + self.scale * (reward - memory.reward)
        rows, weight = self._drawn(weight, _uniform(run, len(weight))[:: self.island], always=last)
        prediction = replace(inner.prediction, x0=_take(inner.prediction.x0, rows))
        return inner._replace(x=_take(inner.x, rows), prediction=prediction, memory=_Memory(inner.memory, weight, reward[rows]))

    def done(self, run: Run, state: StepState, i: int) -> bool:
        return bool(self.stepper.done(run, state, i))

    def _drawn(self, weight: Tensor, starts: Tensor, *, always: bool) -> tuple[Tensor, Tensor]:
        """Which row every row becomes, and its ln w; `starts` (islands, 1) is uniform in [0, 1]."""
        n = self.island
        shares = torch.softmax(weight.view(-1, n), 1)
        poor = (1 / shares.square().sum(1) < (n if always else n / 2)).unsqueeze(1)
        points = (torch.arange(n) + starts) / n
        chosen = torch.searchsorted(shares.cumsum(1), points).clamp(max=n - 1)
        rows = torch.where(poor, chosen, torch.arange(n)) + n * torch.arange(len(shares)).unsqueeze(1)
        return rows.flatten(), torch.where(poor, 0.0, weight.view(-1, n)).flatten()


def _uniform(run: Run, count: int) -> Tensor:
    """(count, 1), each from the noise of one graph."""
    uniform: Tensor = torch.special.ndtr(run.noise(torch.empty(count, 1, dtype=torch.float64)))
    return uniform


def _take(state: Any, rows: Tensor) -> Any:
    return map_state(lambda leaf: leaf[rows.to(leaf.device)], state)
