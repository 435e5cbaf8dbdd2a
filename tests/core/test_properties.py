"""Random shapes, dtypes, grids and seeds drive the public functions of the core: what holds must hold for all of them."""

from __future__ import annotations

import itertools
from typing import Any

import torch
from hypothesis import given as for_all
from hypothesis import settings
from hypothesis import strategies as st
from tests.core.solvers import DETERMINISTIC, STOCHASTIC
from tests.core.test_processes import PROCESSES
from torch import Tensor

from polyscore.denoisers import Precondition, Prediction
from polyscore.denoisers.precondition import scalings
from polyscore.noise import Seeded
from polyscore.processes import EDM, GaussianProcess, Product
from polyscore.samplers import Plan, execute, grids, sample, times_of
from polyscore.state import Given
from polyscore.testing import GaussianDenoiser

F64 = torch.float64
FEW = settings(max_examples=40, deadline=None, derandomize=True)

processes = st.sampled_from(PROCESSES)
solvers = st.sampled_from([solver for solver, _ in DETERMINISTIC] + STOCHASTIC)
shapes = st.lists(st.integers(1, 4), min_size=1, max_size=3).map(tuple)
dtypes = st.sampled_from([torch.float32, torch.float64, torch.complex64, torch.complex128])
seeds = st.integers(0, 2**62)
times = st.floats(0.02, 0.98)


@st.composite
def descending(draw: st.DrawFn) -> list[float]:
    """Three to seven times, from high to low, at least .02 apart."""
    places = draw(st.lists(st.integers(1, 49), min_size=3, max_size=7, unique=True))
    return [place / 50 for place in sorted(places, reverse=True)]


def state(shape: tuple[int, ...], seed: int, dtype: torch.dtype = F64, batch: int = 3) -> Tensor:
    return Seeded(seed % 2**31)(torch.empty((batch, *shape), dtype=dtype))


def close(found: Tensor, expected: Tensor, scale: float = 1.0) -> None:
    precise = found.dtype in {torch.float64, torch.complex128}
    torch.testing.assert_close(found, expected, rtol=0, atol=(1e-9 if precise else 2e-4) * scale)


@for_all(processes, shapes, dtypes, seeds, times)
@FEW
def test_perturbing_and_finding_the_noise_are_inverse(
    process: GaussianProcess, shape: tuple[int, ...], dtype: torch.dtype, seed: int, t: float
) -> None:
    x0, y = state(shape, seed, dtype), state(shape, seed + 1, dtype)
    x, eps = process.perturb(x0, t, given=Given(y=y), noise=seed)
    assert x.dtype == dtype and x.shape == x0.shape
    a, b, s = (float(c) for c in process.coefs_of(t))
    scale = 1 + float(x.abs().max()) / s
    close(process.eps(x, x0, t, given=Given(y=y)), eps, scale)
    close(process.score(x, x0, t, given=Given(y=y)), -eps / s, scale / s)
    if a > 1e-3:
        close((x - b * y - s * eps) / a, x0, scale / a)


@for_all(processes, shapes, dtypes, seeds, times, times, st.floats(0, 1))
@FEW
def test_a_transition_with_the_truth_stays_on_the_marginal_and_goes_back(
    process: GaussianProcess, shape: tuple[int, ...], dtype: torch.dtype, seed: int, t: float, u: float, eta: float
) -> None:
    """From x_t with the true x0, x_u has the noise d s_t eps + v z; for eta = 0 it is eps itself, and the way back is exact."""
    t, u = max(t, u), min(t, u)
    x0, y = state(shape, seed, dtype), state(shape, seed + 1, dtype)
    given = Given(y=y)
    x, eps = process.perturb(x0, t, given=given, noise=seed)
    moved = process.transition(x, Prediction(x0), t, u, eta=eta, given=given, noise=seed + 7)
    assert moved.dtype == dtype
    step, (a, b, s) = process.step(t, u, eta=eta), (float(c) for c in process.coefs_of(u))
    z = process.law(Seeded(seed + 7), x0, given=given)
    level = float(process.coefs_of(t).s)
    scale = 1 + float(x.abs().max()) * (1 + float(step.keep))
    close(moved, a * x0 + b * y + float(step.keep) * level * eps + float(step.noise) * z, scale)
    assert abs((float(step.keep) * level) ** 2 + float(step.noise) ** 2 - s**2) < 1e-9 * (1 + s**2)
    there = process.transition(x, Prediction(x0), t, u, eta=0.0, given=given, noise=0)
    back = process.transition(there, Prediction(x0), u, t, eta=0.0, given=given, noise=0)
    close(back, x, scale * (1 + level / s))


@for_all(processes, st.sampled_from(["x0", "eps", "score", "v", "flow", "edm"]), times, seeds)
@FEW
def test_every_parameterisation_is_inverted_by_its_target(process: GaussianProcess, predicts: Any, t: float, seed: int) -> None:
    x0 = state((4,), seed)
    x, _ = process.perturb(x0, t, noise=seed)
    model = Precondition(torch.nn.Identity(), process, predicts=predicts)
    c = scalings(predicts, process.coefs_of(t))
    target = model.target(x, x0, t)
    scale = 1 + float(x.abs().max()) * (1 + float(c.skip)) * (1 + float(c.out.abs()) + 1 / float(c.out.abs()))
    close(c.skip * x + c.out * target, x0, scale)


GRIDS: list[Any] = [None, grids.uniform, grids.quadratic, grids.cosine, grids.leading_one, grids.SGMSE(0.03), grids.Shift(3.0)]
LEVELS: list[Any] = [grids.Angle(), grids.LogSNR(start=0.97), grids.LogSNR(end=0.02, start=0.9)]


@for_all(processes, st.integers(2, 60), st.sampled_from(GRIDS + LEVELS))
@settings(FEW, max_examples=60)
def test_grids_fall_from_noise_to_data(process: GaussianProcess, n: int, grid: Any) -> None:
    times = times_of(process, n, grid)
    assert len(times) == n + 1
    assert 0.9 <= times[0] <= 1.0 and times[-1] == 0.0
    assert times[0] == 1.0 or isinstance(grid, grids.LogSNR) or grid is None
    assert all(later < earlier for earlier, later in itertools.pairwise(times))


@for_all(st.integers(1, 60), st.floats(0.001, 0.5), st.floats(1.0, 80.0), st.floats(1.0, 9.0))
@FEW
def test_grids_of_levels_hit_their_levels(n: int, low: float, top: float, rho: float) -> None:
    process = EDM(sigma_max=100.0)
    for grid in (grids.Karras(low, top, rho), grids.Exponential(low, top)):
        levels = process.sigma(torch.tensor(times_of(process, n, grid), dtype=F64)).tolist()
        assert abs(levels[0] - top) < 1e-9 * top and levels[-1] == 0.0
        assert n == 1 or abs(levels[-2] - low) < 1e-9 * top
        assert all(later < earlier for earlier, later in itertools.pairwise(levels))


@for_all(solvers, processes, descending(), seeds)
@FEW
def test_plans_survive_json_print_and_hash(solver: Any, process: GaussianProcess, grid: list[float], seed: int) -> None:
    plan = solver.plan(process, grid)
    again = Plan.from_json(plan.to_json())
    assert again == plan and hash(again) == hash(plan) and {plan: 1}[again] == 1
    assert len(str(plan).splitlines()) == 2 + len(plan.stages)
    assert plan.steps == len(grid) - 1 and plan.nfe >= 1
    assert plan.start == grid[0] and plan.stages[-1].ends == grid[-1]
    x, given = state((2,), seed), Given(y=state((2,), seed + 1))
    runs = [execute(p, GaussianDenoiser(process), process, x, given=given, noise=seed) for p in (plan, again)]
    assert torch.equal(*runs) and torch.isfinite(runs[0]).all()


@for_all(solvers, processes, descending(), seeds, shapes, dtypes, st.integers(1, 5), st.integers(0, 4))
@FEW
def test_a_sample_depends_on_its_seed_alone_and_keeps_its_dtype(
    solver: Any,
    process: GaussianProcess,
    grid: list[float],
    seed: int,
    shape: tuple[int, ...],
    dtype: torch.dtype,
    n: int,
    i: int,
) -> None:
    i = min(i, n - 1)
    y, denoiser, before = state(shape, seed, dtype, n), GaussianDenoiser(process), torch.get_rng_state()
    whole = sample(solver, denoiser, process, y, steps=len(grid) - 1, grid=grid, given=Given(y=y), noise=seed % 2**31)
    row = slice(i, i + 1)
    alone = sample(
        solver, denoiser, process, y[row], steps=len(grid) - 1, grid=grid, given=Given(y=y[row]), noise=seed % 2**31 + i
    )
    assert whole.dtype == dtype and whole.shape == y.shape
    close(alone, whole[row], 1 + float(whole.abs().max()))
    assert torch.equal(before, torch.get_rng_state())


@for_all(processes, processes, seeds, times, st.floats(0, 1))
@FEW
def test_a_product_is_its_leaves(one: GaussianProcess, two: GaussianProcess, seed: int, t: float, eta: float) -> None:
    product = Product(a=one, b=two)
    assert hash(product) == hash(Product(a=one, b=two))
    x0, y = ({"a": state((2,), k), "b": state((3, 2), k)} for k in (seed, seed + 1))
    x, eps = product.perturb(x0, {"a": t, "b": 0.5}, given=Given(y=y), noise=seed)
    for name, process, time in (("a", one, t), ("b", two, 0.5)):
        alone = process.perturb(x0[name], time, given=Given(y=y[name]), noise=seed)
        assert torch.equal(alone.x, x[name]) and torch.equal(alone.eps, eps[name])
    held = product.transition(x, Prediction(x0), {"a": t, "b": 0.5}, {"a": t / 2, "b": 0.5}, eta=eta, given=Given(y=y), noise=1)
    assert torch.equal(held["b"], x["b"])  # type: ignore[index]


@for_all(st.sampled_from([s for s, _ in DETERMINISTIC]), st.integers(0, 3), seeds)
@settings(max_examples=12, deadline=None, derandomize=True)
def test_gradients_through_five_steps_are_finite_differences(solver: Any, which: int, seed: int) -> None:
    process = [PROCESSES[0], PROCESSES[2], *(p for p in PROCESSES if type(p).__name__ in {"Flow", "OUVE"})][which]
    x, grid = state((2,), seed), [0.9, 0.8, 0.6, 0.45, 0.2, 0.1]

    def denoiser(x: Tensor, t: Any, given: Given) -> Prediction:
        return Prediction(torch.tanh(x) * 0.7)

    def last(x: Tensor) -> Tensor:
        out: Tensor = sample(solver, denoiser, process, x, steps=5, grid=grid, init=x).square().sum()
        return out

    start, direction, h = x.clone().requires_grad_(), state((2,), seed + 1), 1e-6
    (gradient,) = torch.autograd.grad(last(start), start)
    difference = (last(x + h * direction) - last(x - h * direction)) / (2 * h)
    torch.testing.assert_close((gradient * direction).sum(), difference, rtol=1e-5, atol=1e-6)
