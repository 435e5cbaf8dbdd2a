r"""DDCM and InfEdit: edit without inversion. The source is noised, and known, so the model's error on it is known as well.

Batches are pairs (`polyscore.editing.pairs`) that see the same noise. With c, c' the two conditions,

    source    x0 = x_src,
    target    x0 = x_src + D(x'_t, t, c') - D(x_t, t, c),

which for c' = c is x_src exactly. In eps it is the published rule eps' - eps + eps_consistent. Every step of `Renoise` starts
from the new x0 with fresh noise, x_u = a_u x0 + b_u y + s_u eps (multistep consistency sampling), so a few steps suffice.

Sources: Xu et al. 2024 (InfEdit), arXiv 2312.04965; Song et al. 2023 (consistency models), arXiv 2303.01469, algorithm 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from polyscore.denoisers.base import Denoiser, Prediction
from polyscore.editing.pairs import Paired, halves, joined
from polyscore.editing.path import times_from
from polyscore.guidance.wrapper import Wrapper
from polyscore.noise import NoiseLike
from polyscore.processes import GaussianProcess
from polyscore.processes.grids import Grid
from polyscore.samplers import Plan, sample
from polyscore.samplers.builder import Builder
from polyscore.state import Given, map_state

__all__ = ["DDCM", "Renoise", "infedit"]


@dataclass(frozen=True)
class Renoise:
    """x_u = a_u x0 + b_u y + s_u eps: what a consistency model is sampled with; one call a step."""

    order: int = 1

    def plan(self, process: GaussianProcess, times: Sequence[float]) -> Plan:
        b = Builder(process, times)
        for _, t, u in b.steps:
            b.call(t)
            b.move(u, preds=[u.a], noise=u.s, since=t.t, ends=True)
        return b.plan()


@dataclass(frozen=True, eq=False)
class DDCM(Wrapper):
    """The rule of the module docstring, for pairs.

    Args:
        denoiser: a denoiser or a consistency model of the doubled batch.
        source: x_src (B, ...), a tensor or mapping.
    """

    source: Any

    def __call__(self, x: Any, t: Any, given: Given) -> Prediction:
        prediction = self.denoiser(x, t, given)
        here, there = halves(prediction.x0)
        target = map_state(lambda known, a, b: known + (b - a), self.source, here, there)
        return replace(prediction, x0=joined(self.source, target), eps=None)


def infedit(
    denoiser: Denoiser,
    process: Any,
    x: Any,
    *,
    steps: int,
    given: Given,
    grid: Grid | Sequence[float] | None = None,
    start: float | None = None,
    sampler: Any = None,
    noise: NoiseLike = 0,
) -> Any:
    """`x` (B, ...) edited.

    Args:
        denoiser: the model; a wrapper that couples pairs may be around it.
        process: of the model.
        x: the source.
        steps: of the grid; one call of 2 B samples each.
        given: of 2 B samples, the source's first, see `joined`.
        grid: default the process's own.
        start: the first time; default the grid's. Lower keeps more of the source.
        sampler: default `Renoise()`.
        noise: of B samples.
    """
    times, source = times_from(start, process, steps, grid), Paired(noise)
    both = joined(x, x)
    begin = process.perturb(both, times[0], given=given, noise=source).x
    rule, solver = DDCM(denoiser, x), sampler or Renoise()
    out = sample(solver, rule, process, both, steps=len(times) - 1, grid=times, given=given, noise=source, init=begin)
    return halves(out)[1]
