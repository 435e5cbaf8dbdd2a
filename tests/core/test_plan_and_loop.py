"""The plan, the builder and the one loop."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given as for_all
from hypothesis import settings
from hypothesis import strategies as st
from torch import Tensor

from polyscore.denoisers import Prediction
from polyscore.errors import InputError
from polyscore.noise import Recorded, Seeded
from polyscore.processes import OUVE, VE, VP, Flow, Product, ShortestPath, VEBridge
from polyscore.samplers import DDIM, Ancestral, Plan, execute, grids, sample, times_of, trajectory
from polyscore.samplers.builder import Builder
from polyscore.state import NONE, Given, State, Time
from polyscore.testing import GaussianDenoiser, check_sampler

F64 = torch.float64


class Joint:
    """Half the joint state, whatever the time."""

    def __init__(self) -> None:
        self.times: list[Time] = []

    def __call__(self, x: State, t: Time, given: Given) -> Prediction:
        self.times.append(t)
        return Prediction({name: leaf * 0.5 for name, leaf in x.items()})  # type: ignore[union-attr]


def test_first_order_samplers_obey_the_laws() -> None:
    check_sampler(DDIM(0.0))
    check_sampler(DDIM(1.0), compiled=False)
    check_sampler(Ancestral(1.0))


class Biased:
    """DDIM whose steps end 5 % off: consistent with nothing."""

    def plan(self, process: Any, times: Any) -> Plan:
        b = Builder(process, times)
        for _, t, u in b.steps:
            step = process.step(t.t, u.t, eta=0.0)
            b.call(t)
            b.move(u, keep=step.keep.numpy(), preds=[step.data.numpy() * 1.05], ends=True)
        return b.plan()


def test_check_sampler_fails_on_a_wrong_sampler_and_on_an_order_it_does_not_have() -> None:
    with pytest.raises(AssertionError, match="observed order"):
        check_sampler(Biased(), compiled=False)
    with pytest.raises(AssertionError, match="observed order"):
        check_sampler(DDIM(0.0), order=2, compiled=False)


def test_the_ancestral_stepper_equals_the_plan() -> None:
    process = OUVE()
    denoiser, like = GaussianDenoiser(process), torch.empty(5, 3, dtype=F64)
    given = Given(y=torch.randn(5, 3, generator=torch.Generator().manual_seed(0), dtype=F64))
    for eta in (0.0, 0.4, 1.0):
        draws = [torch.randn(5, 3, generator=torch.Generator().manual_seed(k), dtype=F64) for k in range(8)]
        one = sample(Ancestral(eta), denoiser, process, like, steps=7, given=given, noise=Recorded(draws))
        two = sample(DDIM(eta), denoiser, process, like, steps=7, given=given, noise=Recorded(draws))
        torch.testing.assert_close(one, two, rtol=0, atol=1e-13)


def test_plan_prints_compares_hashes_and_survives_json() -> None:
    plan = DDIM(1.0).plan(VP(), times_of(VP(), 3))
    text = str(plan)
    assert "3 evaluations, 2 draws" in text and text.count("->") == 3 and "eps" in text
    assert Plan.from_json(plan.to_json()) == plan and {plan: 1}[Plan.from_json(plan.to_json())] == 1
    frequency = ShortestPath((4,))
    tensor_plan = DDIM(0.0).plan(frequency, times_of(frequency, 3))
    assert Plan.from_json(tensor_plan.to_json()) == tensor_plan and "[..]" in str(tensor_plan)


def test_per_frequency_plans_equal_frequency_by_frequency_runs() -> None:
    process = ShortestPath((4,))
    x = torch.randn(3, 4, generator=torch.Generator().manual_seed(0), dtype=F64)
    times = times_of(process, 6)
    plan = DDIM(0.0).plan(process, times)
    whole = execute(plan, GaussianDenoiser(process), process, x)
    for k in range(4):

        class Single(ShortestPath):
            def coefs(self, t: Tensor) -> Any:
                a, b, s = super().coefs(t)
                return type(super().coefs(t))(a[..., k], b[..., k], s[..., k])  # noqa: B023

        single = Single((4,))
        alone = execute(DDIM(0.0).plan(single, times), GaussianDenoiser(single), single, x[:, k : k + 1])
        torch.testing.assert_close(alone, whole[:, k : k + 1], rtol=0, atol=1e-13)


def test_trajectory_is_a_generator_that_can_be_stopped() -> None:
    process = VP()
    frames = trajectory(DDIM(0.0), GaussianDenoiser(process), process, torch.empty(2, 3, dtype=F64), steps=10)
    first = next(frames)
    assert first.i == 1 and first.t == times_of(process, 10)[1] and first.prediction.x0.shape == (2, 3)
    rest = list(frames)
    assert [f.i for f in rest] == list(range(2, 11)) and rest[-1].t == 0.0
    torch.testing.assert_close(rest[-1].x, rest[-1].prediction.x0)


def test_starting_in_the_middle_and_img2img() -> None:
    process = VP()
    denoiser = GaussianDenoiser(process)
    times = times_of(process, 8)
    x = process.prior(torch.empty(4, 2, dtype=F64), noise=5)
    whole = [f.x for f in trajectory(DDIM(0.0), denoiser, process, x, steps=8, init=x)]
    tail = sample(DDIM(0.0), denoiser, process, x, steps=5, grid=times[3:], init=whole[2])
    torch.testing.assert_close(tail, whole[-1], rtol=0, atol=1e-14)


def test_mapping_state_compiles_in_one_graph_and_shares_one_joint_call() -> None:
    system = Product(x=VP(), adj=VE())
    x = {"x": torch.randn(4, 3, generator=torch.Generator().manual_seed(0)), "adj": torch.ones(4, 3, 3)}
    plans = {name: DDIM(1.0).plan(system[name], times_of(system, 5)) for name in system}  # type: ignore[arg-type]
    draws = [torch.randn(s, generator=torch.Generator().manual_seed(k)) for k in range(8) for s in ((4, 3), (4, 3, 3))]
    joint = Joint()
    plain = execute(plans, joint, system, x, noise=Recorded(draws))
    assert len(joint.times) == 5
    compiled = torch.compile(execute, fullgraph=True, backend="eager")(plans, Joint(), system, x, noise=Recorded(draws))
    for name in x:
        torch.testing.assert_close(compiled[name], plain[name])
    torch._dynamo.reset()


def test_held_leaves_stay_and_are_seen_at_time_zero() -> None:
    system, joint = Product(x=VP(), adj=VE()), Joint()
    like = {"x": torch.empty(2, 3), "adj": torch.empty(2, 3, 3)}
    known = torch.ones(2, 3)
    out = sample(DDIM(0.0), joint, system, like, steps=4, hold={"x": known})
    assert torch.equal(out["x"], known)
    times = [t for t in joint.times if isinstance(t, dict)]
    assert len(times) == 4 and all(t["x"] == 0.0 and t["adj"] > 0 for t in times)
    with pytest.raises(InputError, match="hold"):
        sample(DDIM(0.0), joint, system, like, steps=4, hold={"z": known})


def test_begin_tells_step_and_stage() -> None:
    process = VP()

    class Watching(GaussianDenoiser):
        calls: list[tuple[int, int]] = []

        def begin(self, step: int, stage: int) -> None:
            self.calls.append((step, stage))

    sample(DDIM(0.0), Watching(process), process, torch.empty(1, 1), steps=3)
    assert Watching.calls == [(0, 0), (1, 0), (2, 0)]


def test_own_eps_replaces_the_state_s_noise() -> None:
    """With eps' of its own a first-order step is a_u x0 + b_u y + s_u eps' (the CFG++ re-noising)."""
    process = OUVE()
    x0, eps, y = (torch.randn(2, 2, generator=torch.Generator().manual_seed(k), dtype=F64) for k in range(3))

    def denoiser(x: Any, t: Any, given: Given) -> Prediction:
        return Prediction(x0, eps)

    out = sample(DDIM(0.0), denoiser, process, y, steps=1, grid=[0.8, 0.3], given=Given(y=y))
    a, b, s = process.coefs_of(0.3)
    torch.testing.assert_close(out, a * x0 + b * y + s * eps)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"steps": 0}, "at least 1"),
        ({"steps": 3, "grid": [1.0, 0.5]}, "2 times for 3 steps"),
        ({"steps": 2, "grid": [1.0, float("nan"), 0.0]}, "not finite"),
        ({"steps": 3, "grid": grids.LogSNR()}, "infinite at t = 1"),
    ],
)
def test_bad_grids_are_named(arguments: dict[str, Any], message: str) -> None:
    process = Flow()
    with pytest.raises(InputError, match=message):
        sample(DDIM(0.0), GaussianDenoiser(process), process, torch.empty(2, 2), **arguments)


@for_all(
    n=st.integers(1, 12),
    batch=st.integers(1, 4),
    shape=st.lists(st.integers(1, 4), max_size=3),
    dtype=st.sampled_from([torch.float32, torch.float64]),
    seed=st.integers(0, 1000),
    eta=st.sampled_from([0.0, 0.3, 1.0]),
    index=st.integers(0, 4),
)
@settings(max_examples=60, deadline=None)
def test_any_shape_dtype_grid_and_seed_runs(
    n: int, batch: int, shape: list[int], dtype: torch.dtype, seed: int, eta: float, index: int
) -> None:
    process = (VP(), VE(), Flow(), OUVE(), VEBridge())[index]
    like = torch.empty(batch, *shape, dtype=dtype)
    given = Given(y=torch.ones_like(like)) if index > 2 else NONE
    out = sample(DDIM(eta), GaussianDenoiser(process), process, like, steps=n, given=given, noise=Seeded(seed))
    assert out.shape == like.shape and out.dtype == dtype and bool(torch.isfinite(out).all())


@pytest.mark.parametrize(
    "grid",
    [
        grids.uniform,
        grids.quadratic,
        grids.cosine,
        grids.leading_one,
        grids.Karras(0.01, 50.0),
        grids.Exponential(0.01, 50.0),
        grids.LogSNR(),
        grids.Angle(),
        grids.Shift(3.0),
        grids.SGMSE(),
        grids.IndexGrid("trailing"),
        grids.IndexGrid("leading"),
        grids.IndexGrid("linspace"),
        grids.AlignYourSteps((50.0, 10.0, 2.0, 0.4, 0.05)),
    ],
    ids=lambda g: getattr(g, "__name__", type(g).__name__),
)
@pytest.mark.parametrize("n", [1, 2, 5, 10])
def test_grids_fall_from_the_noise_to_the_data(grid: Any, n: int) -> None:
    times = times_of(VP(), n, grid)
    assert times[-1] == 0.0 and all(t > u for t, u in zip(times[:-1], times[1:], strict=True)) and times[0] <= 1.0


def test_level_grids_hit_their_levels() -> None:
    process = VP()
    sigma = process.sigma(torch.tensor(times_of(process, 5, grids.Karras(0.02, 80.0))[:-1], dtype=F64))
    expected = [(80 ** (1 / 7) + i / 4 * (0.02 ** (1 / 7) - 80 ** (1 / 7))) ** 7 for i in range(5)]
    torch.testing.assert_close(sigma, torch.tensor(expected, dtype=F64), rtol=1e-8, atol=0)
    lam = process.half_log_snr(torch.tensor(times_of(process, 6, grids.LogSNR())[:-1], dtype=F64)).diff()
    torch.testing.assert_close(lam, lam[:1].expand(5), rtol=1e-7, atol=0)
    t = torch.tensor(times_of(Flow(), 4, grids.Shift(3.0)), dtype=F64)
    torch.testing.assert_close(t, torch.tensor([1, 0.9, 0.75, 0.5, 0], dtype=F64))


def test_a_finished_plan_is_a_sampler() -> None:
    process = VP()
    plan, like = DDIM(0.0).plan(process, times_of(process, 4)), torch.empty(3, 2, dtype=F64)
    one = sample(plan, GaussianDenoiser(process), process, like, noise=2)
    assert torch.equal(one, sample(DDIM(0.0), GaussianDenoiser(process), process, like, steps=4, noise=2))
