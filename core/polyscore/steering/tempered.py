r"""Powers and products of models, exactly: the reverse SDE of p_1^b1 p_2^b2 ..., with the weights that correct it.

For L = sum_i b_i ln p_i with S = sum_i b_i s_i, forward dx = (f x + h y) dt + g dw, samples move backwards in time by

    dx = [-f x - h y + g^2 S] dtau + g dw,
    d ln w = [(sum_i b_i - 1) f d + g^2 / 2 (|S|^2 - sum_i b_i |s_i|^2)] dtau,                d = number of entries,

which follows from the Fokker-Planck equations of the p_i and keeps the weighted law at exp(L), normalised, for every t. One model
with b = beta anneals (ln w grows by (beta - 1) f d + g^2/2 beta (beta - 1) |s|^2); (w, 1 - w) of a conditional and an
unconditional model is classifier-free guidance as it was meant; (1, 1) is a product of experts. Without the weights none of
these is the law it is taken for.

The start is the prior with its variance divided by sum_i b_i. Euler-Maruyama, first order in the step.

Source: Skreta et al. 2025 (Feynman-Kac correctors), arXiv 2503.02819.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from polyscore.denoisers.base import Denoiser, Prediction, begin
from polyscore.errors import ConfigError
from polyscore.noise import leaf_noise
from polyscore.processes import expand
from polyscore.samplers import Run, StepState, per_interval
from polyscore.state import Given, leaf_given

__all__ = ["Tempered"]


class _Row(NamedTuple):
    """One step of one leaf: a, b, s^2 at its start, the increments F, H, G^2 and G."""

    a: Tensor
    b: Tensor
    s2: Tensor
    drift: Tensor
    end: Tensor
    variance: Tensor
    noise: Tensor


class _Memory(NamedTuple):
    leaves: Mapping[str, tuple[_Row, ...]]
    growth: Tensor  # of ln w in the last step, (B,)


@dataclass(frozen=True)
class Tempered:
    """A stepper whose samples carry weights; put it into `FeynmanKac(Tempered(...), Carried(), group=K)`.

    Args:
        powers: b of the run's denoiser and of every other, in order; with a positive sum.
        others: further denoisers on the same states and process.

    One call of each denoiser a step. `powers=(1.0,)` is the plain reverse SDE, weights 1.

    Raises:
        ConfigError: powers that are not one per denoiser, or do not sum to more than 0.
        InputError: a noise law whose variables are not entries of the state, or a process without finite rates on the grid.
    """

    powers: tuple[float, ...]
    others: tuple[Denoiser, ...] = ()

    def __post_init__(self) -> None:
        if len(self.powers) != len(self.others) + 1 or not sum(self.powers) > 0:
            raise ConfigError(
                f"Tempered: powers {self.powers} for {len(self.others) + 1} denoisers; expected one each, with a sum above 0"
            )

    def init(self, run: Run, x: Any) -> StepState:
        leaves, start = {}, {}
        for name, (value, process, given) in _leaves(run, x).items():
            times = torch.tensor(run.times[:-1], dtype=torch.float64)
            a, b, s = process.coefs_of(times)
            rows = []
            for i, increments in enumerate(per_interval(process, run.times)):
                numbers = [c[i] for c in (a, b, s**2)] + [torch.as_tensor(v, dtype=torch.float64) for v in increments]
                rows.append(_Row(*(_shaped(v, value) for v in (*numbers, numbers[-1] ** 0.5))))
            leaves[name] = tuple(rows)
            centre = 0.0 if given.y is None else rows[0].b * given.y
            start[name] = centre + (value - centre) / sum(self.powers) ** 0.5
        first = next(iter(start.values()))
        growth = torch.zeros(len(first), dtype=torch.float64, device=first.device)
        return StepState(_whole(start, x), run.times[0], Prediction(None), _Memory(leaves, growth))

    def step(self, run: Run, state: StepState, i: int) -> StepState:
        memory: _Memory = state.memory
        begin(run.denoiser, i, 0)
        predictions = [model(state.x, run.when(state.x, run.times[i]), run.given) for model in (run.denoiser, *self.others)]
        moved, growth, last = {}, torch.zeros_like(memory.growth), i == len(run.times) - 2
        for name, (x, process, given) in _leaves(run, state.x).items():
            row = memory.leaves[name][i]
            told = [p.x0[name] if isinstance(p.x0, Mapping) else p.x0 for p in predictions]
            end = 0.0 if given.y is None else given.y
            scores = [(row.a * x0 + row.b * end - x) / row.s2 for x0 in told]
            total = sum(power * score for power, score in zip(self.powers, scores, strict=True))
            assert isinstance(total, Tensor)
            m = process.law.independent(x, given=given)
            squares = _square(total) - sum(b * _square(s) for b, s in zip(self.powers, scores, strict=True))
            rate = (sum(self.powers) - 1) * row.drift + row.variance / 2 * squares
            growth = growth + (m * rate).flatten(1).double().sum(1)
            mean = x - row.drift * x - row.end * end + row.variance * total
            source = leaf_noise(run.noise, name) if name else run.noise
            z = process.law(source, x, t=run.times[i], u=run.times[i + 1], given=given)
            moved[name] = mean if last else mean + row.noise * z
        x = _whole(moved, state.x)
        return StepState(x, run.times[i + 1], predictions[0], _Memory(memory.leaves, growth))

    def done(self, run: Run, state: StepState, i: int) -> bool:
        return i >= len(run.times) - 1


def _leaves(run: Run, x: Any) -> dict[str, tuple[Tensor, Any, Given]]:
    """Every leaf that moves, with its process and what is given to it."""
    if not isinstance(x, Mapping):
        return {"": (x, run.process, run.given)}
    return {n: (v, run.process[n], leaf_given(run.given, n)) for n, v in x.items() if n not in run.held}


def _whole(leaves: Mapping[str, Tensor], like: Any) -> Any:
    return {**like, **leaves} if isinstance(like, Mapping) else leaves[""]


def _shaped(value: Tensor, like: Tensor) -> Tensor:
    return expand(value, torch.zeros((), dtype=torch.float64), like).to(like.real.dtype)


def _square(score: Tensor) -> Tensor:
    return (score.conj() * score).real if score.is_complex() else score.square()
