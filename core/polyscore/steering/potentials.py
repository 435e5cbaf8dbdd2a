r"""What a particle's weight grows by.

With a reward r_j of the denoiser's x0 at the j-th look and strength c, the potentials of Feynman-Kac steering are

    difference   ln G_j = c (r_j - r_{j-1}),  r_0 = 0        for rewards that rise while the noise falls
    maximum      ln G_j = c max(r_1, ..., r_j)               favours who promised much at any time
    total        ln G_j = c (r_1 + ... + r_j)                favours who promises much all the time

and the last one makes up for all before it, so that their product is exp(c r(x)) of the finished x in every case: what comes out
has the law p(x) exp(c r(x)), whatever the intermediate rewards are. They decide the variance alone.

Source: Singhal et al. 2025 (Feynman-Kac steering), arXiv 2501.06848, section 3.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, Protocol, TypeAlias

import torch
from torch import Tensor

from polyscore.errors import ConfigError, InputError
from polyscore.samplers import Run, StepState
from polyscore.state import Given

__all__ = ["Carried", "Look", "Potential", "Reward", "Rewarded", "expected", "most_likely"]

Reward: TypeAlias = Callable[[Any, Given], Tensor]
"""(x0, given) to what is wanted, one number a sample, (B,); it need not be differentiable."""

Look: TypeAlias = Callable[[Run, StepState], Any]
"""What of an unfinished state the reward is shown."""

_LEAST = -1e30  # stands for -inf, so that differences of rewards are numbers


def expected(run: Run, state: StepState) -> Any:
    """The denoiser's x0."""
    return state.prediction.x0


def most_likely(run: Run, state: StepState) -> Any:
    """Categories (B, ...): what is known of x, and where it is masked the most likely ones."""
    told = run.denoiser(state.x, state.t, run.given).x0 if state.prediction.x0 is None else state.prediction.x0
    return torch.where(state.x == run.process.mask_token, told.argmax(-1), state.x)


class Potential(Protocol):
    """Log weights of particles, step by step. Its memory is a tuple of tensors (B,), whose rows follow the particles."""

    def start(self, count: int, device: torch.device) -> tuple[Tensor, ...]: ...

    def grow(
        self, run: Run, state: StepState, memory: tuple[Tensor, ...], *, look: bool, last: bool
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        """ln G (B,), float64, and the new memory."""
        ...


class _Looked(NamedTuple):
    used: Tensor  # sum of ln G so far
    record: Tensor  # maximum or sum of the rewards so far


@dataclass(frozen=True)
class Rewarded:
    """Potentials of a reward.

    Args:
        reward: (x0, given) to r, (B,).
        scale: c, at least 0.
        kind: which of the three.
        look: what an unfinished state shows; the default is the denoiser's x0. Of categories, `most_likely` or a draw.

    Raises:
        ConfigError: a negative strength.
        InputError: a reward that is NaN, or not one number a sample.
    """

    reward: Reward
    scale: float
    kind: Literal["difference", "maximum", "total"] = "difference"
    look: Look = expected

    def __post_init__(self) -> None:
        if not self.scale >= 0:
            raise ConfigError(f"Rewarded: scale {self.scale}; expected at least 0 (negate the reward to lower it)")

    def start(self, count: int, device: torch.device) -> tuple[Tensor, ...]:
        zero = torch.zeros(count, dtype=torch.float64, device=device)
        return _Looked(zero, torch.full_like(zero, _LEAST if self.kind == "maximum" else 0.0))

    def grow(
        self, run: Run, state: StepState, memory: tuple[Tensor, ...], *, look: bool, last: bool
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        used, record = memory
        if not look:
            return torch.zeros_like(used), memory
        value = self._reward(state.x if last else self.look(run, state), run.given, used)
        if last:
            total = self.scale * value
            return total - used, _Looked(total, record)
        record = {"difference": value, "maximum": torch.maximum(record, value), "total": record + value}[self.kind]
        growth = self.scale * record - (used if self.kind == "difference" else 0.0)
        return growth, _Looked(used + growth, record)

    def _reward(self, shown: Any, given: Given, like: Tensor) -> Tensor:
        value = self.reward(shown, given).detach().to(like)
        if value.shape != like.shape or bool(value.isnan().any()):
            raise InputError(f"reward: {value}; expected one number for each of {len(like)} samples, none of them NaN")
        return value.clamp(min=_LEAST)


@dataclass(frozen=True)
class Carried:
    """Weights that the sampler itself brings along, as `Tempered` does: `state.memory.growth` (B,)."""

    def start(self, count: int, device: torch.device) -> tuple[Tensor, ...]:
        return ()

    def grow(
        self, run: Run, state: StepState, memory: tuple[Tensor, ...], *, look: bool, last: bool
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        growth: Tensor = state.memory.growth
        return growth.double(), memory
