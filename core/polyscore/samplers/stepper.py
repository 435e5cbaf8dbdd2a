"""Samplers that are not a table: explicit state in, explicit state out.

A stepper sees the whole `Run` and advances its own state; whatever it needs between steps (step size, history, partner samples)
lives in that state, so a run can be stopped, stored, split or resampled at any step.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, TypeVar

from polyscore.denoisers.base import Denoiser, Prediction
from polyscore.noise import Noise
from polyscore.samplers.asked import Asked
from polyscore.state import Given, Time

__all__ = ["Ancestral", "Run", "StepState", "Stepper"]

S = TypeVar("S")


class Run(NamedTuple):
    """What stays the same during a run."""

    denoiser: Denoiser
    process: Any
    times: tuple[float, ...]
    given: Given
    noise: Noise
    held: frozenset[str] = frozenset()

    def when(self, x: Any, t: float) -> Time:
        """`t` for all, or one time per leaf of `x` where some leaves are held at t = 0."""
        return {name: 0.0 if name in self.held else t for name in x} if self.held else t


class StepState(NamedTuple):
    """The least a stepper's state holds; `memory` is the stepper's own."""

    x: Any
    t: float
    prediction: Prediction
    memory: Any = None


class Stepper(Protocol[S]):
    """`init` makes the state, `step` advances it, `done` says when to stop."""

    def init(self, run: Run, x: Any) -> S: ...

    def step(self, run: Run, state: S, i: int) -> S: ...

    def done(self, run: Run, state: S, i: int) -> bool: ...


@dataclass(frozen=True)
class Ancestral:
    """One `process.transition` a step: works for every process, Gaussian, discrete, rigid or a product of them.

    For Gaussian processes it equals `DDIM(eta)`. One call a step, none where the transition does not ask: an absorbing process
    knows which cells are revealed before it needs the model, so steps without any are free (in MDLM: a cache, Sahoo et al. 2024,
    arXiv 2406.07524, for networks that ignore the time; here for all).
    """

    eta: float = 1.0

    def init(self, run: Run, x: Any) -> StepState:
        return StepState(x, run.times[0], Prediction(None))

    def step(self, run: Run, state: StepState, i: int) -> StepState:
        t, u = (run.when(state.x, time) for time in run.times[i : i + 2])
        asked = Asked(run, state.x, t, i)
        x = run.process.transition(state.x, asked, t, u, eta=self.eta, given=run.given, noise=run.noise)
        return StepState(x, run.times[i + 1], asked.made or state.prediction)

    def done(self, run: Run, state: StepState, i: int) -> bool:
        return i >= len(run.times) - 1
