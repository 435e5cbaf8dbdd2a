r"""Reverse diffusion: the reverse-time SDE by Euler-Maruyama, as score_sde, SGMSE and GDSS discretise it.

Forward dx = (f x + h y) dt + g dw has the reverse-time family (Anderson 1982; Song et al. 2021, arXiv 2011.13456)

    dx = [f x + h y - (1 + eta^2)/2 g^2 score] dt + eta g dw,        score = (a x0 + b y - x) / s^2,

eta = 1 the reverse SDE, eta = 0 the probability flow. A *discretisation* turns it into increments F, H, G^2 over each step:
x <- x - F x - H y + (1 + eta^2)/2 G^2 score + eta G z. This is what the originals do; the exact step is `DDIM(eta)`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import torch

from polyscore.errors import InputError
from polyscore.processes import VE, VP, GaussianProcess
from polyscore.samplers.builder import Builder
from polyscore.samplers.plan import Plan

__all__ = [
    "Discretisation",
    "Increments",
    "ReverseDiffusion",
    "ScoreSDEAncestral",
    "per_count",
    "per_interval",
    "score_sde_tables",
]


class Increments(NamedTuple):
    """Over one step: drift of x, drift towards y, variance of the noise (float64 numbers, arrays for per-frequency processes)."""

    drift: Any
    end: Any
    variance: Any


Discretisation: TypeAlias = Callable[[GaussianProcess, Sequence[float]], Sequence[Increments]]


def _scaled(process: GaussianProcess, times: Sequence[float], lengths: Sequence[float]) -> list[Increments]:
    rates = process.rates(torch.tensor(times[:-1], dtype=torch.float64))
    dt = torch.tensor(lengths, dtype=torch.float64)
    f, h, g2 = (rate * dt.reshape(-1, *[1] * (rate.ndim - 1)) for rate in (rates.f, rates.h, rates.g2))
    finite = torch.isfinite(f + h + g2).flatten(1).all(1) if f.ndim > 1 else torch.isfinite(f + h + g2)
    if not finite.all():
        bad = times[int(finite.int().argmin())]
        raise InputError(
            f"reverse diffusion: the SDE of {type(process).__name__} has no finite rates at t = {bad:.6g}; start the grid "
            "below it, or use DDIM(eta), whose step is exact"
        )
    return [Increments(*row) for row in zip(f.numpy(), h.numpy(), g2.numpy(), strict=True)]


def per_interval(process: GaussianProcess, times: Sequence[float]) -> list[Increments]:
    """F = f dt, H = h dt, G^2 = g^2 dt at the step's start, dt = t_i - t_(i+1). On `grids.SGMSE(t_eps)` the last dt is t_eps."""
    return _scaled(process, times, [t - u for t, u in pairwise(times)])


def per_count(process: GaussianProcess, times: Sequence[float]) -> list[Increments]:
    """dt = 1 / N whatever the grid: StoRM, and SGMSE up to 2023."""
    return _scaled(process, times, [1 / (len(times) - 1)] * (len(times) - 1))


def score_sde_tables(process: GaussianProcess, times: Sequence[float]) -> list[Increments]:
    """score_sde's tables of length N, read at index floor(t (N - 1)); other processes than VP and VE fall back to `per_count`.

    VP: beta = linspace(beta_min / N, beta_max / N, N), F = sqrt(1 - beta) - 1, G^2 = beta.
    VE: sigma geometric from sigma_min to sigma_max, G^2 = sigma_i^2 - sigma_(i-1)^2 with sigma_(-1) = 0.

    Raises:
        InputError: so few steps that beta exceeds 1.
    """
    n = len(times) - 1
    index = [int(t * (n - 1)) for t in times[:-1]]
    if isinstance(process, VP):
        betas = np.linspace(process.beta_min / n, process.beta_max / n, n)
        if betas[-1] > 1:
            raise InputError(
                f"score_sde_tables: beta reaches {betas[-1]:.3g} > 1 with {n} steps; "
                f"expected at least {int(np.ceil(process.beta_max))} steps"
            )
        return [Increments(np.sqrt(1 - betas[k]) - 1, 0.0, betas[k]) for k in index]
    if isinstance(process, VE):
        levels = np.geomspace(process.sigma_min, process.sigma_max, n)
        return [Increments(0.0, 0.0, levels[k] ** 2 - (levels[k - 1] ** 2 if k else 0.0)) for k in index]
    return per_count(process, times)


@dataclass(frozen=True)
class ReverseDiffusion:
    """x <- (1 - F) x - H y + (1 + eta^2)/2 G^2 score + eta G z: the predictor of SGMSE and GDSS (Song et al. 2021, appendix E).

    With `per_count` it is GDSS's and score_sde's Euler-Maruyama, with `score_sde_tables` their "reverse diffusion".
    """

    discretise: Discretisation = per_interval
    eta: float = 1.0
    order: int = 1

    def plan(self, process: GaussianProcess, times: Sequence[float]) -> Plan:
        b = Builder(process, times)
        for (_, t, u), (drift, end, variance) in zip(b.steps, self.discretise(process, times), strict=True):
            pull = (1 + self.eta**2) / 2 * variance / t.s**2
            b.call(t)
            keep, noise = 1 - drift - pull, self.eta * np.sqrt(variance)
            b.move(u, keep=keep, preds=[pull * t.a], y=pull * t.b - end, noise=noise, ends=True)
        return b.plan()


@dataclass(frozen=True)
class ScoreSDEAncestral:
    """x <- (x + G^2 score) / (1 + F) + G z: ancestral sampling of a VP table with variance beta (Song et al. 2021, appendix F).

    Here 1 + F = sqrt(1 - beta). It uses the larger of the two variances of Ho et al. 2020; score_sde's rule for VE is the
    posterior itself, `DDPM()` on the process's own grid.
    """

    discretise: Discretisation = score_sde_tables
    order: int = 1

    def plan(self, process: GaussianProcess, times: Sequence[float]) -> Plan:
        b = Builder(process, times)
        for (_, t, u), (drift, _, variance) in zip(b.steps, self.discretise(process, times), strict=True):
            pull = variance / t.s**2
            b.call(t)
            b.move(u, keep=(1 - pull) / (1 + drift), preds=[pull * t.a / (1 + drift)], noise=np.sqrt(variance), ends=True)
        return b.plan()
