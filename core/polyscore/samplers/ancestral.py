"""First-order samplers: the one step formula with stochasticity eta.

x_u = d x_t + (a_u - d a_t) x0hat + (b_u - d b_t) y + v eps (see `polyscore.processes.gaussian`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from polyscore.processes import GaussianProcess
from polyscore.samplers.builder import Builder
from polyscore.samplers.plan import Plan

__all__ = ["DDIM", "DDPM"]


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
