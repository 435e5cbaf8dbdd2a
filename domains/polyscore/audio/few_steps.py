"""What makes ten network calls of a speech process as good as sixty: where they are spent, how they begin, how they end.

Sampling from y + s z to the clean spectrogram has three weak places, and one remedy each:

    the grid     the prediction changes fastest near the data      `PowerGrid`: times dense there
    the start    the mean of x_1 is not y, but a x0 + b y          `Recentred`: one call moves the start onto the process
    the end      the last step takes D(t_eps) for D(0) and loses   `ExtrapolatedEnd`: D(0) from the last two predictions
                 what the posterior varies by below that level

`tests/benchmarks/speech_solvers.py` measures each where the posterior is known.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from polyscore.processes import GaussianProcess
from polyscore.samplers import Plan, Solver, Stage

__all__ = ["ExtrapolatedEnd", "PowerGrid", "Recentred"]


@dataclass(frozen=True)
class PowerGrid:
    """t_i = (1 + i / (n - 1) (end^(1/power) - 1))^power for i < n, then 0: n steps, the last one from t = ``end``.

    ``power`` 1 is SGMSE's grid; 2 spends more of the steps near the data.
    """

    end: float = 0.03
    power: float = 2.0

    def __call__(self, process: GaussianProcess, n: int) -> Tensor:
        """The n + 1 times."""
        roots = torch.linspace(1, self.end ** (1 / self.power), n, dtype=torch.float64)
        return torch.cat([roots**self.power, torch.zeros(1, dtype=torch.float64)])


@dataclass(frozen=True)
class Recentred:
    """A solver for mean-reverting processes, after one call that moves the start onto the process.

    Sampling starts at y + s z, because the mean of x_1, a x0 + b y, is not known; a(1) is 0.22 in SGMSE. The probability
    flow carries that shift of a (y - x0) to the end, where noise is left over; Langevin correctors remove it with dozens of
    calls. One prediction of x0 removes it, too:

        x <- x + a x0hat + (b - 1) y      at the first time, z kept.
    """

    solver: Solver

    def plan(self, process: GaussianProcess, times: Sequence[float]) -> Plan:
        """The solver's plan with that stage before it."""
        plan = self.solver.plan(process, times)
        a, b, s = (float(c) for c in process.coefs_of(times[0]))
        shift = Stage(write=0, states=((0, 1.0),), preds=((0, a),), y=b - 1.0, at=times[0], level=(a, b, s))
        return replace(plan, stages=(shift, *plan.stages))


@dataclass(frozen=True)
class ExtrapolatedEnd:
    """A solver that remembers x0, with its last prediction drawn on to sigma = s / a = 0, linearly in sigma^2.

    The exact last step ends at D(0), the prediction where no noise is left; solvers take D(t_eps) for it, the mean of what is
    possible at that level. For Gaussian data D is linear in sigma^2 / (sigma^2 + deviation^2), so

        x_0 = (1 + r) D_n - r D_(n-1),   r = sigma_n^2 / (sigma_(n-1)^2 - sigma_n^2).

    Plans of one step, and of steps that start where sigma is infinite, are left as they are.
    """

    solver: Solver

    def plan(self, process: GaussianProcess, times: Sequence[float]) -> Plan:
        """The solver's plan with another last stage."""
        plan = self.solver.plan(process, times)
        last = plan.stages[-1]
        if len(times) < 3 or last.preds != ((0, 1.0),):
            return plan
        before, now = (float(process.sigma(t)) ** 2 for t in times[-3:-1])
        r = now / (before - now)
        stages = (*plan.stages[:-1], replace(last, preds=((0, 1 + r), (1, -r))))
        return replace(plan, stages=stages, history=max(2, plan.history))
