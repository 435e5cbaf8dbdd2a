"""Constant-coefficient multistep methods in eps: PNDM, PLMS and the heavy-ball methods GHVB.

    v_n = (1 - beta) v_(n-1) + beta eps_n,     z_u = (a_u/a_t) z_t + (s_u - s_t a_u/a_t) sum_j w_j v_(n-j).

With nabla the backward difference, Adams-Bashforth is G = 1 + nabla/2 + 5/12 nabla^2 + 3/8 nabla^3 + ... on eps; on v it takes
G (beta + (1 - beta) nabla) / beta, cut at the order. beta = 1 is Adams-Bashforth itself. The weights suppose steps that are even
in the index of the grid, so the observed order is at most 2 on grids that are uneven in sigma.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import comb

from numpy.polynomial import polynomial

from polyscore.processes import GaussianProcess
from polyscore.processes.clocks import TIME
from polyscore.samplers.builder import Builder
from polyscore.samplers.forms import NOISE, ready
from polyscore.samplers.plan import Plan
from polyscore.samplers.runge_kutta import HEUN, RK4, RungeKutta, Tableau

__all__ = ["GHVB", "PLMS", "PNDM", "adams_bashforth"]

_GREGORY = (1.0, 1 / 2, 5 / 12, 3 / 8, 251 / 720)


def adams_bashforth(order: int, beta: float = 1.0) -> list[float]:
    """Weights of v_n, v_(n-1), ... for one step (module docstring), order 1 to 5."""
    series = polynomial.polymul(_GREGORY[:order], (1.0, (1 - beta) / beta))[:order]
    return [sum(c * (-1) ** j * comb(k, j) for k, c in enumerate(series) if k >= j) for j in range(order)]


@dataclass(frozen=True)
class GHVB:
    """Generalised heavy ball: damping beta < 1 widens the region of stability (Wizadwongsa et al. 2023, arXiv 2307.11118).

    Attributes:
        order: number of velocities used.
        beta: damping; 1 is PLMS without a start-up.
        start: Runge-Kutta tableau of the first steps, which then bring the history up to order.
        starts: how many.
    """

    order: int = 2
    beta: float = 0.8
    start: Tableau = HEUN
    starts: int = 0

    def plan(self, process: GaussianProcess, times: Sequence[float]) -> Plan:
        b, form, done = Builder(process, times), NOISE, 0
        solver = RungeKutta(self.start, form, TIME)
        for _, t, u in b.steps:
            if not ready(form, TIME, t):
                b.first_order(t, u)
                done = 0
                continue
            here, before = (1 + (done - k) % self.order for k in (0, 1))
            call = b.call(t, form=form.remember(process, t))
            mix = {before: 1 - self.beta} if done else {}
            b.move(t._replace(b=0.0 * t.b), keep=mix, preds={call: self.beta if done else 1.0}, into=here)
            done += 1
            if done <= self.starts and ready(form, TIME, u, u):
                solver.step(b, t, u, first=call, register=self.order + 1)
                continue
            keep, gain, _ = form.move(process, t, u)
            w = adams_bashforth(min(done, self.order), self.beta)
            velocities = {1 + (done - 1 - j) % self.order: gain * c for j, c in enumerate(w)}
            b.move(u, keep={0: keep, **velocities}, ends=True)
        return b.plan()


@dataclass(frozen=True)
class PNDM(GHVB):
    """Fourth-order Adams-Bashforth after three Runge-Kutta steps (Liu et al. 2022, arXiv 2202.09778)."""

    order: int = 4
    beta: float = 1.0
    start: Tableau = RK4
    starts: int = 3


@dataclass(frozen=True)
class PLMS(GHVB):
    """PNDM with one Heun step, then orders 2, 3, 4, as in latent diffusion (Liu et al. 2022, arXiv 2202.09778)."""

    order: int = 4
    beta: float = 1.0
    starts: int = 1
