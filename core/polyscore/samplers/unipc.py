"""UniPC: a multistep predictor, and a corrector that reuses the next call, which is free (Zhao et al. 2023, arXiv 2302.04867).

Register 0 holds the predicted state, register 1 the corrected one. Step i: call the denoiser at the prediction x_i; correct x_i
with the polynomial through D_i, D_(i-1), ...; predict x_(i+1) from the corrected x_i. Both use the order conditions of
`polyscore.samplers.forms`; with two nodes the one free weight is B(h) / 2: B = e^h - 1 (bh2) or B = h (bh1). The correction is
added to the prediction (it is a difference of weights), so noise that a prediction put into x_i (CFG++) stays in it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from polyscore.processes import GaussianProcess
from polyscore.processes.clocks import LOG_SNR
from polyscore.samplers.builder import X0, Builder, Node, Number
from polyscore.samplers.forms import DATA, EXACT, HALF_GAIN, Form, Rule, ready, weights
from polyscore.samplers.plan import Plan

__all__ = ["UniP", "UniPC"]

Past: TypeAlias = list[tuple[Node, int]]


@dataclass(frozen=True)
class UniP:
    """UniPC's predictor alone; order 1 is DDIM, order 2 with bh2 is DPM-Solver++ 2M.

    Attributes:
        order: number of predictions used.
        form: `DATA` or `NOISE`.
        bh: the rule for two nodes: `HALF_GAIN` is bh2, `HalfStep()` is bh1.
        tail: plans of fewer steps end at order ..., 2, 1; the original does so always.
    """

    order: int = 2
    form: Form = DATA
    bh: Rule = HALF_GAIN
    tail: float = float("inf")

    def plan(self, process: GaussianProcess, times: Sequence[float]) -> Plan:
        b, past, used = Builder(process, times), list[tuple[Node, int]](), dict[int, Number]()
        steps = len(b.nodes) - 1
        for i, t, u in b.steps:
            call = b.call(t, form=self.form.remember(process, t) if ready(self.form, LOG_SNR, t) else X0)
            self.correct(b, t, past, used, call)
            if not ready(self.form, LOG_SNR, t):
                b.first_order(t, u, made=call, read=1)
                past = []
                continue
            past = [(t, call), *past][: self.order]
            n = min(len(past), steps - i) if steps < self.tail else len(past)
            used = self.weights(b, t, u, past[: n if ready(self.form, LOG_SNR, t, u) else 1])
            b.move(u, keep={1: self.form.move(process, t, u).keep}, preds=used, ends=True)
        return b.plan()

    def correct(self, b: Builder, t: Node, past: Past, used: Mapping[int, Number], call: int) -> None:
        """Register 1 = the corrected state at t: for the predictor alone the prediction itself."""
        b.move(t, keep={0: 1.0}, into=1)

    def weights(self, b: Builder, t: Node, u: Node, stencil: Past) -> dict[int, Number]:
        """Of the calls of a stencil, for the step from t to u."""
        rule = self.bh if len(stencil) == 2 else EXACT
        w = weights(b.process, self.form, LOG_SNR, t, u, [node for node, _ in stencil], rule)
        return {call: c for (_, call), c in zip(stencil, w, strict=True)}


@dataclass(frozen=True)
class UniPC(UniP):
    """UniPC-p: predictor and corrector of order p (Zhao et al. 2023, arXiv 2302.04867)."""

    def correct(self, b: Builder, t: Node, past: Past, used: Mapping[int, Number], call: int) -> None:
        """What the step to t would have added with the call at t as one more node."""
        correction: Mapping[int, Number] = {}
        if past and ready(self.form, LOG_SNR, past[0][0], t):
            better = self.weights(b, past[0][0], t, [*past[: len(used)], (t, call)])
            correction = {made: c - used.get(made, 0.0) for made, c in better.items()}
        b.move(t, keep={0: 1.0}, preds=correction, into=1)
