r"""Samplers of discrete processes in continuous time: every cell jumps at the rates of the reverse Markov chain.

The forward chain of `CategoricalProcess` leaves a category at the rate nu for a draw from pi and mu for MASK, with
mu = C' / (1 - C) and nu = -A'/A - mu. Its reversal jumps from x_t to another category k at

    rate(k) = mu (A p(k) + B pi(k)) / C                     x_t = MASK
    rate(k) = nu pi(x_t) (A r(k) + B pi(k) R)               else,      r(x0) = p(x0) / q(x_t | x0),  R = sum r

per unit of falling time. Over a step h the rates are frozen at its start. Both methods are of first order; they differ from the
ancestral step, which knows the process's transition in closed form, by O(h^2) a step.

    EulerJumps     P(jump) = min(1, h sum rate)
    TauLeaping     P(jump) = 1 - exp(-h sum rate): a Poisson number of jumps, of which the first counts

The last step, to t = 0, where rates have no bound, is the process's own transition.

Sources: Campbell et al. 2022, arXiv 2205.14987; Lou et al. 2024 (SEDD), arXiv 2310.16834; Sun et al. 2023, arXiv 2211.16750.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from polyscore.denoisers.base import Prediction
from polyscore.errors import InputError
from polyscore.processes.discrete.categorical import CategoricalProcess
from polyscore.processes.discrete.rows import draw, log_rows, uniforms
from polyscore.samplers.asked import Asked
from polyscore.samplers.stepper import Run, StepState

__all__ = ["EulerJumps", "TauLeaping", "reverse_rates"]


def reverse_rates(process: CategoricalProcess, x: Tensor, log_p: Tensor, t: float) -> Tensor:
    """Rates (M, N), float64, of jumps from the categories x (M,) at time t, 0 for x itself; log_p (M, N) normalised.

    Raises:
        InputError: a time at which the process has no finite rate.
    """
    (a, b, c), (da, _, dc) = process.coefs_of(t), process.rates(t)
    mu = dc / (1 - c) if process.masks else torch.zeros_like(a)
    nu = -da / a - mu if process.replaces else torch.zeros_like(a)
    if not bool(torch.isfinite(mu) & torch.isfinite(nu)):
        raise InputError(
            f"jumps: {process} has no finite rate at t = {t}; start the grid below 1, or take a schedule that leaves a share of "
            "the data at t = 1, such as LogLinear"
        )
    p, pi = log_p.exp(), process.stationary().to(x.device)
    hidden = (x == process.mask_token).unsqueeze(-1)
    here = functional.one_hot(x.clamp(max=process.classes - 1), process.classes).double()
    at = (here * pi).sum(-1, keepdim=True)
    seen = a * here + b * at
    ratio = torch.where(seen > 0, p / seen.clamp(min=1e-300), 0.0)
    moved = nu * at * (a * ratio + b * pi * ratio.sum(-1, keepdim=True)) * (1 - here)
    return torch.where(hidden, mu * (a * p + b * pi) / c.clamp(min=1e-300), moved)


@dataclass(frozen=True)
class _Jumps(ABC):
    """A step with frozen rates."""

    @abstractmethod
    def share(self, expected: Tensor) -> Tensor:
        """P(jump) for an expected number of jumps h sum rate."""

    def init(self, run: Run, x: Any) -> StepState:
        if not isinstance(x, Tensor) or not isinstance(run.process, CategoricalProcess):
            raise InputError(f"{type(self).__name__}: {type(run.process).__name__}; expected a discrete process and a tensor")
        return StepState(x, run.times[0], Prediction(None))

    def step(self, run: Run, state: StepState, i: int) -> StepState:
        process, x, (t, u) = run.process, state.x, run.times[i : i + 2]
        asked = Asked(run, x, t, i)
        if u <= 0:
            x = process.transition(x, asked, t, u, given=run.given, noise=run.noise)
            return StepState(x, u, asked.made or state.prediction)
        gate, goal = (uniforms(process.law, run.noise, x, run.given).flatten() for _ in range(2))
        moves = process.free(x, run.given)
        cells = (moves if process.replaces else moves & (x == process.mask_token)).flatten().nonzero().squeeze(1)
        out = x.flatten().clone()
        if len(cells):
            rates = reverse_rates(process, out[cells], log_rows(asked.x0, cells), t)
            jump = gate[cells] < self.share((t - u) * rates.sum(-1))
            out[cells[jump]] = draw(rates[jump].log(), goal[cells[jump]])
        return StepState(out.view_as(x), u, asked.made or state.prediction)

    def done(self, run: Run, state: StepState, i: int) -> bool:
        return i >= len(run.times) - 1


@dataclass(frozen=True)
class EulerJumps(_Jumps):
    """A cell jumps with probability h sum rate, at most 1 (Lou et al. 2024, arXiv 2310.16834; first order)."""

    def share(self, expected: Tensor) -> Tensor:
        return expected.clamp(max=1)


@dataclass(frozen=True)
class TauLeaping(_Jumps):
    """A cell jumps with probability 1 - exp(-h sum rate) (Campbell et al. 2022, arXiv 2205.14987; first order)."""

    def share(self, expected: Tensor) -> Tensor:
        return -torch.expm1(-expected)
