"""DPM-Solver and DPM-Solver++: exponential integrators in lambda = ln(a / s).

Lu et al. 2022 (DPM-Solver, arXiv 2206.00927; DPM-Solver++, arXiv 2211.01095). With r in units of the step, the published
formulas replace a moment of the interpolating polynomial (`polyscore.samplers.forms`):

    two nodes      "midpoint"   mu_1 = mu_0 / 2      "heun"   mu_1 exact
    three nodes    multistep    mu_2 = exact / 2     (its observed order is 2; `ExponentialAdams(order=3)` is of order 3)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from polyscore.processes import GaussianProcess
from polyscore.processes.clocks import LOG_SNR, Clock
from polyscore.samplers.adams import ExponentialAdams
from polyscore.samplers.builder import Builder, Node, Number
from polyscore.samplers.forms import DATA, EXACT, HALF_GAIN, NOISE, DataForm, Form, Rule, ready, weights
from polyscore.samplers.plan import Plan

__all__ = ["DPMSolver", "DPMSolver3", "DPMSolverPP", "DPMSolverPPSDE", "DPMSolverSinglestep", "SDEDPMSolverPP"]


@dataclass(frozen=True)
class DPMSolverPP(ExponentialAdams):
    """DPM-Solver++ multistep, 1M / 2M / 3M, in x0 (Lu et al. 2022, arXiv 2211.01095)."""

    clock: Clock | None = LOG_SNR
    tail: int = 15
    rule: Rule = HALF_GAIN


@dataclass(frozen=True)
class DPMSolver(DPMSolverPP):
    """DPM-Solver multistep in eps (Lu et al. 2022, arXiv 2206.00927)."""

    form: Form = NOISE


@dataclass(frozen=True)
class SDEDPMSolverPP(DPMSolverPP):
    """SDE-DPM-Solver++: the same on the reverse SDE; k-diffusion's 2M SDE and 3M SDE (Lu et al. 2022, arXiv 2211.01095)."""

    form: Form = DataForm(eta=1.0)


@dataclass(frozen=True)
class DPMSolverSinglestep:
    """Singlestep DPM-Solver on the grid: `order` intervals make one step, whose inner stages are the grid's own nodes.

    The last intervals are taken at orders 2 and 1, as diffusers does (Lu et al. 2022, arXiv 2206.00927).

    Attributes:
        order: 1, 2 or 3.
        form: `NOISE` is DPM-Solver, `DATA` DPM-Solver++.
        rule: moments of the second stage.
        last: which of the three nodes the third stage uses; (0, 2) is the published "midpoint", (0, 1, 2) its "heun".
    """

    order: int = 3
    form: Form = NOISE
    rule: Rule = HALF_GAIN
    last: tuple[int, ...] = (0, 2)

    def plan(self, process: GaussianProcess, times: Sequence[float]) -> Plan:
        b, clock = Builder(process, times), LOG_SNR
        start = 0 if ready(self.form, clock, b.nodes[0]) else 1
        whole, left = divmod(max(len(b.nodes) - 2 - start, 0), self.order)
        small = max(self.order - 1, 1)
        tail = [small] * ((left + 1) // small) + [1] * ((left + 1) % small)
        if not ready(self.form, clock, *b.nodes[-2:]):  # nothing of second order ends where lambda is infinite
            tail = [*tail[:-1], *[1] * tail[-1]]
        place = 0
        for size in [1] * start + [self.order] * whole + tail[: len(b.nodes) - 1 - start]:
            self.block(b, b.nodes[place : place + size + 1], on_grid=True)
            place += size
        return b.plan()

    def block(self, b: Builder, nodes: Sequence[Node], *, on_grid: bool, noise: Number = 0.0) -> None:
        """One step of register 0 from the first to the last of `nodes`, through the others; `on_grid`: these end steps too."""
        t, clock, calls = nodes[0], LOG_SNR, list[int]()
        if not ready(self.form, clock, t, nodes[-1]):
            b.first_order(t, nodes[-1], noise=noise)
            return
        for k, (at, to) in enumerate(pairwise(nodes)):
            calls.append(b.call(at, read=1 if k else 0, form=self.form.remember(b.process, at)))
            use = self.last if k == 2 else tuple(range(k + 1))
            rule = self.rule if k == 1 else EXACT
            w = weights(b.process, self.form, clock, t, to, [nodes[j] for j in use], rule)
            preds = {calls[j]: c for j, c in zip(use, w, strict=True)}
            keep, ends = self.form.move(b.process, t, to).keep, to is nodes[-1]
            b.move(to, keep={0: keep}, preds=preds, noise=noise if ends else 0.0, into=0 if ends else 1, ends=ends or on_grid)


@dataclass(frozen=True)
class DPMSolver3(DPMSolverSinglestep):
    """DPM-Solver-3: inner stages at 1/3 and 2/3 of every interval in lambda (Lu et al. 2022, arXiv 2206.00927, algorithm 2)."""

    rule: Rule = EXACT

    def plan(self, process: GaussianProcess, times: Sequence[float]) -> Plan:
        b = Builder(process, times)
        for _, t, u in b.steps:
            fractions = [k / self.order for k in range(1, self.order)] if ready(self.form, LOG_SNR, t, u) else []
            inner = [b.between(t, u, fraction, LOG_SNR) for fraction in fractions]
            self.block(b, [t, *inner, u], on_grid=False)
        return b.plan()


@dataclass(frozen=True)
class DPMSolverPPSDE:
    """DPM-Solver++ (SDE) of k-diffusion: two calls and two draws a step.

    D is evaluated after an ancestral step to the fraction r of the interval in lambda; then an ancestral step over the whole
    interval uses D = (1 - 1/2r) D_t + (1/2r) D_r. eta scales the fresh noise as in DDIM (Lu et al. 2022, arXiv 2211.01095).
    """

    eta: float = 1.0
    r: float = 0.5
    order: int = 1

    def plan(self, process: GaussianProcess, times: Sequence[float]) -> Plan:
        b, share = Builder(process, times), 1 / (2 * self.r)
        for _, t, u in b.steps:
            keep, data, _, noise = (c.numpy() for c in process.step(t.t, u.t, eta=self.eta))
            first = b.call(t)
            if not ready(DATA, LOG_SNR, t, u):
                b.move(u, keep=keep, preds=[data], noise=noise, ends=True)
                continue
            inner = b.between(t, u, self.r, LOG_SNR)
            part = [c.numpy() for c in process.step(t.t, inner.t, eta=self.eta)]
            b.move(inner, keep={0: part[0]}, preds=[part[1]], noise=part[3], into=1)
            second = b.call(inner, read=1)
            preds = {first: data * (1 - share), second: data * share}
            b.move(u, keep={0: keep}, preds=preds, noise=noise, since=t.t, ends=True)
        return b.plan()
