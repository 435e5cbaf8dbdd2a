"""`check_sampler`: the laws of a sampler, on data whose denoiser and flow are known in closed form."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from polyscore.denoisers import Prediction
from polyscore.noise import Recorded
from polyscore.processes import OUVE, VP, GaussianProcess, Product
from polyscore.samplers import Plan, execute, sample, times_of
from polyscore.state import NONE, Given, State, Time
from polyscore.testing._assert import close, keeps_global_rng, true
from polyscore.testing.analytic import GaussianDenoiser, ScalarMixtureDenoiser

__all__ = ["check_sampler", "observed_order"]


def observed_order(
    sampler: Any, process: GaussianProcess, *, steps: Sequence[int] = (40, 80, 160, 320), span: tuple[float, float] = (0.6, 0.1)
) -> float:
    """Slope of -ln(rms error) against ln(steps) for the probability flow of a mixture between two inner times, in float64.

    Errors are root mean squares over 16 starts, so that one which crosses zero does not decide.
    """
    denoiser = ScalarMixtureDenoiser(process)
    given = Given(y=torch.randn(16, 1, generator=torch.Generator().manual_seed(0), dtype=torch.float64))
    a, b, s = process.coefs_of(span[0])
    x = b * given.y + torch.sqrt(a**2 / 2 + s**2) * torch.linspace(-1.5, 1.5, 16, dtype=torch.float64)[:, None]
    exact = denoiser.flow(x, *span, given)
    errors = []
    for n in steps:
        times = torch.linspace(*span, n + 1, dtype=torch.float64).tolist()
        found = sample(sampler, denoiser, process, x, steps=n, grid=times, given=given, init=x)
        errors.append(math.log(max(float((found - exact).square().mean().sqrt()), 1e-15)))
    logs = [math.log(n) for n in steps]
    mean_x, mean_y = sum(logs) / len(logs), sum(errors) / len(errors)
    slope = sum((a - mean_x) * (b - mean_y) for a, b in zip(logs, errors, strict=True))
    return -slope / sum((a - mean_x) ** 2 for a in logs)


def check_sampler(
    sampler: Any,
    *,
    order: float | None = None,
    process: GaussianProcess | None = None,
    compiled: bool = True,
    steps: int = 6,
    batch_tolerance: float = 0.0,
    shift_tolerance: float = 1e-9,
    mapping: bool = True,
) -> None:
    """Run the laws of a sampler.

    Checked: convergence to the closed-form flow at the stated order (deterministic samplers) or to the closed-form law
    (stochastic ones), exact shift by y, seeds per sample whatever the batch, dtypes, gradients against finite differences,
    the global generator, one leaf of a product against the plain state; for plans also the number of evaluations, JSON,
    hashing and one compiled graph.

    Args:
        sampler: a solver or stepper.
        order: its order of convergence; default its attribute `order`, else 1.
        process: default VP.
        compiled: check torch.compile(fullgraph=True) of a plan.
        steps: how many steps the short runs make, for samplers that need many.
        batch_tolerance: how far a sample may depend on its batch; above 0 only for samplers that choose steps for the whole
            batch, whose gradients, at fixed steps, may then also differ by ten times as much from finite differences.
        shift_tolerance: error allowed in the shift by y; above rounding for samplers that discretise y's drift or adapt to it.
        mapping: False for samplers that refuse mapping states.

    Raises:
        AssertionError: naming the law that fails and by how much.
    """
    process = VP() if process is None else process
    name = type(sampler).__name__
    like = torch.empty(64, 2, dtype=torch.float64)
    plan = sampler.plan(process, times_of(process, steps)) if hasattr(sampler, "plan") else None
    if plan is not None:
        _check_plan(plan, process, name, steps, compiled)
    if plan is not None and plan.draws == 0:
        wanted = float(order if order is not None else getattr(sampler, "order", 1))
        found = observed_order(sampler, process)
        true(found >= wanted - 0.2, f"{name}: observed order {found:.2f} between 40 and 320 steps, expected {wanted:g}")
    else:
        _check_law(sampler, process, name)
    _check_shift(sampler, name, steps, shift_tolerance)
    denoiser = GaussianDenoiser(process)
    with keeps_global_rng(name):
        whole = sample(sampler, denoiser, process, like, steps=steps, noise=11)
    for i, size in ((0, 1), (5, 7)):
        part = sample(sampler, denoiser, process, like[:size], steps=steps, noise=11 + i)
        what = f"{name}: sample i depends on seed i alone, batch {size} against 64"
        close(part, whole[i : i + size], batch_tolerance, what)
    single = sample(sampler, denoiser, process, like.float(), steps=steps, noise=11)
    true(single.dtype == torch.float32, f"{name}: a float32 state came back as {single.dtype}")
    true(torch.isfinite(single).all(), f"{name}: the result is not finite")
    _check_gradient(sampler, process, name, steps, 10 * batch_tolerance)
    if mapping:
        joint = sample(sampler, _OneLeaf(denoiser), Product(x=process), {"x": like}, steps=steps, noise=11)
        close(joint["x"], whole, 1e-12, f"{name}: a product of one leaf equals the plain state")


class _OneLeaf:
    """Lets a plain denoiser see the single leaf "x"."""

    def __init__(self, denoiser: GaussianDenoiser) -> None:
        self.denoiser = denoiser

    def __call__(self, x: State, t: Time, given: Given) -> Prediction:
        return Prediction({"x": self.denoiser(x["x"], t, given).x0})  # type: ignore[index, arg-type]


class _Counting:
    """Counts the calls of a denoiser."""

    def __init__(self, denoiser: GaussianDenoiser) -> None:
        self.denoiser, self.calls = denoiser, 0

    def __call__(self, x: Tensor, t: Any, given: Given) -> Prediction:
        self.calls += 1
        return self.denoiser(x, t, given)


def _check_plan(plan: Plan, process: GaussianProcess, name: str, steps: int, compiled: bool) -> None:
    true(Plan.from_json(plan.to_json()) == plan, f"{name}: the plan does not survive JSON")
    true(hash(plan) == hash(Plan.from_json(plan.to_json())), f"{name}: equal plans hash differently")
    true(plan.steps == steps, f"{name}: the plan completes {plan.steps} of {steps} steps")
    x = torch.randn(4, 2, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    counting = _Counting(GaussianDenoiser(process))
    plain = execute(plan, counting, process, x, noise=3)
    true(counting.calls == plan.nfe, f"{name}: {counting.calls} evaluations, the plan says {plan.nfe}")
    true(torch.isfinite(plain).all(), f"{name}: the result is not finite")
    if compiled:
        draws = [torch.randn(4, 2, generator=torch.Generator().manual_seed(k), dtype=torch.float64) for k in range(plan.draws)]
        run = torch.compile(execute, fullgraph=True, backend="eager")
        close(
            run(plan, GaussianDenoiser(process), process, x, noise=Recorded(draws)),
            execute(plan, GaussianDenoiser(process), process, x, noise=Recorded(draws)),
            1e-10,
            f"{name}: the compiled plan",
        )
        torch._dynamo.reset()


def _check_law(sampler: Any, process: GaussianProcess, name: str) -> None:
    denoiser = GaussianDenoiser(process)
    out = sample(sampler, denoiser, process, torch.empty(2048, 4, dtype=torch.float64), steps=200, noise=1)
    n = out.numel()
    mean, std = float(out.mean()), float(out.std())
    true(abs(mean - denoiser.mean) < 5 * denoiser.std / math.sqrt(n) + 0.02, f"{name}: mean {mean:.4f}, exact {denoiser.mean}")
    true(abs(std / denoiser.std - 1) < 5 / math.sqrt(2 * n) + 0.03, f"{name}: standard deviation {std:.4f}, exact {denoiser.std}")


def _check_shift(sampler: Any, name: str, steps: int, tolerance: float) -> None:
    """With a denoiser that sees z = x - b y, shifting y by c and the start by b c shifts the result by b_end c."""
    process = OUVE()
    denoiser = GaussianDenoiser(process)
    times = torch.linspace(0.9, 0.2, steps + 1, dtype=torch.float64).tolist()
    generator = torch.Generator().manual_seed(2)
    x = torch.randn(4, 2, generator=generator, dtype=torch.float64)
    y = torch.randn(4, 2, generator=generator, dtype=torch.float64)
    b, b_end = float(process.coefs_of(times[0]).b), float(process.coefs_of(times[-1]).b)
    base = sample(sampler, denoiser, process, x, steps=steps, grid=times, given=NONE, noise=4, init=x)
    moved = sample(sampler, denoiser, process, x, steps=steps, grid=times, given=Given(y=y), noise=4, init=x + b * y)
    close(moved, base + b_end * y, tolerance, f"{name}: y shifts the whole run by b y")


def _check_gradient(sampler: Any, process: GaussianProcess, name: str, steps: int, slack: float) -> None:
    denoiser = GaussianDenoiser(process)
    x = torch.randn(2, 2, generator=torch.Generator().manual_seed(8), dtype=torch.float64)

    def last(x: Tensor) -> Tensor:
        out: Tensor = sample(sampler, denoiser, process, x, steps=steps, noise=0, init=x).square().sum()
        return out

    start = x.clone().requires_grad_(True)
    true(last(start).requires_grad, f"{name}: the result carries no gradient")
    (gradient,) = torch.autograd.grad(last(start), start)
    h, unit = 1e-5, torch.tensor([[1.0, 0.0], [0.0, 0.0]], dtype=torch.float64)
    difference = (last(x + h * unit) - last(x - h * unit)) / (2 * h)
    bound = 1e-5 * (1 + float(difference.abs())) + slack
    close(gradient[0, 0], difference, bound, f"{name}: gradient against finite differences")
