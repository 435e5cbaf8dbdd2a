"""Multistep methods of Adams-Bashforth type: one call a step, a polynomial through the last predictions in a clock.

    z_u = keep z_t + sum_j w_j q_(t - j),     w from the order conditions of `polyscore.samplers.forms`.

The form (x0, eps, velocity) and the clock (ln(a/s), s/a, t, angle) are free; the named methods are choices of the two.
The order falls to what is available: at the start, after a singular end, where the clock is infinite, and at s_u = 0 in x0.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from polyscore.processes import GaussianProcess
from polyscore.processes.clocks import LOG_SNR, NOISE_LEVEL, Clock
from polyscore.samplers.builder import Builder, Node
from polyscore.samplers.forms import DATA, EXACT, NOISE, Form, Rule, clock_of, ready, weights
from polyscore.samplers.plan import Plan
from polyscore.samplers.runge_kutta import RungeKutta, Tableau

__all__ = ["DEIS", "LMS", "ExponentialAdams"]


@dataclass(frozen=True)
class ExponentialAdams:
    """Exponential Adams-Bashforth in any form and clock (Zhang and Chen 2023, arXiv 2204.13902, for eps).

    Attributes:
        order: number of predictions used.
        form: what is interpolated; `DataForm(eta)` with eta > 0 integrates the reverse SDE.
        clock: in which variable; None is the process's own.
        tail: plans of fewer steps end at order ..., 2, 1, as the original DPM-Solver does below 15 steps.
        rule: the moments of the method.
        start: a Runge-Kutta tableau for the first order - 1 steps, at its price in calls. Without one the first step is of
            order 1, which at an ordinary noisy end costs nothing but caps the observed order at 2.
    """

    order: int = 2
    form: Form = DATA
    clock: Clock | None = None
    tail: int = 0
    rule: Rule = EXACT
    start: Tableau | None = None

    def plan(self, process: GaussianProcess, times: Sequence[float]) -> Plan:
        b, clock = Builder(process, times), clock_of(self.form, self.clock, process)
        steps, past = len(b.nodes) - 1, list[tuple[Node, int]]()
        for i, t, u in b.steps:
            if not ready(self.form, clock, t):
                b.first_order(t, u)
                past = []
                continue
            past = [(t, b.call(t, form=self.form.remember(process, t))), *past][: self.order]
            if self.start and len(past) < self.order and ready(self.form, clock, u, u):
                RungeKutta(self.start, self.form, clock).step(b, t, u, first=past[0][1])
                continue
            n = min(len(past), steps - i) if steps < self.tail else len(past)
            nodes = [node for node, _ in past[: n if ready(self.form, clock, t, u) else 1]]
            keep, _, noise = self.form.move(process, t, u)
            w = weights(process, self.form, clock, t, u, nodes, self.rule)
            b.move(u, keep=keep, preds={call: c for (_, call), c in zip(past, w, strict=False)}, noise=noise, ends=True)
        return b.plan()


@dataclass(frozen=True)
class LMS(ExponentialAdams):
    """Linear multistep in sigma: eps interpolated and integrated exactly (Karras et al. 2022, arXiv 2206.00364; k-diffusion)."""

    order: int = 4
    form: Form = NOISE
    clock: Clock | None = NOISE_LEVEL


@dataclass(frozen=True)
class DEIS(ExponentialAdams):
    """DEIS: eps in clock t (tab), sigma (rho) or, as diffusers has it, ln sigma (Zhang and Chen 2023, arXiv 2204.13902)."""

    order: int = 3
    form: Form = NOISE
    clock: Clock | None = LOG_SNR
    tail: int = 15
