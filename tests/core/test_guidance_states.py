"""Guidance on tensors and mappings: leaves, known regions, gradients, places, laws of denoisers, one compiled graph."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest
import torch
from tests.core.linear import JointGaussian
from torch import Tensor

from polyscore import guidance
from polyscore.denoisers import Prediction
from polyscore.errors import InputError
from polyscore.guidance import (
    CFG,
    Autoguidance,
    CFGPlusPlus,
    CFGPlusPlusInversion,
    Clamp,
    ClassifierGuidance,
    DynamicThreshold,
    Interval,
    KnownRegion,
    Rescale,
)
from polyscore.processes import VP, Flow, Product
from polyscore.samplers import DDIM, RK45, Ancestral, DPMSolverPP, EDMChurn, Heun, PredictorCorrector, UniPC, execute, sample
from polyscore.state import NONE, Given
from polyscore.testing import check_denoiser

F64 = torch.float64
MEAN = torch.tensor([0.4, -0.8, 0.3, 0.1], dtype=F64)
COV = torch.tensor([[1.0, 0.5, 0.6, 0.1], [0.5, 0.8, 0.1, 0.2], [0.6, 0.1, 0.7, 0.0], [0.1, 0.2, 0.0, 0.5]], dtype=F64)
JOINT = Product(a=VP(), b=Flow())


class Model:
    """Smooth, couples leaves, sees a condition (B,), keeps the state's dtype; records where it was told to be."""

    def __init__(self) -> None:
        self.places: list[tuple[int, int]] = []

    def begin(self, step: int, stage: int) -> None:
        self.places.append((step, stage))

    def __call__(self, x: Any, t: Any, given: Given) -> Prediction:
        if not isinstance(x, Mapping):
            return Prediction(self.leaf(x, x, given))
        return Prediction({"a": self.leaf(x["a"], x["b"], given), "b": self.leaf(x["b"], x["a"], given)})

    def leaf(self, x: Tensor, other: Tensor, given: Given) -> Tensor:
        shift = 0.2 * other.mean(1, keepdim=True)
        cond = 0.0 if given.cond is None else given.cond.to(x)[:, None]
        return torch.tanh(x + shift) + cond * torch.cos(x)


def points(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=F64)


def log_prob(x: Any, t: Any, given: Given) -> Tensor:
    leaves = list(x.values()) if isinstance(x, Mapping) else [x]
    return torch.stack([torch.sin(leaf).sum(1) for leaf in leaves]).sum(0)


def wrappers(process: Any, known: Any, mask: Any) -> dict[str, Callable[[Any], Any]]:
    """Every wrapper of the package around a model."""
    zero = Given(cond=torch.zeros((), dtype=F64))
    return {
        "CFG": lambda d: CFG(d, zero, 2.0),
        "CFGPlusPlus": lambda d: CFGPlusPlus(d, zero, process, 0.6),
        "CFGPlusPlusInversion": lambda d: CFGPlusPlusInversion(d, zero, process, 0.6),
        "Autoguidance": lambda d: Autoguidance(d, Clamp(d, -0.5, 0.5), 2.0),
        "Interval": lambda d: Interval(CFG(d, zero, 2.0), d, 0.2, 0.6),
        "Rescale": lambda d: Rescale(CFG(d, zero, 2.0), 0.7, "v", process),
        "Clamp": lambda d: Clamp(d, -0.7, 0.7),
        "DynamicThreshold": lambda d: DynamicThreshold(d, 0.8, 0.5),
        "ClassifierGuidance": lambda d: ClassifierGuidance(d, process, log_prob, 0.5),
        "KnownRegion": lambda d: KnownRegion(d, known, mask),
    }


PLAIN = wrappers(VP(), torch.full((1, 6), 0.25), torch.tensor([1.0, 0, 0, 1, 0, 0]))
MAPPED = wrappers(
    JOINT, {"a": torch.full((1, 6), 0.25), "b": torch.zeros(1, 5)}, {"a": torch.tensor([1.0, 0, 0, 1, 0, 0]), "b": torch.zeros(5)}
)
COND = torch.tensor([0.8, -0.5, 0.3, 1.0], dtype=F64)


# Wrappers that need more than any model, or couple samples, are in test_guidance_attention and test_guidance_methods.
ELSEWHERE = {"PerturbedAttention", "CalibratedClassifier", "GradientFreeClassifier", "Reflection", "VendiGuidance"}


def test_the_tables_above_hold_every_wrapper() -> None:
    parts = {name: getattr(guidance, name) for name in guidance.__all__}
    own = {name for name, part in parts.items() if isinstance(part, type) and issubclass(part, guidance.Wrapper)}
    assert set(PLAIN) == set(MAPPED) == own - {"Wrapper"} - ELSEWHERE


@pytest.mark.parametrize("name", PLAIN)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_every_wrapper_obeys_the_laws_of_denoisers(name: str, dtype: torch.dtype) -> None:
    given = Given(cond=COND)
    check_denoiser(PLAIN[name](Model()), torch.empty(4, 6, dtype=dtype), given=given, tolerance=1e-6)
    like = {"a": torch.empty(4, 6, dtype=dtype), "b": torch.empty(4, 5, dtype=dtype)}
    check_denoiser(MAPPED[name](Model()), like, given=given, tolerance=1e-6)


@pytest.mark.parametrize("name", PLAIN)
def test_leaves_that_do_not_see_each_other_are_guided_as_alone(name: str) -> None:
    def model(x: Any, t: Any, given: Given) -> Prediction:
        def own(v: Tensor) -> Tensor:
            out: Tensor = torch.tanh(v) + given.cond.to(v)[:, None] * torch.cos(v)
            return out

        return Prediction({n: own(v) for n, v in x.items()} if isinstance(x, Mapping) else own(x))

    x, given, t = {"a": points(4, 6), "b": points(4, 5, seed=1)}, Given(cond=COND), 0.4
    joint = MAPPED[name](model)(x, t, given)
    alone = PLAIN[name](model)(x["a"], t, given)
    torch.testing.assert_close(joint.x0["a"], alone.x0, rtol=0, atol=1e-12)
    if alone.eps is not None:
        torch.testing.assert_close(joint.eps["a"], alone.eps, rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", PLAIN)
def test_a_held_leaf_stays_and_the_others_are_guided(name: str) -> None:
    hold = {"b": points(4, 5)}
    like = {"a": torch.empty(4, 6, dtype=F64), "b": torch.empty(4, 5, dtype=F64)}
    for sampler in (DDIM(), DPMSolverPP(), Ancestral()):
        runs = [
            sample(sampler, d, JOINT, like, steps=6, grid=[0.99, 0.8, 0.6, 0.5, 0.3, 0.1, 0.0], given=Given(cond=COND), hold=hold)
            for d in (Model(), MAPPED[name](Model()))
        ]
        for out in runs:
            assert torch.equal(out["b"], hold["b"])
            assert torch.isfinite(out["a"]).all()
        assert float((runs[0]["a"] - runs[1]["a"]).abs().max()) > 1e-3


@pytest.mark.parametrize("name", PLAIN)
def test_every_wrapper_passes_the_place_on(name: str) -> None:
    model = Model()
    sample(DDIM(), PLAIN[name](model), VP(), torch.empty(4, 6, dtype=F64), steps=3, given=Given(cond=COND))
    assert list(dict.fromkeys(model.places)) == [(0, 0), (1, 0), (2, 0)]


@pytest.mark.parametrize("name", [*PLAIN])
def test_gradients_flow_through_guided_sampling(name: str) -> None:
    process, x = VP(), points(4, 6)

    def last(x: Tensor) -> Tensor:
        grid = [0.8, 0.5, 0.3, 0.1]
        out: Tensor = sample(DDIM(), PLAIN[name](Model()), process, x, steps=3, grid=grid, given=Given(cond=COND), init=x)
        return out.square().sum()

    start = x.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(last(start), start)
    direction, h = points(4, 6, seed=9), 1e-6
    difference = (last(x + h * direction) - last(x - h * direction)) / (2 * h)
    torch.testing.assert_close((gradient * direction).sum(), difference, rtol=1e-5, atol=1e-5)


def test_guidance_sizes_of_one_pass_follow_the_tree_of_conditions() -> None:
    """Mappings, tuples and numbers stack; anything that differs without a batch axis falls back to two calls."""
    calls: list[int] = []

    def model(x: Any, t: Any, given: Given) -> Prediction:
        calls.append(len(x))
        cond = given.cond
        return Prediction(torch.tanh(x) + cond["class"][0][:, None] * x + cond["strength"])

    def cond(value: Tensor, strength: float) -> Any:
        return {"class": (value, "name"), "strength": strength}

    x, here = points(4, 6), Given(cond=cond(COND, 0.5))
    for null, sizes in ((cond(torch.zeros(1, dtype=F64), 0.5), [8]), (cond(torch.zeros(4, dtype=F64), 0.1), [4, 4])):
        calls.clear()
        found = CFG(model, Given(cond=null), 3.0)(x, 0.3, here)
        assert calls == sizes
        free = model(x, 0.3, Given(cond=null)).x0
        torch.testing.assert_close(found.x0, free + 3 * (model(x, 0.3, here).x0 - free), rtol=0, atol=1e-12)


# --- known regions ---


@pytest.mark.parametrize(
    "sampler",
    [DDIM(), DDIM(1.0), DPMSolverPP(), UniPC(), Heun(), EDMChurn(), Ancestral(), PredictorCorrector(DDIM(1.0)), RK45(1e-4, 1e-4)],
    ids=lambda s: type(s).__name__,
)
def test_a_known_region_is_kept_by_every_sampler(sampler: Any) -> None:
    process, known = VP(), points(5, 4, seed=3)
    mask = torch.tensor([1.0, 0, 0, 1], dtype=F64)
    region = KnownRegion(JointGaussian(process, MEAN, COV), known, mask)
    out = sample(sampler, region, process, torch.empty(5, 4, dtype=F64), steps=12, noise=1)
    torch.testing.assert_close(out[:, mask.bool()], known[:, mask.bool()], rtol=0, atol=1e-12)
    assert float((out[:, ~mask.bool()] - known[:, ~mask.bool()]).abs().min()) > 1e-4


def test_a_known_region_is_noised_as_the_data_on_the_way() -> None:
    """Whatever the model says, the region of the state at t is a known + s eps with the noise it started from (eta = 0)."""
    process, known, start = VP(), points(5, 4, seed=3), points(5, 4, seed=4)
    region = KnownRegion(JointGaussian(process, MEAN, COV), known, torch.ones(4))
    a, _, s = process.coefs_of(0.9)
    for u in (0.6, 0.2):
        out = sample(DDIM(), region, process, start, steps=3, grid=[0.9, 0.8, 0.7, u], init=a * known + s * start)
        expected = process.coefs_of(u).a * known + process.coefs_of(u).s * start
        torch.testing.assert_close(out, expected, rtol=0, atol=1e-12)


def test_a_region_is_a_held_leaf_where_the_parts_are_independent_and_an_approximation_where_not() -> None:
    """Replacement sees the region through its noise; `hold` knows it. Without correlation there is nothing to see."""
    process = Product(x=Flow(), c=Flow())
    like = {"x": torch.empty(6, 3, dtype=F64), "c": torch.empty(6, 1, dtype=F64)}
    known = {"x": torch.zeros(6, 3, dtype=F64), "c": points(6, 1, seed=5)}
    mask = {"x": torch.zeros(3), "c": torch.ones(1)}
    start = {"x": points(6, 3, seed=6), "c": points(6, 1, seed=7)}
    apart = COV.clone()
    apart[3, :3] = apart[:3, 3] = 0.0
    gaps = []
    for cov in (apart, COV):
        model = JointGaussian(process, MEAN, cov)
        region = sample(DDIM(), KnownRegion(model, known, mask), process, like, steps=60, init=start)
        held = sample(DDIM(), model, process, like, steps=60, init=start, hold={"c": known["c"]})
        both = sample(DDIM(), KnownRegion(model, known, mask), process, like, steps=60, init=start, hold={"c": known["c"]})
        assert torch.equal(held["x"], both["x"])  # a region at t = 0 is a held leaf
        torch.testing.assert_close(region["c"], known["c"], rtol=0, atol=1e-12)
        gaps.append(float((region["x"] - held["x"]).abs().max()))
    assert gaps[0] < 1e-12
    assert gaps[1] > 0.01


def test_a_region_and_an_eps_of_its_own_contradict_each_other() -> None:
    process, x = VP(), points(4, 6)
    guided = CFGPlusPlus(Model(), NONE, process, 0.6)
    with pytest.raises(InputError, match="put the region inside"):
        KnownRegion(guided, x, torch.ones(6))(x, 0.4, Given(cond=COND))
    inside = CFGPlusPlus(KnownRegion(Model(), x, torch.ones(6)), NONE, process, 0.6)
    out = sample(DDIM(), inside, process, x, steps=4, given=Given(cond=COND))
    torch.testing.assert_close(out, x, rtol=0, atol=1e-12)


# --- compiled ---


@pytest.mark.parametrize("name", ["CFG", "CFGPlusPlus", "Rescale", "DynamicThreshold", "KnownRegion"])
def test_a_guided_plan_compiles_to_one_graph(name: str) -> None:
    process, x, given = VP(), points(4, 6), Given(cond=COND)

    def model(x: Any, t: Any, given: Given) -> Prediction:
        return Prediction(torch.tanh(x) + (0.0 if given.cond is None else given.cond[:, None] * torch.cos(x)))

    plan = DDIM().plan(process, torch.linspace(0.9, 0.1, 4).tolist())
    denoiser = PLAIN[name](model)
    found = torch.compile(execute, fullgraph=True, backend="eager")(plan, denoiser, process, x, given=given)
    torch.testing.assert_close(found, execute(plan, denoiser, process, x, given=given), rtol=0, atol=1e-12)
    torch._dynamo.reset()
