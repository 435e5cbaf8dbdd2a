r"""RePaint: filling in what is missing with a model trained on whole samples (Lugmayr et al. 2022, arXiv 2201.09865).

Each reverse step is followed by putting the known part there at the new noise level, and the sampler goes back and forth, so that
the two parts come to agree: after every `jump` steps forward in the grid the state is noised back by `jump` steps and denoised
again, `resamplings` times in all. One call a reverse step, so NFE is about N resamplings.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from polyscore.denoisers.base import Prediction, begin
from polyscore.errors import InputError
from polyscore.noise import Noise, leaf_noise
from polyscore.processes import GaussianProcess
from polyscore.processes.probability_flow import affine
from polyscore.samplers.stepper import Run, StepState
from polyscore.state import Given, leaf_given, map_state

__all__ = ["RePaint", "resampling_schedule"]


def resampling_schedule(steps: int, jump: int, resamplings: int) -> list[int]:
    """The grid indices visited, from 0 (noise) to `steps` (data); a decrease is a jump back to more noise.

    The levels at 0, jump, 2 jump, ... steps before the last noisy one are each reached `resamplings` times, as in the paper's
    schedule, whose clean end is index `steps` here.
    """
    left = {steps - 1 - k: resamplings - 1 for k in range(0, steps - jump, jump)}
    path = [0]
    while path[-1] < steps:
        if left.get(path[-1], 0) > 0:
            left[path[-1]] -= 1
            path.append(path[-1] - jump)
        path.append(path[-1] + 1)
    return path


@dataclass(frozen=True, eq=False)
class RePaint:
    """Steps of `process.transition` with the known part put back at every level, and resampling.

    Args:
        known: the known data, broadcast to the state; a mapping for mapping states.
        mask: 1 where `known` holds, 0 where the model fills in; broadcast to the state.
        jump: how many grid steps a resampling goes back.
        resamplings: how often each stretch is sampled; 1 is the plain replacement method (Song et al. 2021, arXiv 2011.13456).
        eta: stochasticity of the reverse steps.

    Every frame is one move, forward or back; the last has t = the grid's end and the known part exactly. Draws of a move: reverse
    step, then known part; or the jump back.

    Raises:
        InputError: jump or resamplings below 1.
    """

    known: Any
    mask: Any
    jump: int = 10
    resamplings: int = 10
    eta: float = 1.0

    def __post_init__(self) -> None:
        if self.jump < 1 or self.resamplings < 1:
            raise InputError(f"RePaint: jump {self.jump} and resamplings {self.resamplings}, expected at least 1")

    def init(self, run: Run, x: Any) -> StepState:
        path = resampling_schedule(len(run.times) - 1, self.jump, self.resamplings)
        return StepState(x, run.times[0], Prediction(None), tuple(path))

    def step(self, run: Run, state: StepState, i: int) -> StepState:
        now, nxt = state.memory[i : i + 2]
        if nxt < now:
            x = _diffused(run, state.x, state.prediction.x0, run.times[now], run.times[nxt])
            return StepState(x, run.times[nxt], state.prediction, state.memory)
        t, u = (run.when(state.x, run.times[k]) for k in (now, nxt))
        begin(run.denoiser, i, 0)
        prediction = run.denoiser(state.x, t, run.given)
        x = run.process.transition(state.x, prediction, t, u, eta=self.eta, given=run.given, noise=run.noise)
        whole = map_state(lambda known, x: known.to(x).expand_as(x), self.known, x)
        known = run.process.perturb(whole, u, given=run.given, noise=run.noise).x
        x = map_state(lambda mask, kept, made: torch.where(mask.to(made.device).bool(), kept, made), self.mask, known, x)
        return StepState(x, run.times[nxt], prediction, state.memory)

    def done(self, run: Run, state: StepState, i: int) -> bool:
        return i >= len(state.memory) - 1


def _diffused(run: Run, x: Any, x0: Any, u: float, t: float) -> Any:
    """The forward chain, u < t: x_t = k x_u + (a_t - k a_u) x0 + (b_t - k b_u) y + sqrt(s_t^2 - k^2 s_u^2) eps."""

    def leaf(process: GaussianProcess, x: Tensor, x0: Tensor, given: Given, noise: Noise) -> Tensor:
        now, earlier = process.coefs_of(t), process.coefs_of(u)
        k = process.kernel(now, earlier)
        spread = torch.sqrt((now.s**2 - (k * earlier.s) ** 2).clamp(min=0))
        keep, data, end, fresh = (c.to(x.device, x.real.dtype) for c in (k, now.a - k * earlier.a, now.b - k * earlier.b, spread))
        return affine((keep, data, end), x, x0, given.y) + fresh * process.law(noise, x, t=u, u=t, given=given)

    if not isinstance(x, Mapping):
        return leaf(run.process, x, x0, run.given, run.noise)
    moved = {
        n: leaf(run.process[n], x[n], x0[n], leaf_given(run.given, n), leaf_noise(run.noise, n)) for n in x if n not in run.held
    }
    return {**x, **moved}
