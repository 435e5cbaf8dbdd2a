"""The laws catch what they are made for: one wrong object for every law."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import pytest
import torch
from torch import Tensor

from polyscore.denoisers import Prediction
from polyscore.noise import Normal, as_noise
from polyscore.processes import OUVE, VP, Coefs, GaussianProcess, Perturbed, Rates, Step
from polyscore.samplers import DDIM, Ancestral, Langevin, Plan, PredictorCorrector, Run, StepState
from polyscore.state import NONE, Given
from polyscore.testing import check_denoiser, check_process, check_sampler

F64 = torch.float64

# --- processes ---


@dataclass(frozen=True)
class Altered(GaussianProcess):
    """VP with one method replaced: the function gets VP's own answer and the arguments."""

    method: str
    change: Callable[..., Any]
    base: GaussianProcess = VP()
    law = Normal()

    def coefs(self, t: Tensor) -> Coefs:
        own = self.base.coefs(t)
        return self.change(own, t) if self.method == "coefs" else own

    def time_at_sigma(self, sigma: Any) -> Tensor:
        own = super().time_at_sigma(sigma)
        return self.change(own) if self.method == "time_at_sigma" else own

    def rates(self, t: Any) -> Rates:
        own = super().rates(t)
        return self.change(own) if self.method == "rates" else own

    def step(self, t: Any, u: Any, *, eta: Any = 1.0) -> Step:
        own = super().step(t, u, eta=eta)
        return self.change(own, u) if self.method == "step" else own

    def prior(self, like: Tensor, *, t: float = 1.0, given: Given = NONE, noise: Any = 0) -> Tensor:
        own = super().prior(like, t=t, given=given, noise=noise)
        return self.change(own) if self.method == "prior" else own

    def perturb(self, x0: Tensor, t: Any, *, given: Given = NONE, noise: Any = 0) -> Perturbed:
        own = super().perturb(x0, t, given=given, noise=noise)
        return self.change(own, t) if self.method == "perturb" else own

    def transition(
        self, x: Any, prediction: Any, t: Any, u: Any, *, eta: Any = 1.0, given: Given = NONE, noise: Any = 0
    ) -> Tensor:
        own = super().transition(x, prediction, t, u, eta=eta, given=given, noise=noise)
        return self.change(own, eta) if self.method == "transition" else own


def coefs(**changes: Callable[[Coefs, Tensor], Tensor]) -> Callable[[Coefs, Tensor], Coefs]:
    return lambda own, t: own._replace(**{key: change(own, t) for key, change in changes.items()})


def global_noise(own: Any, *rest: Any) -> Any:
    torch.rand(1)
    return own


WRONG_PROCESSES: list[tuple[str, str, Callable[..., Any]]] = [
    ("a has shape", "coefs", coefs(a=lambda c, t: c.a.sum())),
    ("b has shape", "coefs", coefs(b=lambda c, t: torch.zeros(()))),
    ("s is not finite", "coefs", coefs(s=lambda c, t: c.s / torch.where(t == 0.5, torch.zeros_like(t), torch.ones_like(t)))),
    (r"a\(0\) = 1", "coefs", coefs(a=lambda c, t: 0.9 * c.a)),
    (r"b\(0\) = 0", "coefs", coefs(b=lambda c, t: 1 - t)),
    ("s must not be negative", "coefs", coefs(s=lambda c, t: -c.s)),
    ("noise level s / a must not fall", "coefs", coefs(s=lambda c, t: t * (1.2 - t), a=lambda c, t: 1 - t / 2)),
    ("inverse of sigma", "time_at_sigma", lambda own: 0.99 * own),
    ("a' differs", "rates", lambda own: own._replace(da=1.01 * own.da)),
    ("s' differs", "rates", lambda own: own._replace(ds=1.01 * own.ds)),
    (r"g\^2 is negative", "rates", lambda own: own._replace(g2=-own.g2)),
    ("keeps the x0 coefficient", "step", lambda own, u: own._replace(data=own.data * 1.001)),
    ("keeps the y coefficient", "step", lambda own, u: own._replace(end=own.end + 0.001)),
    ("keeps the variance", "step", lambda own, u: own._replace(noise=own.noise + 0.001)),
    ("perturb gives", "perturb", lambda own, t: own._replace(x=1.001 * own.x)),
    ("sample by sample", "perturb", lambda own, t: own if isinstance(t, Tensor) else own._replace(x=own.x.flip(0))),
    (r"transition\(eta 0\) keeps eps", "transition", lambda own, eta: own + (0.001 if eta == 0 else 0.0)),
    (r"transition\(eta 1\) is the step", "transition", lambda own, eta: own + (0.001 if eta == 1 else 0.0)),
    ("prior gave", "prior", lambda own: own.double()),
    ("prior is not finite", "prior", lambda own: own / 0),
    ("sample i depends on seed i", "prior", lambda own: own - own.mean(0)),
    ("global random generator", "perturb", global_noise),
]


@pytest.mark.parametrize(("law", "method", "change"), WRONG_PROCESSES, ids=[law for law, _, _ in WRONG_PROCESSES])
def test_check_process_catches(law: str, method: str, change: Callable[..., Any]) -> None:
    with pytest.raises(AssertionError, match=law):
        check_process(Altered(method, change))


def test_check_process_catches_steps_that_do_not_compose() -> None:
    """A share of the noise that is redrawn, whatever the interval: each step keeps the marginal, two steps are not one."""

    class Redrawn(VP):
        def step(self, t: Any, u: Any, *, eta: Any = 1.0) -> Step:
            (a, _, s), (au, _, su) = self.coefs_of(t), self.coefs_of(u)
            keep = 0.6 * su / s
            return Step(keep, au - keep * a, torch.zeros_like(a), 0.8 * su)

    with pytest.raises(AssertionError, match="two steps make one"):
        check_process(Redrawn())


def test_what_is_altered_by_nothing_passes() -> None:
    check_process(Altered("nothing", lambda own: own))


# --- samplers ---


@dataclass(frozen=True)
class Edited:
    """DDIM's plan after an edit."""

    edit: Callable[[Plan], Plan]
    eta: float = 0.0

    def plan(self, process: Any, times: Any) -> Plan:
        return self.edit(DDIM(self.eta).plan(process, times))


def each_stage(**changes: Callable[[Any], Any]) -> Callable[[Plan], Plan]:
    return lambda p: replace(p, stages=tuple(replace(s, **{k: change(s) for k, change in changes.items()}) for s in p.stages))


class Twin(Plan):
    """Compares and hashes as the plan it is made of."""

    def __init__(self, plan: Plan) -> None:
        super().__init__(plan.start, plan.stages, plan.registers, plan.history)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Plan) and self.stages == other.stages

    def __hash__(self) -> int:
        return hash(Plan(self.start, self.stages, 1, self.history))


class Miscounted(Twin):
    @property
    def nfe(self) -> int:
        return super().nfe + 1


class Untraceable(Twin):
    @property
    def registers(self) -> int:
        torch._dynamo.graph_break()
        return 1

    @registers.setter
    def registers(self, value: int) -> None: ...


@dataclass(frozen=True)
class Stepping:
    """`Ancestral` whose new state is changed."""

    change: Callable[[Any, Run, int], Any]
    inner: Any = Ancestral()

    def init(self, run: Run, x: Any) -> StepState:
        state: StepState = self.inner.init(run, x)
        return state

    def step(self, run: Run, state: StepState, i: int) -> StepState:
        new: StepState = self.inner.step(run, state, i)
        return new._replace(x=self.change(new.x, run, i))

    def done(self, run: Run, state: StepState, i: int) -> bool:
        return bool(self.inner.done(run, state, i))


def leaf(function: Callable[[Tensor], Tensor]) -> Callable[..., Any]:
    return lambda x, run, i: {n: function(v) for n, v in x.items()} if isinstance(x, Mapping) else function(x)


def shared_noise(x: Any, run: Run, i: int) -> Any:
    """Adds noise of the batch's shape from one seed: the law is right, sample i is not its seed's."""
    if isinstance(x, Mapping):
        return x
    g = torch.Generator().manual_seed(i)
    return x + 1e-3 * torch.randn(x.shape, generator=g, dtype=x.dtype).flip(0)


def scaled_leaves(x: Any, run: Run, i: int) -> Any:
    return {n: 1.001 * v for n, v in x.items()} if isinstance(x, Mapping) else x


WRONG_SAMPLERS: list[tuple[str, Any, dict[str, Any]]] = [
    ("survive JSON", Edited(each_stage(y=lambda s: float("nan"))), {}),
    ("completes 5 of 6 steps", Edited(lambda p: replace(p, stages=(replace(p.stages[0], ends=None), *p.stages[1:]))), {}),
    ("the plan says 7", Edited(Miscounted), {}),
    ("result is not finite", Edited(each_stage(preds=lambda s: ((0, float("inf")),))), {}),
    ("observed order", Edited(each_stage(preds=lambda s: ((0, s.preds[0][1] * 1.05),))), {}),
    ("observed order 1", DDIM(), {"order": 2}),
    ("standard deviation", Edited(each_stage(noise=lambda s: 1.2 * s.noise), 1.0), {}),
    ("mean", Stepping(leaf(lambda x: x + 0.02)), {}),
    ("y shifts the whole run", Edited(each_stage(y=lambda s: s.y + 0.01), 1.0), {}),
    ("global random generator", Stepping(leaf(lambda x: x + 0 * torch.randn_like(x))), {}),
    ("sample i depends on seed i", PredictorCorrector(DDIM(1.0), Langevin(1e-3, reduce="batch")), {}),
    ("sample i depends on seed i", Stepping(shared_noise), {}),
    ("came back as torch.float64", Stepping(leaf(lambda x: x.double())), {}),
    ("carries no gradient", Stepping(leaf(lambda x: x.detach())), {}),
    ("finite differences", Stepping(leaf(lambda x: 0.99 * x.detach() + 0.01 * x)), {}),
    ("product of one leaf", Stepping(scaled_leaves), {}),
]


@pytest.mark.parametrize(("law", "sampler", "promises"), WRONG_SAMPLERS, ids=[law for law, _, _ in WRONG_SAMPLERS])
def test_check_sampler_catches(law: str, sampler: Any, promises: dict[str, Any]) -> None:
    with pytest.raises(AssertionError, match=law):
        check_sampler(sampler, compiled=False, **promises)


def test_check_sampler_catches_a_plan_that_does_not_compile() -> None:
    with pytest.raises(Exception, match="graph_break"):  # torch's own error names the break
        check_sampler(Edited(Untraceable))
    torch._dynamo.reset()


def test_what_is_edited_by_nothing_passes() -> None:
    check_sampler(Edited(lambda plan: plan), process=VP(0.1, 15.0))
    check_sampler(Stepping(lambda x, run, i: x))


# --- denoisers ---


class Rounded(torch.autograd.Function):
    """A gradient that is not the function's."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return torch.tanh(x)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return gradient


def in_place(x: Any, t: Any, given: Given) -> Prediction:
    return Prediction(x.tanh_() if not x.requires_grad else x.tanh())


WRONG_DENOISERS: list[tuple[str, Callable[..., Any]]] = [
    ("expected a Prediction", lambda x, t, given: x),
    ("x0 has shape", lambda x, t, given: Prediction(x[:, :1])),
    ("x0 is torch.float32", lambda x, t, given: Prediction(x.float())),
    ("x0 is not finite", lambda x, t, given: Prediction(x / 0)),
    ("changed in place", in_place),
    ("a tensor of equal times", lambda x, t, given: Prediction(x * (1 if isinstance(t, Tensor) else 2))),
    ("a sample alone", lambda x, t, given: Prediction(x - x.mean(0))),
    ("global random generator", lambda x, t, given: Prediction(x + 0 * torch.randn_like(x))),
    ("carries no gradient", lambda x, t, given: Prediction(x.detach().tanh())),
    ("gradient is not finite", lambda x, t, given: Prediction(torch.sqrt(0 * x) + x)),
    ("against finite differences", lambda x, t, given: Prediction(Rounded.apply(x))),  # type: ignore[no-untyped-call]
]


@pytest.mark.parametrize(("law", "denoiser"), WRONG_DENOISERS, ids=[law for law, _ in WRONG_DENOISERS])
def test_check_denoiser_catches(law: str, denoiser: Any) -> None:
    with pytest.raises(AssertionError, match=law):
        check_denoiser(denoiser, torch.empty(4, 3, dtype=F64))


def test_check_denoiser_catches_missing_leaves() -> None:
    like = {"a": torch.empty(4, 3, dtype=F64), "b": torch.empty(4, 2, dtype=F64)}
    check_denoiser(lambda x, t, given: Prediction({n: v.tanh() for n, v in x.items()}), like)
    with pytest.raises(AssertionError, match=r"x0 has leaves \['a'\]"):
        check_denoiser(lambda x, t, given: Prediction({"a": x["a"].tanh()}), like)
    with pytest.raises(AssertionError, match="b: a sample alone"):
        check_denoiser(lambda x, t, given: Prediction({"a": x["a"].tanh(), "b": x["b"] - x["b"].mean(0)}), like)


def test_laws_that_an_object_cannot_promise_are_waived_by_name() -> None:
    like = torch.empty(4, 3, dtype=F64)
    check_denoiser(lambda x, t, given: Prediction(x - x.mean(0)), like, independent=False)
    check_denoiser(lambda x, t, given: Prediction(x.detach().tanh()), like, differentiable=False)
    check_process(OUVE(), given=Given(y=torch.ones(5, 3, dtype=F64)))
    assert as_noise(3)(like).shape == like.shape
