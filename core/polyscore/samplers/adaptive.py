r"""Samplers that choose their own steps: Dormand-Prince on the probability flow, and adaptive DPM-Solver.

Of the time grid only the ends are used (pass `steps=1`); a frame is an accepted step. Where the process has no noise at the last
time (s = 0, where the flow is singular) they stop at `end` > 0 and take the step of the data prediction from there. The step size
is one for the batch, so unlike with every other sampler a sample depends on its batch, within the tolerance; choosing it needs
the error as a number, one device sync an attempt. `state.memory.nfe` counts the evaluations of the denoiser.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor

from polyscore import ode
from polyscore.denoisers.base import Prediction, begin
from polyscore.errors import InputError
from polyscore.noise import Silent
from polyscore.processes import GaussianProcess
from polyscore.processes.probability_flow import Affine, affine, probability_flow
from polyscore.samplers.stepper import Run, StepState
from polyscore.state import Given, leaf_given

__all__ = ["RK45", "AdaptiveDPMSolver"]


class _Leaf(NamedTuple):
    name: str
    process: GaussianProcess
    given: Given


def _leaves(run: Run, x: Any) -> list[_Leaf]:
    if not isinstance(x, Mapping):
        return [_Leaf("", run.process, run.given)]
    return [_Leaf(n, run.process[n], leaf_given(run.given, n)) for n in x if n not in run.held]


def _goal(run: Run, leaves: Sequence[_Leaf], end: float) -> float:
    """Where the integration stops: the last time, or `end` where some leaf has no noise at the last time."""
    last = run.times[-1]
    return max(last, end) if any((leaf.process.coefs_of(last).s == 0).any() for leaf in leaves) else last


def _finish(run: Run, state: StepState, i: int) -> StepState:
    """The step of the data prediction to the last time."""
    begin(run.denoiser, i, 0)
    t, u = run.when(state.x, state.t), run.when(state.x, run.times[-1])
    prediction = run.denoiser(state.x, t, run.given)
    x = run.process.transition(state.x, prediction, t, u, eta=0.0, given=run.given, noise=Silent())
    return StepState(x, run.times[-1], prediction, state.memory._replace(nfe=state.memory.nfe + 1))


@dataclass(frozen=True)
class RK45:
    """Probability-flow ODE by Dormand-Prince 5(4), as score_sde's and SGMSE's ODE samplers (Song et al. 2021, arXiv 2011.13456).

    Args:
        rtol, atol: tolerances of the error, in the norm of `polyscore.ode`.
        end: where to leave the ODE for the last step, if the process has no noise at the last time.

    Mapping states are integrated together. A prediction's own eps (CFG++) has no meaning here and is not read.
    """

    rtol: float = 1e-5
    atol: float = 1e-5
    end: float = 1e-3

    def init(self, run: Run, x: Any) -> StepState:
        leaves = _leaves(run, x)
        parts = tuple(x[leaf.name] for leaf in leaves) if isinstance(x, Mapping) else (x,)
        field = _Field(run, x, leaves, 0)
        point = ode.start(field, parts, run.times[0], _goal(run, leaves, self.end), rtol=self.rtol, atol=self.atol)
        return StepState(x, run.times[0], field.prediction, point)

    def step(self, run: Run, state: StepState, i: int) -> StepState:
        leaves = _leaves(run, state.x)
        goal = _goal(run, leaves, self.end)
        if state.t == goal:
            return _finish(run, state, i)
        field = _Field(run, state.x, leaves, i)
        point = ode.advance(field, state.memory, goal, rtol=self.rtol, atol=self.atol)
        return StepState(field.joined(point.state), point.t, field.prediction, point)

    def done(self, run: Run, state: StepState, i: int) -> bool:
        return state.t == run.times[-1]


class _Field:
    """The probability flow of the moving leaves as an `ode.Field`; keeps the last prediction for the frame."""

    def __init__(self, run: Run, x: Any, leaves: Sequence[_Leaf], i: int) -> None:
        self.run, self.x, self.leaves, self.i = run, x, leaves, i
        self.calls = 0
        self.prediction = Prediction(None)

    def joined(self, parts: ode.Parts) -> Any:
        if not isinstance(self.x, Mapping):
            return parts[0]
        return {**self.x, **{leaf.name: part for leaf, part in zip(self.leaves, parts, strict=True)}}

    def __call__(self, times: Sequence[float]) -> list[ode.Slope]:
        like = next(iter(self.x.values())) if isinstance(self.x, Mapping) else self.x
        rows = list(zip(*(probability_flow(leaf.process, times, like) for leaf in self.leaves), strict=True))
        return [lambda parts, t=t, row=row: self.slope(parts, t, row) for t, row in zip(times, rows, strict=True)]  # type: ignore[misc]

    def slope(self, parts: ode.Parts, t: float, rows: tuple[Affine, ...]) -> ode.Parts:
        x = self.joined(parts)
        begin(self.run.denoiser, self.i, self.calls)
        self.calls += 1
        self.prediction = self.run.denoiser(x, self.run.when(x, t), self.run.given)
        x0 = self.prediction.x0
        out = []
        for leaf, part, row in zip(self.leaves, parts, rows, strict=True):
            out.append(affine(row, part, x0[leaf.name] if isinstance(x, Mapping) else x0, leaf.given.y))
        return tuple(out)


class _Stride(NamedTuple):
    """Adaptive DPM-Solver's memory: step in lambda, the last lower-order z, evaluations, rejections."""

    size: float
    lower: Tensor
    nfe: int
    rejected: int


@dataclass(frozen=True)
class AdaptiveDPMSolver:
    r"""DPM-Solver-12 and -23 with adaptive steps in lambda = ln(a / s) (Lu et al. 2022, arXiv 2206.00927; ++: arXiv 2211.01095).

    With (p, q, H) = (a, s, h) and e = eps, or for ++ (p, q, H) = (s, a, -h) and e = x0, every stage of the solvers of orders 1, 2
    and 3 has one form for z = x - b y, with e_k evaluated at lambda + r h,

        z_u = (p_u / p_t) z - q_u [(e^H - 1) e_0 + w (e_k - e_0)],

    w = 0 for order 1, (e^H - 1) / (2 r) for order 2, ((e^H - 1) / H - 1) / r for order 3. The orders p - 1 and p give the error
    E = max over samples of rms((z_p - z_(p-1)) / max(atol, rtol max(|z_(p-1)|, |previous|))); a step with E <= 1 is taken, and
    h <- .9 h E^(-1/p).

    Args:
        order: 3 is DPM-Solver-23, 2 is DPM-Solver-12.
        form: "x0" is DPM-Solver++, "eps" DPM-Solver.
        first: first step in lambda.

    Raises:
        InputError: a mapping state, or a start where lambda is infinite (a = 0 or s = 0).
    """

    order: Literal[2, 3] = 3
    form: Literal["x0", "eps"] = "x0"
    rtol: float = 0.05
    atol: float = 0.0078
    end: float = 1e-3
    first: float = 0.05

    def init(self, run: Run, x: Any) -> StepState:
        if isinstance(x, Mapping):
            raise InputError("AdaptiveDPMSolver: the state is a mapping, expected a tensor; RK45 integrates mapping states")
        if not torch.isfinite(run.process.half_log_snr(run.times[0])).all():
            raise InputError(
                f"AdaptiveDPMSolver: ln(a / s) of {type(run.process).__name__} is infinite at t = {run.times[0]:.6g}; start the "
                "grid below it, for example grid=[0.999, 0.0]"
            )
        b = float(run.process.coefs_of(run.times[0]).b)
        z = x if run.given.y is None else x - b * run.given.y
        return StepState(x, run.times[0], Prediction(None), _Stride(self.first, z, 0, 0))

    def step(self, run: Run, state: StepState, i: int) -> StepState:
        goal = _goal(run, [_Leaf("", run.process, run.given)], self.end)
        if state.t == goal:
            return _finish(run, state, i)
        lam, top = (float(run.process.half_log_snr(t)) for t in (state.t, goal))
        size, lower, nfe, rejected = state.memory
        known: list[Tensor] = []
        while True:
            last = size >= top - lam
            size = min(size, top - lam)
            nodes = self._nodes(run.process, state.t, lam, size, goal if last else None)
            low, high, prediction = self._attempt(run, state.x, nodes, size, i, known)
            nfe += self.order - (1 if rejected > state.memory.rejected else 0)
            free = low if run.given.y is None else low - nodes[-1].b * run.given.y
            scale = torch.maximum(free.abs(), lower.abs()).mul(self.rtol).clamp(min=self.atol)
            error = self.norm(((high - low).abs() / scale).detach())
            factor, accepted = self.control(error) if error == error else (0.1, False)
            size *= factor
            if accepted:
                return StepState(high, nodes[-1].t, prediction, _Stride(size, free, nfe, rejected))
            rejected += 1
            if size < 1e-9:
                raise InputError(
                    f"AdaptiveDPMSolver: the step in lambda fell to {size:.3g} at t = {state.t:.6g}; the denoiser is not finite "
                    f"there, or rtol {self.rtol:g} and atol {self.atol:g} are too small"
                )

    def done(self, run: Run, state: StepState, i: int) -> bool:
        return state.t == run.times[-1]

    def norm(self, ratio: Tensor) -> float:
        """E of the errors by entry, (B, ...), in units of their tolerances: the largest rms of a sample."""
        return float(ratio.square().flatten(1).mean(1).max().sqrt())

    def control(self, error: float) -> tuple[float, bool]:
        """The factor of the next step size, and whether a step of error E is taken."""
        return 0.9 * max(error, 1e-8) ** (-1 / self.order), error <= 1

    def _nodes(self, process: GaussianProcess, t: float, lam: float, size: float, goal: float | None) -> list[_Node]:
        """The step's start, its inner nodes, and its end."""
        lams = torch.tensor([lam + k / self.order * size for k in range(1, self.order + 1)], dtype=torch.float64)
        times = [t, *process.time_at_sigma(torch.exp(-lams)).tolist()]
        times[-1] = times[-1] if goal is None else goal
        coefs = process.coefs_of(torch.tensor(times, dtype=torch.float64))
        return [_Node(*row) for row in zip(times, *(c.expand(len(times)).tolist() for c in coefs), strict=True)]

    def _attempt(
        self, run: Run, x: Tensor, nodes: Sequence[_Node], size: float, i: int, known: list[Tensor]
    ) -> tuple[Tensor, Tensor, Prediction]:
        """The states of orders p - 1 and p at the last node; `known` keeps the first evaluation for another attempt."""
        first, last, y = nodes[0], nodes[-1], run.given.y
        prediction = Prediction(None)

        def evaluate(x: Tensor, node: _Node, stage: int) -> Tensor:
            nonlocal prediction
            begin(run.denoiser, i, stage)
            prediction = run.denoiser(x, node.t, run.given)
            x0: Tensor = prediction.x0
            return x0 if self.form == "x0" else affine((1 / node.s, -node.a / node.s, -node.b / node.s), x, x0, y)

        def move(node: _Node, reach: float, weight: float = 0.0, change: Tensor | None = None) -> Tensor:
            (p, q), (p_first, _) = node.pair(self.form), first.pair(self.form)
            out = affine((p / p_first, -q * math.expm1(sign * reach * size), node.b - p / p_first * first.b), x, known[0], y)
            return out if change is None else torch.add(out, change, alpha=-q * weight)

        def curve(reach: float, r: float) -> float:
            h = sign * reach * size
            return reach / r * (math.expm1(h) / h - 1)

        sign = -1.0 if self.form == "x0" else 1.0
        if not known:
            known.append(evaluate(x, first, 0))
        r = 1 / self.order
        change = evaluate(move(nodes[1], r), nodes[1], 1) - known[0]
        second = move(last, 1.0, math.expm1(sign * size) / (2 * r), change)
        if self.order == 2:
            return move(last, 1.0), second, prediction
        change = evaluate(move(nodes[2], 2 * r, curve(2 * r, r), change), nodes[2], 2) - known[0]
        return second, move(last, 1.0, curve(1.0, 2 * r), change), prediction


class _Node(NamedTuple):
    t: float
    a: float
    b: float
    s: float

    def pair(self, form: str) -> tuple[float, float]:
        """(p, q): the coefficient that z keeps, and that of the remembered prediction."""
        return (self.s, self.a) if form == "x0" else (self.a, self.s)
