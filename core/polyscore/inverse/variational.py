r"""RED-diff: the most likely x0 by descent, the diffusion model as its regulariser.

    min over mu of   |y - A(mu)|^2 / 2 + c E_t w(t) <sg[eps_theta(x_t, t) - eps], mu>,   x_t = a mu + b y' + s eps,  w = s / a

with t falling along the run (y' is the process's own end point, where it has one). No pass through the network, no trajectory:
one call a step of Adam.

Source: Mardani et al. 2024 (RED-diff), arXiv 2305.04391.
"""

from __future__ import annotations

import torch
from torch import Tensor

from polyscore.denoisers import Denoiser
from polyscore.distillation import Descending, ScoreDistillation, TimeSchedule, weights
from polyscore.distillation.rules import reddiff
from polyscore.inverse.measurement import Measurement
from polyscore.noise import NoiseLike, as_noise
from polyscore.processes import GaussianProcess
from polyscore.state import NONE, Given

__all__ = ["red_diff"]


def red_diff(
    measurement: Measurement,
    denoiser: Denoiser,
    process: GaussianProcess,
    start: Tensor,
    *,
    steps: int = 100,
    weight: float = 0.25,
    rate: float = 0.1,
    times: TimeSchedule | None = None,
    given: Given = NONE,
    noise: NoiseLike = 0,
) -> Tensor:
    """mu (B, ...) from `start`.

    Args:
        measurement: y and A.
        denoiser, process: the frozen model.
        start: where mu begins, A^T y or zeros.
        steps: of Adam (betas .9, .99), one network call each.
        weight: c.
        rate: learning rate.
        times: t along the run; the default falls evenly from .98 to .02.
        given: conditioning.
        noise: of x_t.
    """
    rule: ScoreDistillation = reddiff(weights.level)
    source, schedule = as_noise(noise), times or Descending(power=1.0)
    mu = start.detach().clone().requires_grad_()
    optimiser = torch.optim.Adam([mu], lr=rate, betas=(0.9, 0.99))
    for step in range(steps):
        t = schedule(torch.zeros(len(mu), dtype=torch.float64), step / steps)
        with torch.enable_grad():
            pulled = rule(mu, {"cond": given}, denoiser=denoiser, process=process, noise=source, t=t).loss
            loss = (measurement.misfit(mu) + weight * pulled).sum()
            (mu.grad,) = torch.autograd.grad(loss, mu)
        optimiser.step()
    return mu.detach()
