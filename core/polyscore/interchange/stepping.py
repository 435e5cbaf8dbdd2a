"""One-call steps that the step formula with eta does not cover.

Targets off the grid, other variances, and the re-noising steps of consistency models.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from polyscore.processes import GaussianProcess
from polyscore.samplers.builder import Builder, Node
from polyscore.samplers.plan import Plan

__all__ = ["FlowAncestral", "LargeVariance", "Renoise", "StridedDDIM", "TrajectoryConsistency"]


@dataclass(frozen=True)
class StridedDDIM:
    """DDIM (Song et al. 2021, arXiv 2010.02502) that steps from index i to i - N // n whatever the grid's next node is.

    With trailing or linspace spacing and n not a divisor of N, diffusers evaluates the next step at another index than the
    one it arrived at; the state is passed on as it is. Where the grid's spacing is N // n, this is `DDIM`.

    Attributes:
        total: N.
        floor: the index that stands for those below 0: -1 clean data, 0 the table's first entry.
        eta: scales the standard deviation of the fresh noise.
        stride: N // n of the whole run, where the times are a part of it; default N // (number of steps).
    """

    total: int = 1000
    floor: int = -1
    eta: float = 0.0
    stride: int | None = None
    order: int = 1

    def plan(self, process: GaussianProcess, times: Sequence[float]) -> Plan:
        b = Builder(process, times)
        stride = self.stride or self.total // (len(times) - 1)
        for _, t, _ in b.steps:
            index = round(t.t * self.total) - 1 - stride
            u = b.node(((index if index >= 0 else self.floor) + 1) / self.total)
            step = process.step(t.t, u.t, eta=self.eta)
            b.call(t)
            b.move(u, keep=step.keep.numpy(), preds=[step.data.numpy()], noise=step.noise.numpy(), ends=True)
        return b.plan()


@dataclass(frozen=True)
class LargeVariance:
    """Ancestral steps with the forward kernel's variance 1 - (a_t / a_u)^2 instead of the posterior's.

    It is DDPM's upper choice (Ho et al. 2020, arXiv 2006.11239).
    Nothing is added to the last step from the table's first entry (t <= quiet).
    """

    quiet: float = 0.001
    order: int = 1

    def plan(self, process: GaussianProcess, times: Sequence[float]) -> Plan:
        b = Builder(process, times)
        for _, t, u in b.steps:
            step = process.step(t.t, u.t)
            b.call(t)
            noise = np.sqrt(1 - (t.a / u.a) ** 2) if t.t > self.quiet * (1 + 1e-9) else 0.0
            b.move(u, keep=step.keep.numpy(), preds=[step.data.numpy()], noise=noise, ends=True)
        return b.plan()


@dataclass(frozen=True)
class Renoise:
    """Multistep consistency sampling: x_u = a_u f + s_u eps with f = c_skip x + c_out x0 (Song et al. 2023, arXiv 2303.01469).

    Attributes:
        scaling: 0 uses f = x0; otherwise LCM's boundary c_skip = sd^2 / (i^2 + sd^2), c_out = i / sqrt(i^2 + sd^2) with
            i = scaling * index of the table (Luo et al. 2023, arXiv 2310.04378).
        total: N.
        sigma_data: sd.
        floor: variance that is left out of s_u^2 (a consistency model's sigma_min^2).
        gain: factor of the noise.
    """

    scaling: float = 0.0
    total: int = 1000
    sigma_data: float = 0.5
    floor: float = 0.0
    gain: float = 1.0
    order: int = 1

    def plan(self, process: GaussianProcess, times: Sequence[float]) -> Plan:
        b = Builder(process, times)
        for _, t, u in b.steps:
            skip, out = self._boundary(t)
            b.call(t)
            noise = self.gain * np.sqrt(np.maximum(u.s**2 - self.floor, 0.0))
            b.move(u, keep=u.a * skip, preds=[u.a * out], noise=noise, ends=True)
        return b.plan()

    def _boundary(self, t: Node) -> tuple[float, float]:
        if self.scaling == 0.0:
            return 0.0, 1.0
        i, sd = self.scaling * round(t.t * self.total - 1), self.sigma_data
        return sd**2 / (i**2 + sd**2), i / (i**2 + sd**2) ** 0.5


@dataclass(frozen=True)
class TrajectoryConsistency:
    """Strategic stochastic sampling of TCD: DDIM to index floor((1 - eta) i_u), then noise up to i_u.

    Zheng et al. 2024 (arXiv 2402.19159).

    Attributes:
        eta: 0 is deterministic, 1 re-noises from clean data; the last step lands where it is.
        total: N.
    """

    eta: float = 0.3
    total: int = 1000
    order: int = 1

    def plan(self, process: GaussianProcess, times: Sequence[float]) -> Plan:
        b = Builder(process, times)
        for i, t, u in b.steps:
            low = b.node((np.floor((1 - self.eta) * round(u.t * self.total - 1)) + 1) / self.total)
            last = i == len(times) - 2
            up = 1.0 if last or self.eta == 0 else u.a / low.a
            keep = low.s / t.s
            b.call(t)
            b.move(u, keep=up * keep, preds=[up * (low.a - keep * t.a)], noise=np.sqrt(1 - up**2), ends=True)
        return b.plan()


@dataclass(frozen=True)
class FlowAncestral:
    """Euler-ancestral for a = 1 - s: down to s' = s_u (1 + (s_u / s_t - 1) eta), up by a_u / a' (ComfyUI's RF rule).

    Attributes:
        eta: share of the step that is re-noised; 0 is Euler.
        gain: factor of the noise.
    """

    eta: float = 1.0
    gain: float = 1.0
    order: int = 1

    def plan(self, process: GaussianProcess, times: Sequence[float]) -> Plan:
        b = Builder(process, times)
        for _, t, u in b.steps:
            down = u.s * (1 + (u.s / t.s - 1) * self.eta)
            stochastic = u.s > 1e-8 and self.eta > 0 and self.gain > 0
            up = u.a / (1 - down) if stochastic else 1.0
            noise = np.sqrt(np.maximum(u.s**2 - (down * up) ** 2, 0.0)) if stochastic else 0.0
            b.call(t)
            b.move(u, keep=up * down / t.s, preds=[up * (1 - down / t.s)], noise=self.gain * noise, ends=True)
        return b.plan()
