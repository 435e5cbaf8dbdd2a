"""Pseudo-numerical methods: constant Adams-Bashforth weights on eps, whatever the spacing (Liu et al. 2022, arXiv 2202.09778).

Every move is the transfer x_u = (a_u / a_t) x_t + (s_u - s_t a_u / a_t) e of DDIM with a combination e of remembered outputs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from polyscore.errors import InputError
from polyscore.processes import GaussianProcess
from polyscore.samplers.builder import Builder, Node, Number, eps_form
from polyscore.samplers.plan import Plan

__all__ = ["ADAMS", "IPNDM", "IndexPLMS", "IndexPNDM"]

ADAMS = ((1.0,), (3 / 2, -1 / 2), (23 / 12, -16 / 12, 5 / 12), (55 / 24, -59 / 24, 37 / 24, -9 / 24))


@dataclass(frozen=True)
class _Transfer:
    """The remembered quantity F and the move it makes: F = eps, or v = a eps - s x0, turned into eps where the move starts."""

    output: Literal["eps", "v"]

    def remember(self, node: Node) -> tuple[Number, Number, Number]:
        if self.output == "eps":
            return eps_form(node)
        return node.a / node.s, -(node.a**2) / node.s - node.s, -node.b * node.a / node.s

    def move(self, t: Node, u: Node) -> tuple[Number, Number]:
        """Coefficients of x_t and F."""
        ratio = u.a / t.a
        gain = u.s - t.s * ratio
        return (ratio, gain) if self.output == "eps" else (ratio + gain * t.s, gain * t.a)


@dataclass(frozen=True)
class IndexPLMS:
    """PNDM without Runge-Kutta steps (latent diffusion): the first step is made twice, then Adams-Bashforth to order 4.

    Steps go from index i to i - N // n. The grid's second time is evaluated twice: once after a step of DDIM, whose output is
    averaged with the first for a new first step, and once in its own right.

    Attributes:
        total: N.
        floor: the index that stands for those below 0: -1 clean data, 0 the table's first entry.
        output: what is combined, "eps" or "v".
        stride: N // n of the whole run, where the times are a part of it; default N // (number of steps).
    """

    total: int = 1000
    floor: int = 0
    output: Literal["eps", "v"] = "eps"
    stride: int | None = None
    order: int = 4

    def plan(self, process: GaussianProcess, times: Sequence[float]) -> Plan:
        b, how = Builder(process, times), _Transfer(self.output)
        stride = self.stride or self.total // (len(times) - 1)
        history = list[int]()
        for i, t, _ in b.steps:
            if i == 1:
                self._again(b, how, history[0], t, stride)
            history.append(b.call(t, form=how.remember(t)))
            below = self._node(b, round(t.t * self.total) - 1 - stride)
            keep, gain = how.move(t, below)
            used = history[:-5:-1]
            if i == 0:
                b.move(t, keep={0: 1.0}, into=1)
            b.move(below, keep=keep, preds={c: gain * w for c, w in zip(used, ADAMS[len(used) - 1], strict=True)}, ends=True)
        return b.plan()

    def _again(self, b: Builder, how: _Transfer, first: int, t: Node, stride: int) -> None:
        start = self._node(b, round(t.t * self.total) - 1 + stride)
        keep, gain = how.move(start, t)
        second = b.call(t, form=how.remember(t))
        b.move(t, keep={1: keep}, preds={first: gain / 2, second: gain / 2})

    def _node(self, b: Builder, index: int) -> Node:
        return b.node(((index if index >= 0 else self.floor) + 1) / self.total)


@dataclass(frozen=True)
class IndexPNDM(IndexPLMS):
    """PNDM: three pseudo Runge-Kutta steps of order 4, then linear multistep (Liu et al. 2022, arXiv 2202.09778)."""

    def plan(self, process: GaussianProcess, times: Sequence[float]) -> Plan:
        if len(times) < 5:
            raise InputError(f"PNDM: {len(times) - 1} steps, expected at least 4 (three of them Runge-Kutta steps)")
        b, how = Builder(process, times), _Transfer(self.output)
        stride = self.stride or self.total // (len(times) - 1)
        half, history = stride // 2, list[int]()
        for i, t, u in b.steps:
            if i < 3:
                history.append(self._runge_kutta(b, how, t, u, half))
                continue
            history.append(b.call(t, form=how.remember(t)))
            below = self._node(b, round(t.t * self.total) - 1 - stride)
            keep, gain = how.move(t, below)
            b.move(below, keep=keep, preds={c: gain * w for c, w in zip(history[:-5:-1], ADAMS[3], strict=True)}, ends=True)
        return b.plan()

    def _runge_kutta(self, b: Builder, how: _Transfer, t: Node, u: Node, half: int) -> int:
        """Evaluations at t, twice half a stride above u, and at u; the state starts anew from t each time."""
        mid = self._node(b, round(u.t * self.total) - 1 + half)
        calls = [b.call(t, form=how.remember(t))]
        b.move(t, keep={0: 1.0}, into=1)
        targets = (self._node(b, round(t.t * self.total) - 1 - half), mid, self._node(b, round(mid.t * self.total) - 1 - half))
        for target, at in zip(targets, (mid, mid, u), strict=True):
            keep, gain = how.move(t, target)
            b.move(target, keep={1: keep}, preds={calls[-1]: gain})
            calls.append(b.call(at, form=how.remember(at)))
        keep, gain = how.move(t, u)
        weights = {c: gain * w for c, w in zip(calls, (1 / 6, 1 / 3, 1 / 3, 1 / 6), strict=True)}
        b.move(u, keep={1: keep}, preds=weights, ends=True)
        return calls[0]


@dataclass(frozen=True)
class IPNDM:
    """Adams-Bashforth on eps from the first step (Zhang and Chen 2023, arXiv 2204.13902).

    Where a_t = 0 diffusers drops x0 from the first step, which leaves x_u = s_u eps.
    """

    order: int = 4

    def plan(self, process: GaussianProcess, times: Sequence[float]) -> Plan:
        b, how = Builder(process, times), _Transfer("eps")
        history = list[int]()
        for _, t, u in b.steps:
            history.append(b.call(t, form=how.remember(t)))
            used = history[: -self.order - 1 : -1]
            keep, gain = how.move(t, u) if t.a > 1e-8 else (0.0, u.s)
            b.move(u, keep=keep, preds={c: gain * w for c, w in zip(used, ADAMS[len(used) - 1], strict=True)}, ends=True)
        return b.plan()
