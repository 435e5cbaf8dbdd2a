r"""An adaptive integrator of ordinary differential equations: Dormand and Prince's embedded pair of orders 5 and 4.

A state is a tuple of tensors (leaves, a log-density, ..). A step from t of size h forms k_i = f(t + c_i h, y + h sum_j a_ij k_j).
The seventh k is the slope at the new point and serves the next step. With the embedded estimate e of the local error,

    |e| = rms(e / (atol + rtol max(|y|, |y_new|)))   over all entries of all tensors,

a step is accepted when |e| < 1 and the size is multiplied by .9 |e|^(-1/5), kept within [.2, 10] (at most 1 after a rejection).
Dormand and Prince 1980; step control and first step as in Hairer, Norsett and Wanner, Solving ODEs I, II.4, which is also what
scipy's RK45 does, so the number of evaluations agrees. Choosing the step needs the error as a number: one device sync an attempt.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeAlias

import torch
from torch import Tensor

from polyscore.errors import InputError

__all__ = ["Field", "Parts", "Point", "Slope", "advance", "integrate", "start"]

Parts: TypeAlias = tuple[Tensor, ...]
Slope: TypeAlias = Callable[[Parts], Parts]
Field: TypeAlias = Callable[[Sequence[float]], Sequence[Slope]]
"""Right-hand sides at several times at once: the coefficients of one step are cheapest computed together."""

_C = (1 / 5, 3 / 10, 4 / 5, 8 / 9, 1.0)
_A = (
    (1 / 5,),
    (3 / 40, 9 / 40),
    (44 / 45, -56 / 15, 32 / 9),
    (19372 / 6561, -25360 / 2187, 64448 / 6561, -212 / 729),
    (9017 / 3168, -355 / 33, 46732 / 5247, 49 / 176, -5103 / 18656),
)
_B = (35 / 384, 0.0, 500 / 1113, 125 / 192, -2187 / 6784, 11 / 84)
_E = (71 / 57600, 0.0, -71 / 16695, 71 / 1920, -17253 / 339200, 22 / 525, -1 / 40)  # order 5 minus order 4


class Point(NamedTuple):
    """Where an integration is: time, state, slope there, size of the next attempt, evaluations and rejections so far."""

    t: float
    state: Parts
    slope: Parts
    size: float
    nfe: int
    rejected: int = 0


def start(field: Field, state: Parts, t: float, end: float, *, rtol: float, atol: float) -> Point:
    """The point at t with a first step size for integrating towards `end` (two evaluations)."""
    slope = field([t])[0](state)
    scale = tuple(atol + rtol * y.abs() for y in state)
    d0, d1 = _rms(state, scale), _rms(slope, scale)
    span = abs(end - t)
    h = min(1e-6 if min(d0, d1) < 1e-5 else 0.01 * d0 / d1, span)
    towards = math.copysign(h, end - t)
    probe = field([t + towards])[0](_along(state, (slope,), (towards,)))
    d2 = _rms(tuple(p - k for p, k in zip(probe, slope, strict=True)), scale) / h if h else 0.0
    guess = max(1e-6, h * 1e-3) if max(d1, d2) <= 1e-15 else (0.01 / max(d1, d2)) ** 0.2
    return Point(t, state, slope, min(100 * h, guess, span), 2)


def advance(field: Field, point: Point, end: float, *, rtol: float, atol: float) -> Point:
    """One accepted step towards `end`, which is not passed.

    Raises:
        InputError: the step size has shrunk to nothing: the field is not finite, or the tolerances are below the precision.
    """
    size, rejected, nfe = point.size, 0, point.nfe
    while True:
        size = min(size, abs(end - point.t))
        last = size == abs(end - point.t)
        u = end if last else point.t + math.copysign(size, end - point.t)
        h = u - point.t
        if abs(h) <= 10 * abs(math.ulp(point.t)):
            raise InputError(
                f"ode: the step size fell to {size:.3g} at t = {point.t:.6g} with rtol {rtol:g} and atol {atol:g}; the field is "
                "not finite there, or the tolerances are below the precision of the state: give larger ones, or a float64 state"
            )
        slopes = field([point.t + c * h for c in _C] + [u])
        ks, state = [point.slope], point.state
        for row, slope in zip((*_A, _B), slopes, strict=True):
            state = _along(point.state, ks, [h * a for a in row])
            ks.append(slope(state))
        nfe += len(slopes)
        scale = tuple(atol + rtol * torch.maximum(y.abs(), x.abs()) for y, x in zip(point.state, state, strict=True))
        error = _rms(_along(tuple(torch.zeros_like(y) for y in state), ks, [h * e for e in _E]), scale)
        if error < 1:
            factor = min(10.0, 0.9 * error**-0.2) if error else 10.0
            return Point(u, state, ks[-1], size * (min(1.0, factor) if rejected else factor), nfe, point.rejected + rejected)
        size *= max(0.2, 0.9 * error**-0.2) if math.isfinite(error) else 0.2
        rejected += 1


def integrate(field: Field, state: Parts, t: float, end: float, *, rtol: float, atol: float) -> Point:
    """The point at `end`."""
    point = start(field, state, t, end, rtol=rtol, atol=atol)
    while point.t != end:
        point = advance(field, point, end, rtol=rtol, atol=atol)
    return point


def _along(state: Parts, ks: Sequence[Parts], weights: Sequence[float]) -> Parts:
    """state + sum_j weights_j k_j."""
    out = list(state)
    for k, weight in zip(ks, weights, strict=True):
        if weight != 0.0:
            out = [torch.add(part, slope, alpha=weight) for part, slope in zip(out, k, strict=True)]
    return tuple(out)


def _rms(parts: Parts, scale: Parts) -> float:
    total = sum(((part / s).abs().square().sum() for part, s in zip(parts, scale, strict=True)), torch.zeros(()))
    return math.sqrt(float(total.detach()) / sum(part.numel() for part in parts))
