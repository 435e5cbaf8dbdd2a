"""Ancestral samplers: a deterministic step to a lower noise level, then fresh noise up to the next one.

First order is the one step formula with stochasticity eta (see `polyscore.processes.gaussian`):

    x_u = d x_t + (a_u - d a_t) x0hat + (b_u - d b_t) y + v eps,   d = sqrt(s_u^2 - v^2) / s_t.

With a second-order step to the level sqrt(s_u^2 - v^2) it is k-diffusion's DPM2-ancestral and DPM++ 2S-ancestral.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from polyscore.processes import GaussianProcess
from polyscore.samplers.builder import Builder
from polyscore.samplers.plan import Plan
from polyscore.samplers.runge_kutta import DPM2, DPMSolverPP2S, RungeKutta

__all__ = ["DDIM", "DDPM", "DPM2Ancestral", "DPMSolverPP2SAncestral", "EulerAncestral"]


@dataclass(frozen=True)
class DDIM:
    """Song et al. 2021 (arXiv 2010.02502). eta scales the standard deviation of the fresh noise: 0 is the ODE, 1 is DDPM.

    On a bridge it is the bridge's ODE (0) or SDE (1) sampler, on OUVE with eta = 1 the exact posterior.
    """

    eta: float = 0.0
    order: int = 1

    def plan(self, process: GaussianProcess, times: Sequence[float]) -> Plan:
        b = Builder(process, times)
        for _, t, u in b.steps:
            step = process.step(t.t, u.t, eta=self.eta)
            b.call(t)
            b.move(u, keep=step.keep.numpy(), preds=[step.data.numpy()], noise=step.noise.numpy(), ends=True)
        return b.plan()


@dataclass(frozen=True)
class DDPM(DDIM):
    """Ancestral sampling with the posterior variance (Ho et al. 2020, arXiv 2006.11239): DDIM with eta = 1."""

    eta: float = 1.0


@dataclass(frozen=True)
class EulerAncestral(DDIM):
    """k-diffusion's Euler ancestral: the same step, eta = 1 (Karras et al. 2022, arXiv 2206.00364, for Euler in sigma)."""

    eta: float = 1.0


@dataclass(frozen=True)
class DPM2Ancestral:
    """DPM-Solver-2 to the lower level, then noise; `inner` must not evaluate at the end of the step (k-diffusion).

    The inner method is Lu et al. 2022 (arXiv 2206.00927).
    """

    eta: float = 1.0
    inner: RungeKutta = field(default_factory=DPM2)
    order: int = 1

    def plan(self, process: GaussianProcess, times: Sequence[float]) -> Plan:
        b = Builder(process, times)
        for _, t, u in b.steps:
            noise = process.step(t.t, u.t, eta=self.eta).noise.numpy()
            lower = u._replace(s=np.sqrt(np.maximum(u.s**2 - noise**2, 0.0)))
            self.inner.step(b, t, lower, noise=noise)
        return b.plan()


@dataclass(frozen=True)
class DPMSolverPP2SAncestral(DPM2Ancestral):
    """DPM-Solver++ (2S) to the lower level, then noise (k-diffusion; Lu et al. 2022, arXiv 2211.01095, for the inner method)."""

    inner: RungeKutta = field(default_factory=DPMSolverPP2S)
