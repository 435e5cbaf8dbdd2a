r"""S4, symmetric splitting of a system of SDEs with a score-based correction (Jo et al. 2022, arXiv 2202.02514, section 3.2).

One joint evaluation a step. At t, with S = g^2 score(t) and h = 1 / N:

    1. Langevin:  v <- v + e score + c sqrt(2 e) z,   e as in `polyscore.samplers.Langevin`
    2. half of the linear part, exactly, from t to t - h/2:   v <- v / k + sqrt(s_t^2 - k^2 s_u^2) z,   k = a_t / a_u
    3. the score part with the score frozen:                  v <- v + h S
    4. the other half, from t - h/2 to t - h.

The last step returns the mean of 4. Draws come in this order: the prior, then per step 1, 2, 4, leaf after leaf in each. The
grid is made for even steps of 1 / N (`grids.SGMSE(t_eps)`); the last half steps may pass t = 0, where VP and VE are continued.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch import Tensor

from polyscore.denoisers import Prediction, begin
from polyscore.errors import InputError
from polyscore.noise import leaf_noise
from polyscore.processes import VE, VP, GaussianProcess
from polyscore.samplers import Langevin, Run, StepState, score_sde_alphas
from polyscore.state import leaf_given

__all__ = ["S4"]


class _Row(NamedTuple):
    """A leaf's numbers for one step: level, g^2 / N, alpha, and (factor, noise) of the two half steps."""

    a: float
    s: float
    push: float
    alpha: float
    halves: tuple[tuple[float, ...], tuple[float, ...]]


@dataclass(frozen=True)
class S4:
    """The stepper; `corrector` gives the step size of 1, `last` says what comes back: the "mean" or the "sample"."""

    corrector: Langevin = field(default_factory=lambda: Langevin(snr=0.2, scale=0.7, alphas=score_sde_alphas))
    last: str = "mean"

    def init(self, run: Run, x: Any) -> StepState:
        if not isinstance(x, Mapping):
            raise InputError("S4: the state is a tensor; expected a mapping of leaves and a Product")
        tables = {name: _table(run.process[name], run.times, self.corrector) for name in x if name not in run.held}
        return StepState(x, run.times[0], Prediction(None), tables)

    def step(self, run: Run, state: StepState, i: int) -> StepState:
        begin(run.denoiser, i, 0)
        prediction = run.denoiser(state.x, run.when(state.x, run.times[i]), run.given)
        x: dict[str, Tensor] = dict(state.x)
        rows: dict[str, _Row] = {name: table[i] for name, table in state.memory.items()}
        scores = {name: (row.a * prediction.x0[name] - x[name]) / row.s**2 for name, row in rows.items()}

        def draw(name: str) -> Tensor:
            noise: Tensor = run.process[name].law(leaf_noise(run.noise, name), x[name], given=leaf_given(run.given, name))
            return noise

        for name, row in rows.items():
            z = draw(name)
            root = self.corrector.root(z, scores[name], row.s, row.alpha)
            x[name] = x[name] + root**2 * scores[name] + math.sqrt(2) * self.corrector.scale * root * z
        for half in (0, 1):
            for name, row in rows.items():
                keep, spread = row.halves[half]
                if half:
                    x[name] = torch.add(x[name], scores[name], alpha=row.push)
                mean, z = keep * x[name], draw(name)
                ends = half and i == len(run.times) - 2 and self.last == "mean"
                x[name] = mean if ends else torch.add(mean, z, alpha=spread)
        return StepState(x, run.times[i + 1], prediction, state.memory)

    def done(self, run: Run, state: StepState, i: int) -> bool:
        return i >= len(run.times) - 1


def _table(process: GaussianProcess, times: tuple[float, ...], corrector: Langevin) -> list[_Row]:
    n = len(times) - 1
    t = torch.tensor(times[:-1], dtype=torch.float64)
    middle = t - 0.5 / n
    coefs, push = process.coefs_of(t), process.rates(t).g2 / n
    halves = [torch.stack(half, 1).tolist() for half in (_linear(process, t, middle), _linear(process, middle, middle - 0.5 / n))]
    columns = (coefs.a.tolist(), coefs.s.tolist(), push.tolist(), corrector.alphas(process, times), *halves)
    return [_Row(a, s, g, alpha, (tuple(one), tuple(two))) for a, s, g, alpha, one, two in zip(*columns, strict=True)]


def _linear(process: GaussianProcess, t: Tensor, u: Tensor) -> tuple[Tensor, Tensor]:
    """1 / k and sqrt(s_t^2 - k^2 s_u^2) of the exact linear part between t and u < t."""
    if isinstance(process, VE):
        ratio = process.sigma_max / process.sigma_min
        return torch.ones_like(t), process.sigma_min * torch.sqrt(ratio ** (2 * t) - ratio ** (2 * u))
    if isinstance(process, VP):
        k = process.coefs_of(t).a / process.coefs_of(u).a
        return 1 / k, torch.sqrt((1 - k * k).clamp(min=0))
    now, earlier = process.coefs_of(t.clamp(min=0)), process.coefs_of(u.clamp(min=0))
    k = process.kernel(now, earlier)
    return 1 / k, torch.sqrt((now.s**2 - (k * earlier.s) ** 2).clamp(min=0))
