"""Samplers that are known to be one another, or a formula of a paper, agree to 1e-12 in float64."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from tests.core.linear import Basis, JointGaussian, law
from tests.core.solvers import LEVEL_BASED, STOCHASTIC, name_of
from torch import Tensor

from polyscore.noise import Recorded
from polyscore.processes import EDM, IRSDE, OUVE, VP, BetaTable, Flow, GaussianProcess, VEBridge
from polyscore.processes.clocks import LOG_SNR, NOISE_LEVEL
from polyscore.samplers import (
    DDIM,
    DDPM,
    GHVB,
    NOISE,
    DataForm,
    DPMSolver,
    DPMSolverPP,
    ExponentialAdams,
    RungeKutta,
    SDEDPMSolverPP,
    Solver,
    UniP,
    UniPC,
    execute,
    sample,
)
from polyscore.samplers.runge_kutta import EULER
from polyscore.state import NONE, Given
from polyscore.testing import ScalarMixtureDenoiser

F64 = torch.float64
PROCESSES: list[GaussianProcess] = [VP(), Flow(), EDM(), OUVE(), IRSDE(), VEBridge()]
TIMES = np.linspace(0.9, 0.05, 19).tolist()
GENERATOR = torch.Generator().manual_seed(0)
X, Y, *DRAWS = torch.randn(60, 4, 2, generator=GENERATOR, dtype=F64)
GIVEN = Given(y=Y)


def end(solver: Solver, process: GaussianProcess, times: list[float] = TIMES) -> Tensor:
    out: Tensor = execute(
        solver.plan(process, times), ScalarMixtureDenoiser(process), process, X, given=GIVEN, noise=Recorded(DRAWS)
    )
    return out


def same(found: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("process", PROCESSES, ids=lambda p: type(p).__name__)
def test_ddim_is_euler_in_the_noise_level(process: GaussianProcess) -> None:
    """w = z / a, dw / d(s/a) = eps."""
    denoiser = ScalarMixtureDenoiser(process)
    x = X
    for t, u in pairwise(TIMES):
        (a, b, s), (au, bu, su) = process.coefs_of(t), process.coefs_of(u)
        x0 = denoiser(x, t, GIVEN).x0
        w = (x - b * Y) / a + (su / au - s / a) * (x - a * x0 - b * Y) / s
        x = au * w + bu * Y
    for solver in (DDIM(), RungeKutta(EULER, NOISE), UniP(order=1), DPMSolver(order=1), DPMSolverPP(order=1), GHVB(1, 1.0)):
        same(end(solver, process), x)


def test_ddim_with_eta_1_is_ddpm() -> None:
    """Ho et al. 2020, equations 6 and 7, on consecutive entries of the table of betas."""
    process = BetaTable()
    denoiser = ScalarMixtureDenoiser(process)
    betas = np.linspace(1e-4, 0.02, 1000)
    alpha_bar = np.cumprod(1 - betas)
    times = [float(process.time(k)) for k in range(500, 480, -1)]
    x = X
    for draw, k in zip(DRAWS, range(500, 481, -1), strict=False):
        x0 = denoiser(x, float(process.time(k)), NONE).x0
        rest = 1 - alpha_bar[k]
        mean = math.sqrt(alpha_bar[k - 1]) * betas[k] / rest * x0 + math.sqrt(1 - betas[k]) * (1 - alpha_bar[k - 1]) / rest * x
        x = mean + math.sqrt(betas[k] * (1 - alpha_bar[k - 1]) / rest) * draw
    for solver in (DDPM(), DDIM(1.0), SDEDPMSolverPP(order=1)):
        found = execute(solver.plan(process, times), denoiser, process, X, noise=Recorded(DRAWS))
        torch.testing.assert_close(found, x, rtol=0, atol=1e-12)


@pytest.mark.parametrize("process", PROCESSES, ids=lambda p: type(p).__name__)
def test_methods_that_are_one_another(process: GaussianProcess) -> None:
    same(end(UniP(tail=0), process), end(DPMSolverPP(), process))
    same(end(UniP(tail=0, form=NOISE), process), end(DPMSolver(), process))
    even = torch.linspace(3.0, 0.2, 12, dtype=F64)  # even in sigma: constant coefficients are exact integration there
    if not isinstance(process, OUVE | IRSDE):
        times = process.time_at_sigma(even).tolist()
        adams = ExponentialAdams(order=4, form=NOISE, clock=NOISE_LEVEL)
        same(end(GHVB(order=4, beta=1.0), process, times), end(adams, process, times))


@pytest.mark.parametrize("solver", LEVEL_BASED, ids=name_of)
def test_change_of_variables(solver: Solver) -> None:
    """x / a of VP, of flow matching and of a bridge's z moves as the state of VE does at the same levels s / a."""
    levels = torch.from_numpy(np.geomspace(12.0, 0.05, 17))
    ends = []
    for process in (EDM(sigma_max=200.0), VP(), Flow()):
        times = process.time_at_sigma(levels).tolist()
        a = float(process.coefs_of(times[0]).a)
        x = execute(solver.plan(process, times), ScalarMixtureDenoiser(process), process, 12 * a * X, noise=Recorded(DRAWS))
        ends.append(x / process.coefs_of(times[-1]).a)
    torch.testing.assert_close(ends[1], ends[0], rtol=0, atol=1e-12)
    torch.testing.assert_close(ends[2], ends[0], rtol=0, atol=1e-12)


@pytest.mark.parametrize("eta", [0.0, 1.0])
def test_bridge_samplers_are_the_generic_step(eta: float) -> None:
    """Jukic et al. 2024, equations 13 and 14; at t = 1, where x = y, both take the SDE's limit."""
    process = VEBridge()
    denoiser = ScalarMixtureDenoiser(process)
    times = np.linspace(1.0, 0.0, 12).tolist()
    x, total = Y, float(process.variance(torch.tensor(1.0, dtype=F64)))
    for k, (t, u) in enumerate(pairwise(times)):
        now, later = (float(process.variance(torch.tensor(v, dtype=F64))) for v in (t, u))
        x0 = denoiser(x, t, GIVEN).x0
        if eta == 1.0 or k == 0:
            x = later / now * x + (1 - later / now) * x0 + math.sqrt(later * (1 - later / now)) * DRAWS[k]
        else:
            rest, left = total - now, total - later
            keep = math.sqrt(later * left / (now * rest))
            x = keep * x + (left - keep * rest) / total * x0 + (later - keep * now) / total * Y
    found = execute(DDIM(eta).plan(process, times), denoiser, process, Y, given=GIVEN, noise=Recorded(DRAWS))
    torch.testing.assert_close(found, x, rtol=0, atol=1e-12)


@pytest.mark.parametrize("process", [IRSDE(), OUVE()], ids=lambda p: type(p).__name__)
@pytest.mark.parametrize("eta", [0.0, 1.0])
def test_mr_sampler_falls_out_of_z(process: GaussianProcess, eta: float) -> None:
    """MR Sampler with data prediction, order 2, for mean-reverting SDEs (Li et al. 2025, arXiv 2502.07856), written in x."""
    denoiser = ScalarMixtureDenoiser(process)
    x, past = X, list[tuple[Tensor, float]]()
    for k, (t, u) in enumerate(pairwise(TIMES)):
        (a, b, s), (au, bu, su) = process.coefs_of(t), process.coefs_of(u)
        x0, now = denoiser(x, t, GIVEN).x0, float(torch.log(a / s))
        h = float(torch.log(au / su)) - now
        slope = (x0 - past[-1][0]) / (now - past[-1][1]) if past else torch.zeros_like(x0)
        past.append((x0, now))
        keep, gain = su / s * math.exp(-eta * h), -math.expm1(-(1 + eta) * h)
        data = au * (gain * x0 + (h - gain / (1 + eta)) * slope)
        x = keep * x + (bu - keep * b) * Y + data + eta * su * math.sqrt(-math.expm1(-2 * h)) * DRAWS[k]
    same(end(ExponentialAdams(form=DataForm(eta), clock=LOG_SNR), process), x)


@pytest.mark.parametrize("solver", STOCHASTIC, ids=name_of)
def test_law_of_stochastic_samplers_for_gaussian_data(solver: Solver) -> None:
    """x0 ~ N(.3, .5): the plan is affine in its draws, so mean and variance of its end are computed, not sampled.

    First-order methods lose variance in proportion to the step; the prior's own mean, 0 for a(1) .3, is left in the mean.
    """
    process = VP()
    denoiser = JointGaussian(process, torch.tensor([0.3], dtype=F64), torch.tensor([[0.5]], dtype=F64))
    errors = []
    for steps in (25, 100):
        basis = Basis()
        out = sample(solver, denoiser, process, torch.empty(2 * steps + 4, 1, dtype=F64), steps=steps, noise=basis)
        mean, variance = law(out, basis.row)
        errors.append((abs(float(mean) - 0.3), abs(float(variance) - 0.5)))
    assert errors[1][0] < 0.002, errors
    assert errors[1][1] < min(0.04, 0.5 * errors[0][1] + 1e-3), errors


@pytest.mark.parametrize("solver", [UniPC(order=3), GHVB(), SDEDPMSolverPP()], ids=name_of)
def test_tables_of_any_kind_compile_in_one_graph(solver: Solver) -> None:
    process = VP()
    plan = solver.plan(process, np.linspace(0.9, 0.1, 4).tolist())
    run = torch.compile(execute, fullgraph=True, backend="eager")
    expected = execute(plan, ScalarMixtureDenoiser(process), process, X, noise=Recorded(DRAWS))
    same(run(plan, ScalarMixtureDenoiser(process), process, X, noise=Recorded(DRAWS)), expected)
    torch._dynamo.reset()
