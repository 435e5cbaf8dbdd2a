"""What the exponential integrators share: three exact forms of the probability flow, and one rule for their weights.

For z = x - b y = a x0 + s eps each form holds one quantity q constant, or interpolates it, and integrates the rest exactly:

    DATA       z_u = (s_u/s_t) z_t + s_u int D d(a/s)           q = D, the prediction of x0
    NOISE      z_u = (a_u/a_t) z_t + a_u int eps d(s/a)         q = eps
    VELOCITY   z_u = z_t + int v dt                             q = v = a' D + s' eps

With p the polynomial through q at n nodes in a clock c, int p dm = sum_j w_j q_j; the weights solve the order conditions

    sum_j w_j r_j^k = mu_k,  k < n,   r_j = (c_j - c_t) / (c_u - c_t),   mu_k = int r^k dm,

mu_0 the exact coefficient of a constant q ("gain"), the other moments by Gauss-Legendre quadrature in the clock. Published
methods that are not this polynomial exactly differ in a moment: a `Rule` maps the exact moments to theirs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
import torch

from polyscore.processes import Coefs, GaussianProcess
from polyscore.processes.clocks import TIME, Clock
from polyscore.samplers.builder import X0, Node, Number, eps_form, velocity_form

__all__ = [
    "DATA",
    "EXACT",
    "HALF_CURVATURE",
    "HALF_GAIN",
    "HALF_STEP",
    "NOISE",
    "VELOCITY",
    "DataForm",
    "Form",
    "Move",
    "NoiseForm",
    "Rule",
    "VelocityForm",
    "clock_of",
    "ready",
    "weights",
]

_POINTS, _WEIGHTS = (np.append(x / 2, last) for x, last in zip(np.polynomial.legendre.leggauss(64), (0.5, 0.0), strict=True))
_POINTS = _POINTS + 0.5  # on [0, 1], the end too, with weight 0


class Move(NamedTuple):
    """z_u = keep z_t + gain q + noise eps for constant q."""

    keep: Number
    gain: Number
    noise: Number


class Form(Protocol):
    """A form of the flow. `opens`: it is finite at a_t = 0; `closes`: it is finite at s_u = 0."""

    opens: bool
    closes: bool

    def remember(self, process: GaussianProcess, node: Node) -> tuple[Number, Number, Number]:
        """(cx, cd, cy) of q = cx x + cd D + cy y at a node."""
        ...

    def move(self, process: GaussianProcess, t: Node, u: Node) -> Move:
        """The step for constant q."""
        ...

    def density(self, sigma: Number, slope: Number) -> Number:
        """dm / dc up to a constant factor, where sigma = s / a and slope = d sigma / dc."""
        ...


@dataclass(frozen=True)
class DataForm:
    """Hold x0. With eta > 0 the reverse SDE with eta times its noise (1 is DDPM): dm = d(a/s)^(1 + eta)."""

    eta: float = 0.0
    opens, closes = True, False

    def remember(self, process: GaussianProcess, node: Node) -> tuple[Number, Number, Number]:
        return X0

    def move(self, process: GaussianProcess, t: Node, u: Node) -> Move:
        ratio = u.s / t.s
        power = (ratio * _kernel(process, t, u)) ** self.eta if self.eta else 1.0
        return Move(ratio * power, u.a - ratio * power * t.a, u.s * np.sqrt(np.maximum(1 - power**2, 0.0)))

    def density(self, sigma: Number, slope: Number) -> Number:
        return -slope * sigma ** -(2 + self.eta)


@dataclass(frozen=True)
class NoiseForm:
    """Hold eps."""

    opens, closes = False, True

    def remember(self, process: GaussianProcess, node: Node) -> tuple[Number, Number, Number]:
        return eps_form(node)

    def move(self, process: GaussianProcess, t: Node, u: Node) -> Move:
        return Move(u.a / t.a, u.s - u.a / t.a * t.s, 0.0)

    def density(self, sigma: Number, slope: Number) -> Number:
        return slope


@dataclass(frozen=True)
class VelocityForm:
    """Hold v; its clock is t."""

    opens, closes = True, True

    def remember(self, process: GaussianProcess, node: Node) -> tuple[Number, Number, Number]:
        return velocity_form(process, node)

    def move(self, process: GaussianProcess, t: Node, u: Node) -> Move:
        return Move(1.0, u.t - t.t, 0.0)

    def density(self, sigma: Number, slope: Number) -> Number:
        return np.ones_like(sigma)


@dataclass(frozen=True)
class Rule:
    """From the exact moments to those of a method.

    With two nodes mu_1 becomes exact mu_1 + gain mu_0 + edge nu, where nu is mu_0 with the integrand's value at u all along;
    with three mu_2 is multiplied by curvature.
    """

    exact: float = 1.0
    gain: float = 0.0
    edge: float = 0.0
    curvature: float = 1.0

    def __call__(self, mu: list[Number], nu: Number) -> list[Number]:
        if len(mu) == 2:
            return [mu[0], self.exact * mu[1] + self.gain * mu[0] + self.edge * nu]
        return [*mu[:2], *(self.curvature * m for m in mu[2:])]


DATA, NOISE, VELOCITY = DataForm(), NoiseForm(), VelocityForm()
EXACT = Rule()
HALF_GAIN = Rule(0.0, 0.5, 0.0, 0.5)  # DPM-Solver's "midpoint"; with two nodes UniPC's B(h) = e^h - 1 (bh2)
HALF_STEP = Rule(0.0, 0.0, 0.5)  # UniPC's B(h) = h (bh1)
HALF_CURVATURE = Rule(curvature=0.5)  # DPM-Solver's multistep "heun"


def _kernel(process: GaussianProcess, t: Node, u: Node) -> Number:
    now, earlier = (Coefs(*(torch.as_tensor(c) for c in node[1:])) for node in (t, u))
    return process.kernel(now, earlier).numpy()[()]


def clock_of(form: Form, clock: Clock | None, process: GaussianProcess) -> Clock:
    """The clock in use: t for velocities, else the one given, else the process's own."""
    return TIME if isinstance(form, VelocityForm) else process.default_clock if clock is None else clock


def ready(form: Form, clock: Clock, *nodes: Node) -> bool:
    """Whether `form` is finite from the first node to the last, and the clock at all of them."""
    t, u = nodes[0], nodes[-1]
    regular = np.all(t.s > 0) and (form.opens or np.all(t.a > 0)) and (form.closes or np.all(u.s > 0))
    return bool(regular) and all(np.all(np.isfinite(clock.value(node.t, node.a, node.s))) for node in nodes)


def weights(
    process: GaussianProcess, form: Form, clock: Clock, t: Node, u: Node, nodes: Sequence[Node], rule: Rule = EXACT
) -> list[Number]:
    """Weights of q at `nodes` for the step from t to u (module docstring)."""
    gain = form.move(process, t, u).gain
    if len(nodes) == 1:
        return [gain]
    now, end, *places = (clock.value(node.t, node.a, node.s) for node in (t, u, *nodes))
    along = now + _POINTS.reshape(-1, *[1] * np.ndim(end)) * (end - now)
    density = form.density(*clock.level(process, along))
    raw = np.tensordot(_POINTS ** np.arange(len(nodes))[:, None] * _WEIGHTS, density, 1)
    mu = rule([gain, *(gain * m / raw[0] for m in raw[1:])], gain * density[-1] / raw[0])
    table = np.array([[((c - now) / (end - now)) ** k for c in places] for k in range(len(nodes))], dtype=np.float64)
    right = np.stack(np.broadcast_arrays(*mu), -1)[..., None]
    solved = np.linalg.solve(np.moveaxis(table, (0, 1), (-2, -1)), right)[..., 0]
    return list(np.moveaxis(solved, -1, 0))
