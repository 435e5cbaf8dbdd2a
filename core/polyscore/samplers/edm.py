"""EDM's stochastic sampler: raise the noise a little, then take a deterministic step (Karras et al. 2022, arXiv 2206.00364)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from polyscore.processes import GaussianProcess
from polyscore.samplers.builder import Builder
from polyscore.samplers.plan import Plan
from polyscore.samplers.runge_kutta import Heun, RungeKutta

__all__ = ["EDMChurn"]


@dataclass(frozen=True)
class EDMChurn:
    """sigma^ = sigma (1 + gamma), gamma = min(s_churn / n, sqrt(2) - 1) for s_min <= sigma <= s_max, else 0 (algorithm 2).

    z / a gains noise of variance s_noise^2 (sigma^^2 - sigma^2); then `inner` steps from sigma^ to the next node. A level above
    the process's last is cut to it.
    """

    s_churn: float = 40.0
    s_min: float = 0.0
    s_max: float = math.inf
    s_noise: float = 1.0
    inner: RungeKutta = field(default_factory=Heun)
    order: int = 1

    def plan(self, process: GaussianProcess, times: Sequence[float]) -> Plan:
        b = Builder(process, times)
        gamma = min(self.s_churn / (len(b.nodes) - 1), math.sqrt(2) - 1)
        for _, t, u in b.steps:
            if gamma > 0 and np.all(np.isfinite(t.sigma) & (t.sigma >= self.s_min) & (t.sigma <= self.s_max)):
                raised = b.node_at_sigma(t.sigma * (1 + gamma))
                added = raised.a * np.sqrt(np.maximum(raised.sigma**2 - t.sigma**2, 0.0))
                b.move(raised, keep=raised.a / t.a, noise=self.s_noise * added)
                t = raised
            self.inner.step(b, t, u)
        return b.plan()
