"""Every process, sampler and denoiser that the core exports obeys the laws of `polyscore.testing`; a new one must be added."""

from __future__ import annotations

import inspect
from types import ModuleType
from typing import Any

import pytest
import torch
from tests.core.solvers import DETERMINISTIC, STOCHASTIC
from tests.core.test_processes import PROCESSES
from torch import Tensor, nn

from polyscore import denoisers, guidance, processes, samplers
from polyscore.denoisers import Precondition
from polyscore.processes import VP, GaussianProcess, Product, ShortestPath
from polyscore.samplers import (
    DDIM,
    RK45,
    AdaptiveDPMSolver,
    Ancestral,
    AnnealedLangevin,
    Leafwise,
    PredictorCorrector,
    RePaint,
    ReverseDiffusion,
    ScoreSDEAncestral,
    sample,
)
from polyscore.state import NONE, Given
from polyscore.testing import GaussianDenoiser, check_denoiser, check_sampler

F64 = torch.float64
NOTHING = torch.zeros(())


def one_of_each(solvers: list[tuple[Any, int]]) -> list[tuple[Any, int]]:
    """The first of each class: variants differ in coefficients, whose orders test_samplers_order.py measures."""
    return list({type(solver): (solver, order) for solver, order in reversed(solvers)}.values())


# What a sampler cannot promise is said here, once. Adaptive samplers choose their steps for the whole batch and along the path;
# Euler-Maruyama discretises the drift towards y; score_sde's tables need as many steps as beta_max.
SAMPLERS: list[tuple[Any, dict[str, Any]]] = [
    *((solver, {"order": order}) for solver, order in one_of_each(DETERMINISTIC)),
    *((solver, {}) for solver, _ in one_of_each([(solver, 0) for solver in STOCHASTIC])),
    (ReverseDiffusion(), {"shift_tolerance": 0.1}),
    (ScoreSDEAncestral(), {"steps": 24}),
    (Ancestral(1.0), {}),
    (PredictorCorrector(DDIM(1.0), AnnealedLangevin(0.1)), {}),
    (RePaint(NOTHING, NOTHING, jump=2, resamplings=2), {"mapping": False}),
    (RK45(1e-7, 1e-7), {"batch_tolerance": 1e-5, "shift_tolerance": 1e-5}),
    *(
        (AdaptiveDPMSolver(p, rtol=1e-4, atol=1e-5), {"batch_tolerance": 1e-4, "shift_tolerance": 1e-4, "mapping": False})
        for p in (2, 3)
    ),
]


def exported(package: ModuleType) -> dict[str, type]:
    """The classes that a package exports and that can be made: no protocol, no abstract class."""
    things = {name: getattr(package, name) for name in package.__all__}
    return {
        name: thing
        for name, thing in things.items()
        if inspect.isclass(thing) and not inspect.isabstract(thing) and not getattr(thing, "_is_protocol", False)
    }


def type_name(value: Any) -> str:
    return "" if isinstance(value, dict) else type(value).__name__


def takes(kind: type, method: str, argument: str) -> bool:
    function = getattr(kind, method, None)
    return function is not None and argument in inspect.signature(function).parameters


def covered(kind: type, instances: list[Any]) -> bool:
    return any(type(instance) is kind for instance in instances)


def test_every_process_is_checked() -> None:
    kinds = {n: t for n, t in exported(processes).items() if hasattr(t, "perturb")}
    assert len(kinds) > 15
    bases = {processes.OrnsteinUhlenbeck, processes.Bridge, GaussianProcess, processes.Rigid}  # of Rigid: test_rigid.py
    checked = [*PROCESSES, ShortestPath((4,)), Product()]
    assert [n for n, t in kinds.items() if t not in bases and not covered(t, checked)] == []


def test_every_sampler_is_checked() -> None:
    kinds = {n: t for n, t in exported(samplers).items() if takes(t, "plan", "times") or takes(t, "step", "run")}
    assert len(kinds) > 25
    assert [n for n, t in kinds.items() if not covered(t, [sampler for sampler, _ in SAMPLERS])] == []


def test_every_denoiser_is_checked() -> None:
    """`Precondition` below, wrappers in test_guidance_states.py, which has a test of its own that none is missing."""
    kinds = {n: t for n, t in exported(denoisers).items() if takes(t, "forward", "given") or takes(t, "__call__", "given")}
    assert set(kinds) == {"Precondition"}
    wrappers = {n: t for n, t in exported(guidance).items() if takes(t, "__call__", "given")}
    assert wrappers
    assert all(issubclass(t, guidance.Wrapper) for t in wrappers.values())


@pytest.mark.parametrize(("sampler", "promises"), SAMPLERS, ids=type_name)
def test_laws_of_every_sampler(sampler: Any, promises: dict[str, Any]) -> None:
    # One compiled plan shows that the loop is one graph for any table: test_plan_and_loop.py and check_sampler's own tests.
    check_sampler(sampler, compiled=False, **promises)


class Network(nn.Module):
    """A small smooth network that sees time and condition."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 3)

    def forward(self, x: Tensor, time: Tensor, given: Given) -> Tensor:
        cond = 0.0 if given.cond is None else given.cond[:, None]
        return torch.tanh(self.layer(x)) + torch.sin(time)[:, None] * x + cond


@pytest.mark.parametrize("predicts", ["x0", "eps", "score", "v", "flow", "edm"])
@pytest.mark.parametrize("time", ["t", "log_snr", "index", "edm"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_laws_of_every_parameterisation(predicts: Any, time: Any, dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    model = Precondition(Network().to(dtype), VP(), predicts=predicts, time=time).eval()
    given = Given(cond=torch.linspace(-1, 1, 4, dtype=dtype))
    check_denoiser(model, torch.empty(4, 3, dtype=dtype), given=given, tolerance=1e-5)


@pytest.mark.parametrize("process", PROCESSES, ids=lambda p: type(p).__name__)
def test_a_product_of_one_is_the_process(process: GaussianProcess) -> None:
    product = Product(x=process)
    x0, y = torch.randn(2, 5, 3, generator=torch.Generator().manual_seed(1), dtype=F64)
    given, joint = Given(y=y), Given(y={"x": y})
    assert torch.equal(product.prior({"x": x0}, given=joint, noise=3)["x"], process.prior(x0, given=given, noise=3))  # type: ignore[index]
    alone, leaf = process.perturb(x0, 0.7, given=given, noise=4), product.perturb({"x": x0}, 0.7, given=joint, noise=4)
    assert torch.equal(alone.x, leaf.x["x"])
    assert torch.equal(alone.eps, leaf.eps["x"])
    prediction = GaussianDenoiser(process)(alone.x, 0.7, given)
    moved = process.transition(alone.x, prediction, 0.7, 0.2, eta=0.6, given=given, noise=5)
    wrapped = type(prediction)({"x": prediction.x0})
    assert torch.equal(product.transition(leaf.x, wrapped, 0.7, 0.2, eta=0.6, given=joint, noise=5)["x"], moved)  # type: ignore[index]


@pytest.mark.parametrize(("solver", "promises"), [(s, p) for s, p in SAMPLERS if hasattr(s, "plan")], ids=type_name)
def test_leafwise_of_one_is_the_solver(solver: Any, promises: dict[str, Any]) -> None:
    process, like = VP(), torch.empty(3, 2, dtype=F64)
    plain = GaussianDenoiser(process)

    def denoiser(x: Any, t: Any, given: Given) -> Any:
        prediction = plain(x["x"], t, NONE)
        return type(prediction)({"x": prediction.x0})

    steps = promises.get("steps", 5)
    joint = sample(Leafwise(x=solver), denoiser, Product(x=process), {"x": like}, steps=steps, noise=2)
    torch.testing.assert_close(joint["x"], sample(solver, plain, process, like, steps=steps, noise=2), rtol=0, atol=1e-12)
