"""The rules of diffusers' multistep schedulers that the methods of `polyscore.samplers` do not have.

They concern the order of single steps, a final step of no length, correctors switched off, and one formula: the third-order SDE
update, whose curvature term diffusers writes with -1/2 where integration gives +1/2.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from polyscore.processes import GaussianProcess
from polyscore.processes.clocks import LOG_SNR
from polyscore.samplers.adams import ExponentialAdams
from polyscore.samplers.builder import Builder, Node, Number
from polyscore.samplers.dpm_solver import DPMSolverSinglestep
from polyscore.samplers.forms import EXACT, Move, NoiseForm, Rule, ready, weights
from polyscore.samplers.plan import Plan
from polyscore.samplers.unipc import UniPC

__all__ = ["OrderedAdams", "OrderedSinglestep", "PartialUniPC", "ReverseNoiseForm", "SDECurvature", "no_length"]


def no_length(t: Node, u: Node) -> bool:
    """Whether two nodes have the same levels."""
    return bool(np.all(t.a == u.a) and np.all(t.s == u.s))


@dataclass(frozen=True)
class ReverseNoiseForm(NoiseForm):
    """Hold eps on the reverse SDE with tau times its noise: the drift of eps grows by 1 + tau^2 (SDE-DPM-Solver, SA-Solver)."""

    tau: float = 1.0

    def move(self, process: GaussianProcess, t: Node, u: Node) -> Move:
        keep, gain, _ = super().move(process, t, u)
        noise = self.tau * u.s * np.sqrt(np.maximum((u.a * t.s / (t.a * u.s)) ** 2 - 1, 0.0))
        return Move(keep, (1 + self.tau**2) * gain, noise)


@dataclass(frozen=True)
class SDECurvature(Rule):
    """Three nodes on the reverse SDE as diffusers writes them: curvature (mu_2 - 2 a_u) takes the place of curvature mu_2.

    a_u follows from the other moments: with H = 2h, mu_0 = a (1 - e^-H), nu = a H and mu_1 = a - mu_0 / H.
    """

    def __call__(self, mu: list[Number], nu: Number) -> list[Number]:
        if len(mu) != 3:
            return super().__call__(mu, nu)
        return [mu[0], mu[1], self.curvature * (mu[2] - 2 * mu[1] * nu / (nu - mu[0]))]


@dataclass(frozen=True)
class OrderedAdams(ExponentialAdams):
    """Exponential Adams in ln(a/s) whose last step may be of order 1 or have no length (the state stays, the call is made).

    Attributes:
        euler_at_final: the last step is of order 1.
    """

    euler_at_final: bool = False

    def plan(self, process: GaussianProcess, times: Sequence[float]) -> Plan:
        b, clock, past = Builder(process, times), LOG_SNR, list[tuple[Node, int]]()
        steps = len(b.nodes) - 1
        for i, t, u in b.steps:
            past = [(t, b.call(t, form=self.form.remember(process, t))), *past][: self.order]
            if no_length(t, u):
                b.move(u, keep=1.0, ends=True)
                continue
            n = min(len(past), steps - i) if steps < self.tail else len(past)
            n = 1 if self.euler_at_final and i == steps - 1 else n
            stencil = past[: n if ready(self.form, clock, t, u) else 1]
            w = weights(process, self.form, clock, t, u, [node for node, _ in stencil], self.rule)
            keep, _, noise = self.form.move(process, t, u)
            b.move(u, keep=keep, preds={call: c for (_, call), c in zip(stencil, w, strict=True)}, noise=noise, ends=True)
        return b.plan()


@dataclass(frozen=True)
class OrderedSinglestep(DPMSolverSinglestep):
    """Singlestep DPM-Solver in blocks of `order` intervals; on the reverse SDE every interval of a block gets fresh noise.

    Attributes:
        falling: the last block falls to orders 2 and 1; otherwise the number of steps is a multiple of the order.
        three: the rule of the third stage.
    """

    falling: bool = True
    three: Rule = EXACT

    def plan(self, process: GaussianProcess, times: Sequence[float]) -> Plan:
        b, place = Builder(process, times), 0
        for size in self._sizes(len(times) - 1, bool(b.nodes[-1].s > 0)):
            self.block(b, b.nodes[place : place + size + 1], on_grid=True)
            place += size
        return b.plan()

    def _sizes(self, steps: int, open_end: bool) -> list[int]:
        if not self.falling and steps % self.order == 0 and open_end:
            return [self.order] * (steps // self.order)
        whole, left = divmod(steps - 1, self.order)
        tail = [2] if left == 1 and self.order == 3 and open_end else [1, 1] if left == 1 else [*range(left, 0, -1), 1]
        return [self.order] * whole + tail

    def block(self, b: Builder, nodes: Sequence[Node], *, on_grid: bool, noise: Number = 0.0) -> None:
        start, calls = nodes[0], list[int]()
        for k, (at, to) in enumerate(pairwise(nodes)):
            calls.append(b.call(at, form=self.form.remember(b.process, at)))
            if k == 0:
                b.move(start, keep={0: 1.0}, into=1)
            use = self.last if k == 2 else tuple(range(k + 1))
            rule = self.rule if k == 1 else self.three
            w = weights(b.process, self.form, LOG_SNR, start, to, [nodes[j] for j in use], rule)
            keep, _, fresh = self.form.move(b.process, start, to)
            b.move(to, keep={1: keep}, preds={calls[j]: c for j, c in zip(use, w, strict=True)}, noise=fresh, ends=on_grid)


@dataclass(frozen=True)
class PartialUniPC(UniPC):
    """UniPC without the corrector after the steps named in `disabled`."""

    disabled: tuple[int, ...] = ()

    def correct(self, b: Builder, t: Node, past: list[tuple[Node, int]], used: Mapping[int, Number], call: int) -> None:
        if b.nodes.index(t) - 1 in self.disabled:
            b.move(t, keep={0: 1.0}, into=1)
        else:
            super().correct(b, t, past, used, call)
