"""Explicit Runge-Kutta methods on the probability flow: a Butcher tableau, a form of the flow, a clock that places the stages.

    z_k = keep(t, t_k) z_t + gain(t, t_k) sum_j A_kj / c_k q_j,     z_u = keep(t, u) z_t + gain(t, u) sum_j w_j q_j.

In the form `NOISE` q = eps and the variable is sigma = s / a, as in Karras et al. 2022 (arXiv 2206.00364) and k-diffusion; in
the form `VELOCITY` it is t, as in flow matching (Lipman et al. 2022, arXiv 2210.02747).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from polyscore.processes import GaussianProcess
from polyscore.processes.clocks import LOG_SNR, NOISE_LEVEL, Clock
from polyscore.samplers.builder import Builder, Node, Number
from polyscore.samplers.forms import DATA, NOISE, VELOCITY, Form, clock_of, ready
from polyscore.samplers.plan import Plan

__all__ = [
    "DPM2",
    "EULER",
    "HEUN",
    "KUTTA3",
    "MIDPOINT",
    "RK4",
    "DPMSolverPP2S",
    "Euler",
    "Heun",
    "Midpoint",
    "RungeKutta",
    "Tableau",
]


class Tableau(NamedTuple):
    """Stages below the first (their sums are the nodes c), final weights, order."""

    rows: tuple[tuple[float, ...], ...]
    weights: tuple[float, ...]
    order: int


EULER = Tableau((), (1.0,), 1)
HEUN = Tableau(((1.0,),), (0.5, 0.5), 2)
MIDPOINT = Tableau(((0.5,),), (0.0, 1.0), 2)
KUTTA3 = Tableau(((0.5,), (-1.0, 2.0)), (1 / 6, 2 / 3, 1 / 6), 3)
RK4 = Tableau(((0.5,), (0.0, 0.5), (0.0, 0.0, 1.0)), (1 / 6, 1 / 3, 1 / 3, 1 / 6), 4)


@dataclass(frozen=True)
class RungeKutta:
    """Any explicit tableau in any form; `clock` places the inner stages. Steps that touch a singular end are DDIM's.

    In the form `DATA` with clock ln(a/s) the midpoint rule is DPM-Solver++ (2S), in `NOISE` DPM-Solver-2. Stages hold q, exactly
    for the form but with the tableau's weights: those are of their full order in the form's own variable, else of order 2.
    """

    tableau: Tableau = RK4
    form: Form = VELOCITY
    clock: Clock = NOISE_LEVEL

    @property
    def order(self) -> int:
        """The tableau's in t for `VELOCITY` and in s / a for `NOISE`; elsewhere at most 2."""
        own = self.form == VELOCITY or (self.form, self.clock) == (NOISE, NOISE_LEVEL)
        return self.tableau.order if own else min(self.tableau.order, 2)

    def plan(self, process: GaussianProcess, times: Sequence[float]) -> Plan:
        b = Builder(process, times)
        for _, t, u in b.steps:
            self.step(b, t, u)
        return b.plan()

    def step(self, b: Builder, t: Node, u: Node, *, noise: Number = 0.0, first: int | None = None, register: int = 1) -> None:
        """One step of register 0 from t to u.

        Args:
            b: the plan being written.
            t: node of register 0.
            u: node after the step.
            noise: coefficient of a fresh draw added at u.
            first: number of the call at t, where it is made already.
            register: where the inner stages live.
        """
        clock = clock_of(self.form, self.clock, b.process)
        *rows, last = (*self.tableau.rows, self.tableau.weights)
        shares = [sum(row) for row in rows]
        if not ready(self.form, clock, t, u) or (1.0 in shares and not ready(self.form, clock, u, u)):
            b.first_order(t, u, noise=noise)
            return
        at, calls = t, [] if first is None else [first]
        for k, (row, share) in enumerate(zip((*rows, last), (*shares, 1.0), strict=True)):
            ends = k == len(rows)
            if k == len(calls):
                calls.append(b.call(at, read=register if k else 0, form=self.form.remember(b.process, at)))
            at = u if ends else b.between(t, u, share, clock)
            keep, gain, _ = self.form.move(b.process, t, at)
            preds = {call: gain * w / share for call, w in zip(calls, row, strict=True)}
            b.move(at, keep={0: keep}, preds=preds, noise=noise if ends else 0.0, into=0 if ends else register, ends=ends)


@dataclass(frozen=True)
class Euler(RungeKutta):
    """z' = v held over the step in t; with `NOISE` it is Euler in sigma, which is DDIM (Lipman et al. 2022, arXiv 2210.02747)."""

    tableau: Tableau = EULER


@dataclass(frozen=True)
class Midpoint(RungeKutta):
    """Midpoint rule in t, the usual second-order method of flow matching (Lipman et al. 2022, arXiv 2210.02747)."""

    tableau: Tableau = MIDPOINT


@dataclass(frozen=True)
class Heun(RungeKutta):
    """Trapezoidal rule in sigma, EDM's deterministic sampler (Karras et al. 2022, arXiv 2206.00364)."""

    tableau: Tableau = HEUN
    form: Form = NOISE


@dataclass(frozen=True)
class DPM2(RungeKutta):
    """DPM-Solver-2: the midpoint in ln sigma, the step in sigma (Lu et al. 2022, arXiv 2206.00927)."""

    tableau: Tableau = MIDPOINT
    form: Form = NOISE
    clock: Clock = LOG_SNR


@dataclass(frozen=True)
class DPMSolverPP2S(RungeKutta):
    """DPM-Solver++ (2S): x0 at the midpoint in ln sigma serves the whole step (Lu et al. 2022, arXiv 2211.01095)."""

    tableau: Tableau = MIDPOINT
    form: Form = DATA
    clock: Clock = LOG_SNR
