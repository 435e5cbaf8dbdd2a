"""How a solver writes its plan: nodes with coefficients, and a builder that keeps the book-keeping.

In z = x - b y every process is a plain (a, s) diffusion, so a solver writes only coefficients of states and predictions; the
builder adds the y column that makes z exact: y_coef = b_u - sum_k states_k b_(time of register k).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from polyscore.processes import GaussianProcess
from polyscore.processes.clocks import Clock, Time
from polyscore.samplers.plan import Coef, Plan, Row, Stage

__all__ = ["Builder", "Node", "Solver", "X0", "eps_form", "nodes_of", "velocity_form"]

Number = Any  # float64 scalar or array: numpy arithmetic serves both
X0 = (0.0, 1.0, 0.0)


class Node(NamedTuple):
    """A time and the process's coefficients there, as float64 numbers (arrays for per-frequency processes)."""

    t: float
    a: Number
    b: Number
    s: Number

    @property
    def lam(self) -> Number:
        """lambda = ln(a / s), half the log-SNR."""
        with np.errstate(divide="ignore"):
            return np.log(self.a) - np.log(self.s)

    @property
    def sigma(self) -> Number:
        """s / a."""
        with np.errstate(divide="ignore"):
            return np.divide(self.s, self.a)


class Solver(Protocol):
    """Turns a process and a time grid into a plan."""

    def plan(self, process: GaussianProcess, times: Sequence[float]) -> Plan: ...


def nodes_of(process: GaussianProcess, times: Sequence[float] | NDArray[np.float64]) -> list[Node]:
    """The nodes of a time grid, computed in one call."""
    t = torch.tensor(list(times), dtype=torch.float64)
    a, b, s = (c.expand(len(t), *c.shape[1:]).numpy() for c in process.coefs_of(t))
    return [Node(float(t[i]), a[i], b[i], s[i]) for i in range(len(t))]


def eps_form(node: Node) -> tuple[Number, Number, Number]:
    """Remember eps = (x - a D - b y) / s."""
    return 1 / node.s, -node.a / node.s, -node.b / node.s


def velocity_form(process: GaussianProcess, node: Node) -> tuple[Number, Number, Number]:
    """Remember z' = a' D + s' eps, the probability flow of z = x - b y."""
    rates = process.rates(node.t)
    da, ds = rates.da.numpy(), rates.ds.numpy()
    cx, cd, cy = eps_form(node)
    return ds * cx, da + ds * cd, ds * cy


def _coef(value: Number) -> Coef:
    if isinstance(value, float):  # also numpy's scalars: the common case, and the table is built on every call of `sample`
        return float(value)
    array = np.asarray(value, dtype=np.float64)
    return float(array) if array.ndim == 0 else _tuple(array.tolist())


def _tuple(value: Any) -> Any:
    return tuple(_tuple(v) for v in value) if isinstance(value, list) else value


def _row(pairs: Iterator[tuple[int, Number]]) -> Row:
    return tuple((k, c) for k, c in ((k, _coef(v)) for k, v in pairs) if c != 0.0)


class Builder:
    """Collects stages.

    Usage: `call(node)` evaluates a register there; `move(node, ...)` writes one; `plan()` closes the table.
    """

    def __init__(self, process: GaussianProcess, times: Sequence[float]) -> None:
        self.process = process
        self.nodes = nodes_of(process, times)
        self._places = defaultdict[int, Node](lambda: self.nodes[0], {0: self.nodes[0]})  # all registers hold the initial state
        self._stages: list[Stage] = []
        self._pending: dict[str, Any] = {}
        self._calls = 0

    @property
    def steps(self) -> Iterator[tuple[int, Node, Node]]:
        """(i, node, next node) over the grid."""
        return ((i, t, u) for i, (t, u) in enumerate(zip(self.nodes[:-1], self.nodes[1:], strict=True)))

    def node(self, t: float) -> Node:
        """A node between those of the grid."""
        return nodes_of(self.process, [t])[0]

    def node_at_sigma(self, sigma: Number) -> Node:
        """The node whose noise level s / a is `sigma`; one level per frequency asks for the mean of the angles atan(sigma)."""
        if np.ndim(sigma) == 0:
            return self.node(float(self.process.time_at_sigma(float(sigma))))
        target, lo, hi = np.arctan(sigma).mean(), 0.0, 1.0
        for _ in range(60):
            node = self.node((lo + hi) / 2)
            lo, hi = (node.t, hi) if np.arctan2(node.s, node.a).mean() < target else (lo, node.t)
        return self.node(hi)

    def between(self, t: Node, u: Node, fraction: float, clock: Clock) -> Node:
        """The node at `fraction` of the way from t to u by a clock; t and u themselves at 0 and 1."""
        if fraction in {0.0, 1.0}:
            return (t, u)[int(fraction)]
        now, end = (clock.value(n.t, n.a, n.s) for n in (t, u))
        place = now + fraction * (end - now)
        return self.node(float(place)) if isinstance(clock, Time) else self.node_at_sigma(clock.level(self.process, place)[0])

    def call(self, node: Node, *, read: int = 0, form: tuple[Number, Number, Number] = X0) -> int:
        """Evaluate the denoiser on register `read` at `node`, remember it in `form`, and return the number of the call."""
        if self._pending:
            raise ValueError("Builder: two calls without a move between them")
        level = (_coef(node.a), _coef(node.b), _coef(node.s))
        self._pending = {"at": node.t, "read": read, "level": level, "form": tuple(_coef(c) for c in form)}
        self._calls += 1
        return self._calls - 1

    def first_order(self, t: Node, u: Node, *, noise: Number = 0.0, read: int = 0, made: int | None = None) -> None:
        """Step from register `read` to 0 as DDIM, which is finite at every end; from s_t = 0 it is the kernel's limit.

        `made` is the number of the call at t (remembered as x0), where it is made already.
        """
        with np.errstate(divide="ignore", invalid="ignore"):
            keep = np.where(t.s > 0, u.s / t.s, 0.0)
        call = self.call(t, read=read) if made is None else made
        fresh = np.where(t.s > 0, noise, u.s)
        self.move(u, keep={read: keep}, preds={call: u.a - keep * t.a}, noise=fresh, ends=True)

    def move(
        self,
        node: Node,
        *,
        keep: Number | Mapping[int, Number] = 0.0,
        preds: Sequence[Number] | Mapping[int, Number] = (),
        noise: Number = 0.0,
        into: int = 0,
        ends: bool = False,
        since: float | None = None,
        y: Number | None = None,
    ) -> None:
        """Write register `into` at `node`.

        Args:
            keep: coefficient of register `into`, or a mapping register -> coefficient.
            preds: coefficients of the remembered predictions, newest first, or by the number of the call.
            noise: coefficient of a fresh draw over the interval from `since` (default: the register's time) to the node's.
            ends: this completes a step of the grid.
            y: coefficient of the end point, where it is not the one that makes z = x - b y exact (Euler-Maruyama in x).
        """
        states = dict(keep) if isinstance(keep, Mapping) else {into: keep}
        states = {k: c for k, c in states.items() if (c != 0.0 if isinstance(c, float) else np.any(np.asarray(c) != 0.0))}
        if y is None:
            y = node.b - sum(c * self._places[k].b for k, c in states.items())
        ages = ((self._calls - 1 - k, c) for k, c in preds.items()) if isinstance(preds, Mapping) else enumerate(preds)
        before = since if since is not None else self._places[next(iter(states), 0)].t
        self._stages.append(
            Stage(
                write=into,
                states=_row(iter(states.items())),
                preds=_row(iter(ages)),
                y=_coef(y),
                noise=_coef(noise),
                span=(before, node.t),
                ends=node.t if ends else None,
                **self._pending,
            )
        )
        self._pending = {}
        self._places[into] = node

    def plan(self) -> Plan:
        """The finished table."""
        ages = [age for stage in self._stages for age, _ in stage.preds]
        return Plan(self.nodes[0].t, tuple(self._stages), max(self._places) + 1, max(ages, default=0) + 1)
