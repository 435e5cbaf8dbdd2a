"""SA-Solver: a stochastic Adams predictor and corrector (Xue et al. 2023, arXiv 2309.05019).

One call a step: predict x_u, call there, correct x_u from x_t with the new prediction and the same noise, go on from that.
Registers: 0 the state, 1 where the step began, 2 its noise.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from polyscore.interchange.clock import StepGrid
from polyscore.interchange.multistep import ReverseNoiseForm, no_length
from polyscore.processes import GaussianProcess
from polyscore.processes.clocks import LOG_SNR
from polyscore.samplers.builder import Builder, Node
from polyscore.samplers.forms import EXACT, HALF_STEP, DataForm, Form, weights
from polyscore.samplers.plan import Plan

__all__ = ["SASolver"]


@dataclass(frozen=True)
class SASolver:
    """Stochastic Adams predictor and corrector in ln(a/s) (Xue et al. 2023, SA-Solver, arXiv 2309.05019).

    One call a step: predict x_u, call there, correct x_u from x_t with the new prediction and the same noise, go on from
    that. Registers: 0 the state, 1 where the step began, 2 its noise. With two nodes x0 uses mu_1 = edge / 2, as the authors'
    code does.

    Attributes:
        predictor_order, corrector_order: nodes of the predictor; of the corrector, the new one included.
        data: interpolate x0; otherwise eps.
        falling: orders fall at the end of the run.
        told: the grid, whose timesteps decide where noise is added.
        window: tau is 1 where the timestep is in this range, else 0.
    """

    told: StepGrid
    predictor_order: int = 2
    corrector_order: int = 2
    data: bool = True
    falling: bool = True
    window: tuple[float, float] = (200, 800)

    @property
    def order(self) -> int:
        """The predictor's."""
        return self.predictor_order

    def plan(self, process: GaussianProcess, times: Sequence[float]) -> Plan:
        b, steps = Builder(process, times), len(times) - 1
        clock, past, most = (
            self.told.clock(process, steps),
            list[tuple[Node, int]](),
            max(self.predictor_order, self.corrector_order - 1),
        )
        form: Form | None = None
        for i, t, u in b.steps:
            begin, form = form, self._form(clock(t.t))
            past = [(t, b.call(t, form=form.remember(process, t))), *past][: most + 1]
            if begin is not None:
                left = steps - i + 2 if self.falling else self.corrector_order
                self._advance(b, begin, past[1][0], t, past[: min(self.corrector_order, left, len(past))], start=1)
            b.move(t, keep={0: 1.0}, into=1)
            if form.move(process, t, u).noise > 0:
                b.move(u, noise=1.0, into=2, since=t.t)
            left = steps - i if self.falling else self.predictor_order
            self._advance(b, form, t, u, past[: min(self.predictor_order, left, len(past))], start=1, ends=True)
        return b.plan()

    def _form(self, timestep: float) -> Form:
        tau = 1.0 if self.window[0] <= timestep <= self.window[1] else 0.0
        return DataForm(eta=tau**2) if self.data else ReverseNoiseForm(tau)

    def _advance(
        self, b: Builder, form: Form, t: Node, u: Node, stencil: list[tuple[Node, int]], *, start: int, ends: bool = False
    ) -> None:
        if no_length(t, u):
            b.move(u, keep={start: 1.0}, ends=ends)
            return
        rule = HALF_STEP if self.data and len(stencil) == 2 else EXACT
        w = weights(b.process, form, LOG_SNR, t, u, [node for node, _ in stencil], rule)
        keep, _, noise = form.move(b.process, t, u)
        b.move(u, keep={start: keep, 2: noise}, preds={call: c for (_, call), c in zip(stencil, w, strict=True)}, ends=ends)
