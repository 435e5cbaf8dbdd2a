r"""The inverse of a table is a table: `inverse(plan)` undoes a plan exactly, whatever the model says.

A stage  r_w <- c r_w + (other registers) + (its own prediction, made of another register) + c_y y  with c not 0 is undone by

    r_w <- (r_w - (other registers) - (the same prediction) - c_y y) / c,

since everything on the right stands unchanged; the stages are undone last first. Which sampler this is possible for is a matter
of its coefficients alone: `BDIA` and `EDICT` are made so. `encode` finds the latent of data, `decode` returns the data to
rounding. A latent is the tuple of the plan's registers: one state alone does not determine the data.

A denoiser that brings its own eps (CFG++) changes the state it reads, which no table can undo; CFG is right.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np

from polyscore.denoisers.base import Denoiser
from polyscore.errors import InputError
from polyscore.noise import Silent
from polyscore.processes import GaussianProcess
from polyscore.processes.grids import Grid
from polyscore.samplers import Plan, Stage, times_of, trajectory
from polyscore.state import NONE, Given

__all__ = ["Reversible", "decode", "encode", "inverse"]


class Reversible(Protocol):
    """A solver whose plan is `opening` stages that fill the registers, and then stages that can be undone."""

    @property
    def opening(self) -> int: ...

    def plan(self, process: GaussianProcess, times: Sequence[float]) -> Plan: ...

    def entry(self, process: GaussianProcess, times: Sequence[float]) -> tuple[Stage, ...]:
        """From data in all registers, at the end of falling `times`, to registers such as the plan leaves them there."""
        ...


def inverse(plan: Plan) -> Plan:
    """The plan that takes the last registers of `plan` to its first ones.

    Raises:
        InputError: a stage that cannot be undone.
    """
    out, group, before = list[Stage](), list[Stage](), plan.start
    for stage in plan.stages:
        group.append(replace(_undone(stage), ends=before if not group else None))
        if stage.ends is not None:
            out, group, before = [*reversed(group), *out], [], stage.ends
    return Plan(before, tuple(out), plan.registers, plan.history)


def encode(
    solver: Reversible,
    denoiser: Denoiser,
    process: Any,
    x: Any,
    *,
    steps: int,
    grid: Grid | Sequence[float] | None = None,
    given: Given = NONE,
) -> tuple[Any, ...]:
    """The latent of data `x` (B, ...): the plan's registers; the first of them is the noise at the grid's first time.

    Args:
        solver: `BDIA()` or `EDICT()`.
        denoiser: the model.
        process: of the model; a `Product` for mapping states.
        x: data, a tensor or mapping; where the grid ends above 0 it is taken for a state there.
        steps: at least 2.
        grid: falling times, as for sampling; default the process's own.
        given: end point, conditioning, mask.
    """
    times = _times(process, steps, grid)
    begin = process.perturb(x, times[-1], given=given, noise=Silent()).x if times[-1] > 0 else x
    up = trajectory(_Up(solver), denoiser, process, x, steps=steps, grid=times[::-1], given=given, init=begin)
    return deque(up, maxlen=1)[-1].registers


def decode(
    solver: Reversible,
    denoiser: Denoiser,
    process: Any,
    latent: tuple[Any, ...],
    *,
    steps: int,
    grid: Grid | Sequence[float] | None = None,
    given: Given = NONE,
) -> Any:
    """The data of a latent; all arguments as for `encode`."""
    times = _times(process, steps, grid)
    down = trajectory(_Down(solver), denoiser, process, latent[0], steps=steps, grid=times, given=given, init=latent)
    return deque(down, maxlen=1)[-1].x


def _times(process: Any, steps: int, grid: Grid | Sequence[float] | None) -> list[float]:
    if steps < 2:
        raise InputError(f"encode: {steps} steps, expected at least 2")
    return times_of(process, steps, grid)


@dataclass(frozen=True)
class _Down:
    """The part of a plan that can be undone."""

    solver: Reversible

    def plan(self, process: GaussianProcess, times: Sequence[float]) -> Plan:
        plan = self.solver.plan(process, times)
        cut = self.solver.opening
        start = plan.start if cut == 0 else plan.stages[cut - 1].ends
        assert start is not None
        return replace(plan, start=start, stages=plan.stages[cut:])


@dataclass(frozen=True)
class _Up:
    """Entry at the data, then that part undone."""

    solver: Reversible

    def plan(self, process: GaussianProcess, times: Sequence[float]) -> Plan:
        falling = list(times)[::-1]
        back = inverse(_Down(self.solver).plan(process, falling))
        return replace(back, stages=(*self.solver.entry(process, falling), *back.stages))


def _undone(stage: Stage) -> Stage:
    own = dict(stage.states).get(stage.write, 0.0)
    reads = stage.at is not None and stage.read == stage.write
    if np.any(np.asarray(own) == 0) or stage.noise != 0.0 or reads or any(age for age, _ in stage.preds):
        raise InputError(
            "inverse: a stage that writes a register without keeping part of it, adds noise, reads what it writes, or uses "
            "older predictions; expected a plan such as that of BDIA or EDICT"
        )
    states = tuple((k, _over(-1.0 if k != stage.write else 1.0, own, 1.0 if k == stage.write else c)) for k, c in stage.states)
    preds = tuple((age, _over(-1.0, own, c)) for age, c in stage.preds)
    return replace(stage, states=states, preds=preds, y=_over(-1.0, own, stage.y))


def _over(sign: float, own: Any, coef: Any) -> Any:
    value = sign * np.asarray(coef, dtype=np.float64) / np.asarray(own, dtype=np.float64)
    return float(value) if value.ndim == 0 else _tuple(value.tolist())


def _tuple(value: Any) -> Any:
    return tuple(_tuple(v) for v in value) if isinstance(value, list) else value
