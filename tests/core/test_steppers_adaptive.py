"""Adaptive steppers: against scipy, closed-form flows, and the accuracy that the tolerance promises."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from scipy.integrate import solve_ivp
from torch import Tensor

from polyscore import ode
from polyscore.denoisers import Prediction
from polyscore.errors import InputError
from polyscore.noise import Seeded
from polyscore.processes import EDM, OUVE, VP, Flow, GaussianProcess, Product, VEBridge
from polyscore.samplers import RK45, AdaptiveDPMSolver, Run, StepState, sample, trajectory
from polyscore.state import NONE, Given
from polyscore.testing import GaussianDenoiser, GMMDenoiser, Mixture
from polyscore.testing.analytic import flow_of_gaussian

F64 = torch.float64


def mixture() -> Mixture:
    means = torch.tensor([[1.0, 0.5], [-1.0, 0.2], [0.2, -1.2]], dtype=F64)
    covs = torch.tensor([[[0.1, 0.02], [0.02, 0.05]], [[0.04, 0.0], [0.0, 0.2]], [[0.08, -0.03], [-0.03, 0.06]]], dtype=F64)
    return Mixture(torch.tensor([0.5, 0.3, 0.2], dtype=F64), means, covs)


def state(n: int = 32, seed: int = 0) -> Tensor:
    return torch.randn(n, 2, generator=torch.Generator().manual_seed(seed), dtype=F64)


def drive(
    sampler: Any, denoiser: Any, process: Any, x: Any, times: tuple[float, ...], given: Given = NONE
) -> tuple[StepState, int]:
    """The last state of a stepper, and the number of its steps."""
    run, i = Run(denoiser, process, times, given, Seeded(0)), 0
    current = sampler.init(run, x)
    while not sampler.done(run, current, i):
        current = sampler.step(run, current, i)
        i += 1
    return current, i


class Counting:
    def __init__(self, denoiser: Any) -> None:
        self.denoiser, self.calls = denoiser, 0

    def __call__(self, x: Any, t: Any, given: Given) -> Prediction:
        self.calls += 1
        out: Prediction = self.denoiser(x, t, given)
        return out


ADAPTIVE: list[Callable[[float], Any]] = [
    lambda rtol: RK45(rtol, rtol),
    *(lambda rtol, p=p, f=f: AdaptiveDPMSolver(p, f, rtol=rtol, atol=rtol / 10) for p in (2, 3) for f in ("x0", "eps")),
]


# --- the integrator alone ---


def test_the_integrator_is_of_fifth_order() -> None:
    """y' = -y^2 + cos t with steps forced by the end points: error falls as h^5."""

    def field(times: Any) -> list[ode.Slope]:
        return [lambda parts, t=t: (torch.cos(torch.tensor(t, dtype=F64)) - parts[0] ** 2,) for t in times]  # type: ignore[misc]

    start = (torch.tensor([0.3], dtype=F64),)
    exact = ode.integrate(field, start, 0.0, 2.0, rtol=1e-13, atol=1e-13).state[0]
    errors = []
    for n in (8, 16, 32):
        point = ode.Point(0.0, start, field([0.0])[0](start), 2.0 / n, 1)
        for k in range(n):
            point = ode.advance(field, point, 2.0 * (k + 1) / n, rtol=1e3, atol=1e3)
        errors.append(float((point.state[0] - exact).abs()))
    assert errors[0] / errors[1] > 2**4.7
    assert errors[1] / errors[2] > 2**4.7


def test_the_integrator_takes_several_tensors_complex_ones_too_and_goes_backwards() -> None:
    def field(times: Any) -> list[ode.Slope]:
        return [lambda parts: (1j * parts[0], -parts[1]) for _ in times]

    begin = (torch.tensor([1.0 + 0j], dtype=torch.complex128), torch.tensor([2.0, 3.0], dtype=F64))
    point = ode.integrate(field, begin, 1.0, -1.0, rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(point.state[0], begin[0] * torch.exp(torch.tensor(-2j, dtype=torch.complex128)), rtol=0, atol=1e-8)
    torch.testing.assert_close(point.state[1], begin[1] * float(np.exp(2.0)), rtol=1e-8, atol=0)


def test_a_field_that_is_not_finite_is_named() -> None:
    def field(times: Any) -> list[ode.Slope]:
        return [lambda parts, t=t: (parts[0] / (t - 0.5) if t > 0.5 else parts[0] * float("nan"),) for t in times]  # type: ignore[misc]

    with pytest.raises(InputError, match=r"step size fell to .* at t = 0\.5"):
        ode.integrate(field, (torch.ones(1, dtype=F64),), 1.0, 0.0, rtol=1e-6, atol=1e-6)


# --- RK45 ---


@pytest.mark.parametrize(("process", "y"), [(VP(), False), (OUVE(), True), (Flow(), False)])
@pytest.mark.parametrize("tolerance", [1e-3, 1e-6])
def test_rk45_is_scipys_with_the_same_number_of_evaluations(process: GaussianProcess, y: bool, tolerance: float) -> None:
    given = Given(y=0.3 * state(seed=3)) if y else NONE
    denoiser, x = GMMDenoiser(mixture(), process), state()

    def slope(t: float, flat: Any) -> Any:
        point = torch.from_numpy(flat.reshape(x.shape))
        return process.velocity(point, denoiser(point, t, given).x0, t, given=given).numpy().ravel()

    theirs = solve_ivp(slope, (0.999, 0.01), x.numpy().ravel(), method="RK45", rtol=tolerance, atol=tolerance)
    counting = Counting(denoiser)
    ours, _ = drive(RK45(tolerance, tolerance), counting, process, x, (0.999, 0.01), given)
    assert ours.memory.nfe == theirs.nfev == counting.calls
    np.testing.assert_allclose(ours.x.numpy().ravel(), theirs.y[:, -1], rtol=0, atol=1e-10)


@pytest.mark.parametrize("process", [VP(), Flow(), OUVE(), EDM(), VEBridge()])
def test_rk45_follows_the_closed_form_flow_to_its_tolerance(process: GaussianProcess) -> None:
    denoiser, x, given = GaussianDenoiser(process), state(), Given(y=state(seed=9))
    times = (0.95, 0.05)
    exact = flow_of_gaussian(denoiser, x, *times, given)
    errors = []
    for tolerance in (1e-4, 1e-8):
        found, _ = drive(RK45(tolerance, tolerance), denoiser, process, x, times, given)
        errors.append(float((found.x - exact).abs().max()))
    scale = float(exact.abs().max())
    assert errors[0] < 30e-4 * scale
    assert errors[1] < 30e-8 * scale


def test_rk45_frames_hold_the_prediction_at_their_own_state_and_end_at_the_data() -> None:
    process = VP()
    denoiser = GMMDenoiser(mixture(), process)
    frames = list(trajectory(RK45(1e-4, 1e-4), denoiser, process, state(), steps=1, noise=2))
    assert [frame.i for frame in frames] == list(range(1, len(frames) + 1))
    assert frames[-2].t == 1e-3
    assert frames[-1].t == 0.0
    for frame in frames[:-1]:
        torch.testing.assert_close(frame.prediction.x0, denoiser(frame.x, frame.t, NONE).x0, rtol=0, atol=1e-10)
    torch.testing.assert_close(frames[-1].x, frames[-1].prediction.x0, rtol=0, atol=1e-12)


def test_rk45_integrates_leaves_together_and_complex_states() -> None:
    process = Product(a=VP(), b=OUVE())
    y = state(seed=4).to(torch.complex128) * (1 + 0.5j)
    x = {"a": state(), "b": y + 0.5}

    def denoiser(x: Any, t: Any, given: Given) -> Prediction:
        return Prediction(
            {"a": GaussianDenoiser(VP())(x["a"], t, NONE).x0, "b": GaussianDenoiser(OUVE())(x["b"], t, Given(y=y)).x0}
        )

    found, _ = drive(RK45(1e-9, 1e-9), denoiser, process, x, (0.9, 0.1), Given(y={"a": None, "b": y}))
    for name, own, given in (("a", VP(), NONE), ("b", OUVE(), Given(y=y))):
        exact = flow_of_gaussian(GaussianDenoiser(own), x[name], 0.9, 0.1, given)
        torch.testing.assert_close(found.x[name], exact, rtol=0, atol=1e-7)


def test_gradients_flow_through_rk45() -> None:
    process, x = Flow(), state(2)
    denoiser = GMMDenoiser(mixture(), process)

    def last(x: Tensor) -> Tensor:
        out: Tensor = sample(RK45(1e-8, 1e-8), denoiser, process, x, steps=1, grid=[0.9, 0.2], init=x).square().sum()
        return out

    start = x.clone().requires_grad_(True)
    (gradient,) = torch.autograd.grad(last(start), start)
    h, unit = 1e-5, torch.zeros_like(x)
    unit[1, 0] = 1.0
    difference = (last(x + h * unit) - last(x - h * unit)) / (2 * h)
    torch.testing.assert_close(gradient[1, 0], difference, rtol=1e-4, atol=1e-5)


# --- adaptive DPM-Solver ---


@pytest.fixture(scope="module")
def exact() -> Tensor:
    """The end of the probability flow of the mixture under VP."""
    process = VP()
    found, _ = drive(RK45(1e-11, 1e-11, end=1e-4), GMMDenoiser(mixture(), process), process, state(), (1.0, 0.0))
    assert isinstance(found.x, Tensor)
    return found.x


@pytest.mark.parametrize("form", ["x0", "eps"])
@pytest.mark.parametrize(("order", "rms", "calls"), [(2, 1e-2, 110), (3, 1e-2, 80)])
def test_adaptive_dpm_solver_is_accurate_for_few_calls(exact: Tensor, form: Any, order: Any, rms: float, calls: int) -> None:
    process = VP()
    counting = Counting(GMMDenoiser(mixture(), process))
    found, steps = drive(AdaptiveDPMSolver(order, form, end=1e-4), counting, process, state(), (1.0, 0.0))
    assert found.memory.nfe == counting.calls <= calls
    assert steps < counting.calls
    assert float((found.x - exact).square().mean().sqrt()) < rms


@pytest.mark.parametrize("y", [False, True])
@pytest.mark.parametrize("make", ADAPTIVE, ids=["rk45", "dpm++12", "dpm12", "dpm++23", "dpm23"])
def test_the_error_is_proportional_to_the_tolerance(make: Callable[[float], Any], y: bool) -> None:
    """The slope of ln(error) over ln(rtol) is near 1, and every evaluation is counted, also those of rejected steps."""
    process: GaussianProcess = OUVE() if y else VP()
    denoiser, given = GMMDenoiser(mixture(), process), Given(y=state(seed=5)) if y else NONE
    times = (0.95, 0.05)
    exact, _ = drive(RK45(1e-12, 1e-12), denoiser, process, state(), times, given)
    errors, rejected = [], 0
    tolerances = (1e-4, 1e-6, 1e-8) if isinstance(make(1.0), RK45) else (1e-2, 1e-3, 1e-4)
    for rtol in tolerances:
        counting = Counting(denoiser)
        found, _ = drive(make(rtol), counting, process, state(), times, given)
        assert found.memory.nfe == counting.calls
        rejected += found.memory.rejected
        errors.append(float((found.x - exact.x).square().mean().sqrt()))
    assert y or rejected > 0
    slope = float(np.polyfit(np.log(tolerances), np.log(errors), 1)[0])
    assert 0.8 < slope < 1.25
    assert errors[-1] < 10 * tolerances[-1]


@pytest.mark.parametrize("make", ADAPTIVE, ids=["rk45", "dpm++12", "dpm12", "dpm++23", "dpm23"])
def test_the_batch_shares_its_steps_and_so_changes_a_sample_within_the_tolerance(make: Callable[[float], Any]) -> None:
    process = VP()
    denoiser = GMMDenoiser(mixture(), process)
    for rtol in (1e-2, 1e-4):
        whole, _ = drive(make(rtol), denoiser, process, state(), (0.95, 0.05))
        alone, _ = drive(make(rtol), denoiser, process, state()[:1], (0.95, 0.05))
        assert 0 < float((whole.x[:1] - alone.x).abs().max()) < 10 * rtol


def test_adaptive_dpm_solver_is_exact_where_a_single_point_is_the_data() -> None:
    """x0 constant: the ++ solvers are exact for any step, so the first steps grow as fast as they may."""
    process = VP()
    point = torch.tensor([0.7, -0.4], dtype=F64)

    def denoiser(x: Any, t: Any, given: Given) -> Prediction:
        return Prediction(point.expand_as(x))

    found, steps = drive(AdaptiveDPMSolver(), denoiser, process, state(), (1.0, 0.05))
    a, _, s = process.coefs_of(0.05)
    torch.testing.assert_close(found.x, a * point + s * process.eps(state(), point.expand(32, 2), 1.0), rtol=0, atol=1e-10)
    assert steps <= 4


def test_what_adaptive_dpm_solver_refuses() -> None:
    with pytest.raises(InputError, match="infinite at t = 1"):
        sample(AdaptiveDPMSolver(), GaussianDenoiser(Flow()), Flow(), state(), steps=1)
    with pytest.raises(InputError, match="mapping"):
        sample(AdaptiveDPMSolver(), GaussianDenoiser(VP()), Product(a=VP()), {"a": state()}, steps=1)

    def broken(x: Any, t: Any, given: Given) -> Prediction:
        return Prediction(x * float("nan"))

    with pytest.raises(InputError, match="not finite"):
        sample(AdaptiveDPMSolver(), broken, VP(), state(), steps=1)
