r"""Between two key frames: an image-to-video model run forward from the first and backward from the last, in turns (ViBiD).

Every step t -> u does twice the same, the second time with the clip reversed and the roles of the key frames exchanged:

    x0 = D(x_t, t | key frame in front), then x0's last frame is put at the other key frame,
    x_u by the process's step,  and after the first half back up to t:  x_t = k x_u + sqrt(s_t^2 - k^2 s_u^2) eps,  k = a_t / a_u.

A model that is told the first frame alone thereby comes to meet the last one. The data consistency of the original (a conjugate
gradient on a mask of frames) is, for a mask, the replacement above.

Source: Yang et al. 2024, ViBiDSampler, arXiv 2410.05651.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from polyscore.denoisers import Prediction
from polyscore.errors import InputError
from polyscore.processes import expand
from polyscore.samplers import Run, StepState
from polyscore.state import Given

__all__ = ["Between"]


@dataclass(frozen=True, eq=False)
class Between:
    """A stepper for states (B, C, T, H, W); the run's `given` tells the first frame, `end` the last one.

    Args:
        first, last: key frames (B, C, H, W) in the data's range.
        end: what the denoiser is given when the clip is reversed.
        eta: stochasticity of the steps.

    Raises:
        InputError: key frames that do not fit the state.
    """

    first: Tensor
    last: Tensor
    end: Given
    eta: float = 0.0

    def init(self, run: Run, x: Tensor) -> StepState:
        wanted = (x.shape[0], x.shape[1], *x.shape[3:])
        for name, frame in (("first", self.first), ("last", self.last)):
            if tuple(frame.shape) != wanted:
                raise InputError(f"Between: {name} has shape {tuple(frame.shape)}; expected {wanted}, a frame of the state")
        return StepState(x, run.times[0], Prediction(None))

    def step(self, run: Run, state: StepState, i: int) -> StepState:
        t, u = run.times[i : i + 2]
        x, _ = self._half(run, state.x, t, u, run.given, self.last)
        back, prediction = self._half(run, _again(run, x, u, t).flip(2), t, u, self.end, self.first)
        return StepState(back.flip(2), u, replace(prediction, x0=prediction.x0.flip(2)))

    def done(self, run: Run, state: StepState, i: int) -> bool:
        return i >= len(run.times) - 1

    def _half(self, run: Run, x: Tensor, t: float, u: float, given: Given, meets: Tensor) -> tuple[Tensor, Prediction]:
        said = run.denoiser(x, t, given)
        consistent = Prediction(torch.cat([said.x0[:, :, :-1], meets[:, :, None].to(said.x0)], 2))
        moved = run.process.transition(x, consistent, t, u, eta=self.eta, given=Given(), noise=run.noise)
        return moved, consistent


def _again(run: Run, x: Tensor, u: float, t: float) -> Tensor:
    """From time u back up to t by the forward chain."""
    now, earlier = run.process.coefs_of(t), run.process.coefs_of(u)
    k = now.a / earlier.a
    spread = torch.sqrt((now.s**2 - (k * earlier.s) ** 2).clamp(min=0))
    time = torch.as_tensor(t, dtype=torch.float64)
    keep, fresh = (expand(c, time, x).to(x.dtype) for c in (k, spread))
    noised: Tensor = keep * x + fresh * run.process.law(run.noise, x, t=u, u=t)
    return noised
