"""Observed order of every deterministic solver between 40 and 320 steps, in float64, on the closed-form flow of a mixture."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tests.core.solvers import DETERMINISTIC, name_of

from polyscore.processes import OUVE, VP, Flow, GaussianProcess, VEBridge
from polyscore.samplers import DPMSolver3, DPMSolverSinglestep, RungeKutta, Solver
from polyscore.samplers.momentum import adams_bashforth
from polyscore.testing import observed_order

F64 = torch.float64


@pytest.mark.parametrize("process", [VP(), Flow(), OUVE(), VEBridge()], ids=lambda p: type(p).__name__)
@pytest.mark.parametrize(("solver", "expected"), DETERMINISTIC, ids=[name_of(s) for s, _ in DETERMINISTIC])
def test_order(solver: Solver, expected: int, process: GaussianProcess) -> None:
    """Between 40 and 320 steps; 42 and 318 where up to three intervals make a step, so that the remainders agree.

    One-step methods, whose plans take longer to make, show their order by 160.
    """
    blocks = isinstance(solver, DPMSolverSinglestep) and not isinstance(solver, DPMSolver3)
    steps = (42, 318) if blocks else (40, 160) if isinstance(solver, RungeKutta | DPMSolver3) else (40, 320)
    found = observed_order(solver, process, steps=steps)
    assert found >= expected - 0.2, f"{found:.2f}"


def test_adams_bashforth_weights_are_the_classical_ones() -> None:
    assert adams_bashforth(2) == pytest.approx([3 / 2, -1 / 2])
    assert adams_bashforth(4) == pytest.approx([55 / 24, -59 / 24, 37 / 24, -9 / 24])
    beta = 0.8  # the published weights of the second-order heavy ball
    assert adams_bashforth(2, beta) == pytest.approx([(2 + beta) / (2 * beta), -(2 - beta) / (2 * beta)])


@pytest.mark.parametrize("beta", [1.0, 0.8, 0.3])
@pytest.mark.parametrize("k", [1, 2, 3, 4, 5])
def test_heavy_ball_weights_integrate_polynomials(k: int, beta: float) -> None:
    """With f(i) = i^(k-1) the velocity settles to a polynomial, and k weights integrate f over the next step exactly."""
    f = np.arange(-2000, 1, dtype=np.float64) ** (k - 1)
    v = np.zeros_like(f)
    for n in range(1, len(f)):
        v[n] = (1 - beta) * v[n - 1] + beta * f[n]
    found = sum(c * v[-1 - j] for j, c in enumerate(adams_bashforth(k, beta)))
    assert found == pytest.approx(1 / k, abs=1e-4)


@pytest.mark.parametrize("order_", [1, 2, 3])
@pytest.mark.parametrize("end", [0.0, 0.1])
@pytest.mark.parametrize("process", [VP(), Flow()], ids=lambda p: type(p).__name__)
def test_singlestep_on_the_grid_calls_once_a_node(order_: int, end: float, process: GaussianProcess) -> None:
    for n in range(1, 14):
        plan = DPMSolverSinglestep(order=order_).plan(process, torch.linspace(1, end, n + 1, dtype=F64).tolist())
        assert plan.nfe == plan.steps == n
