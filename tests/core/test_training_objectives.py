"""Objectives: known minima at the exact denoiser, one loss in many spaces, equal gradients."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from polyscore.denoisers import Precondition, Prediction
from polyscore.processes import OUVE, VE, VP, Cosine, Flow, GaussianProcess, Product, ShortestPath
from polyscore.state import NONE, Given
from polyscore.testing import GMMDenoiser, Mixture
from polyscore.training import (
    EDMWeight,
    EpsLoss,
    FlowMatching,
    Likelihood,
    Objective,
    ScoreMatching,
    VLoss,
    X0Loss,
)

OBJECTIVES: list[Objective] = [X0Loss(), EpsLoss(), ScoreMatching(), VLoss(), FlowMatching()]
PROCESSES: list[GaussianProcess] = [VP(), Cosine(), Flow(), VE(0.01, 10.0), OUVE()]


def named(thing: object) -> str:
    return type(thing).__name__


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@dataclass(frozen=True)
class Bent:
    """A denoiser that is right about nothing."""

    weight: Tensor

    def __call__(self, x: Tensor, t: Any, given: Given) -> Prediction:
        return Prediction(torch.tanh(x @ self.weight) + 0.3 * torch.as_tensor(t).reshape(-1, 1))


def data(n: int, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """Data, end points and times."""
    g = generator(seed)
    x0, y = (torch.randn(n, 3, generator=g, dtype=torch.float64) for _ in range(2))
    return x0, y, 0.05 + 0.9 * torch.rand(n, generator=g, dtype=torch.float64)


@pytest.mark.parametrize("objective", OBJECTIVES, ids=named)
@pytest.mark.parametrize("process", [VP(), Flow(), VE(0.01, 10.0)], ids=named)
def test_the_exact_denoiser_reaches_the_known_minimum(objective: Objective, process: GaussianProcess) -> None:
    # For data N(mu, C) the least x0 error is the posterior variance tr (C^-1 + (a / s)^2 I)^-1, and c(t)^2 times it elsewhere.
    cov = torch.tensor([[1.0, 0.6], [0.6, 0.8]], dtype=torch.float64)
    mean = torch.tensor([0.5, -1.0], dtype=torch.float64)
    denoiser = GMMDenoiser(Mixture(torch.ones(1, dtype=torch.float64), mean[None], cov[None]), process)
    n = 40_000
    x0 = mean + torch.randn(n, 2, generator=generator(), dtype=torch.float64) @ torch.linalg.cholesky(cov).T
    for time in (0.2, 0.7):
        t = torch.full((n,), time, dtype=torch.float64)
        loss = objective(denoiser, process, x0, t=t, noise=_Draws(1)).sum(1)
        a, _, s = process.coefs_of(time)
        eye = torch.eye(2, dtype=torch.float64)
        least = torch.linalg.inv(torch.linalg.inv(cov) + (a / s) ** 2 * eye).trace()
        expected = objective.scale(process, torch.tensor(time, dtype=torch.float64)) ** 2 * least
        assert abs(float(loss.mean() - expected)) < 4.5 * float(loss.std()) / n**0.5


class _Draws:
    """One generator for the whole batch."""

    def __init__(self, seed: int) -> None:
        self.generator = generator(seed)

    def __call__(self, like: Tensor, t: object = None, u: object = None) -> Tensor:
        return torch.randn(like.shape, generator=self.generator, dtype=like.dtype)


def test_an_error_orthogonal_to_the_data_adds_its_square() -> None:
    # E |x0 - (E[x0|x] + d)|^2 = minimum + |d|^2: the exact denoiser is the minimum, and a unique one.
    process = Cosine()
    weights = torch.tensor([0.4, 0.6], dtype=torch.float64)
    means = torch.tensor([[-1.0, 0.5], [1.0, 0.0]], dtype=torch.float64)
    mixture = Mixture(weights, means, 0.05 * torch.eye(2, dtype=torch.float64).expand(2, 2, 2))
    exact = GMMDenoiser(mixture, process)
    g = generator()
    n = 60_000
    label = (torch.rand(n, generator=g) < 0.6).long()
    x0 = means[label] + 0.05**0.5 * torch.randn(n, 2, generator=g, dtype=torch.float64)
    t = torch.full((n,), 0.5, dtype=torch.float64)

    def off(x: Tensor, t: Any, given: Given) -> Prediction:
        return Prediction(exact(x, t, given).x0 + torch.tensor([0.2, -0.1]))

    best = X0Loss()(exact, process, x0, t=t, noise=_Draws(2)).sum(1)
    worse = X0Loss()(off, process, x0, t=t, noise=_Draws(2)).sum(1)
    gain = worse - best
    assert abs(float(gain.mean()) - 0.05) < 4.5 * float(gain.std()) / n**0.5


@pytest.mark.parametrize("process", PROCESSES, ids=named)
def test_each_loss_is_the_squared_error_in_its_space(process: GaussianProcess) -> None:
    x0, y, t = data(50)
    given = Given(y=y) if isinstance(process, OUVE) else NONE
    denoiser = Bent(torch.randn(3, 3, generator=generator(5), dtype=torch.float64))
    x, eps = process.perturb(x0, t, given=given, noise=7)
    hat = denoiser(x, t, given).x0
    a, _, s = (c[:, None] for c in process.coefs_of(t))
    eps_hat = process.eps(x, hat, t, given=given)
    expected = {
        "X0Loss": x0 - hat,
        "EpsLoss": eps - eps_hat,
        "ScoreMatching": -eps / s - process.score(x, hat, t, given=given),
        "VLoss": (a * eps - s * x0) - (a * eps_hat - s * hat),
        "FlowMatching": process.velocity(x, x0, t, given=given) - process.velocity(x, hat, t, given=given),
    }
    for objective in OBJECTIVES:
        loss = objective(denoiser, process, x0, t=t, given=given, noise=7)
        torch.testing.assert_close(loss, expected[named(objective)].square(), rtol=1e-8, atol=1e-10)


def test_the_velocity_of_rectified_flow_is_noise_minus_data() -> None:
    x0, _, t = data(20)
    process, denoiser = Flow(), Bent(torch.eye(3, dtype=torch.float64))
    x, eps = process.perturb(x0, t, noise=3)
    u_hat = (x - denoiser(x, t, NONE).x0) / t[:, None]
    loss = FlowMatching()(denoiser, process, x0, t=t, noise=3)
    torch.testing.assert_close(loss, (eps - x0 - u_hat).square())


class _Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        g = generator(11)
        self.first = nn.Parameter(torch.randn(4, 8, generator=g, dtype=torch.float64))
        self.last = nn.Parameter(torch.randn(8, 3, generator=g, dtype=torch.float64))

    def forward(self, x: Tensor, time: Tensor, given: Given) -> Tensor:
        return torch.tanh(torch.cat([x, time[:, None]], 1) @ self.first) @ self.last


@pytest.mark.parametrize(
    ("predicts", "objective"),
    [("eps", EpsLoss()), ("x0", X0Loss()), ("v", VLoss()), ("flow", FlowMatching()), ("edm", X0Loss(EDMWeight()))],
)
def test_the_loss_of_a_parameterisation_is_the_error_of_its_network(predicts: Any, objective: Objective) -> None:
    process = Flow() if predicts == "flow" else VE(0.01, 10.0) if predicts == "edm" else Cosine()
    model = Precondition(_Net(), process, predicts=predicts)
    x0, _, t = data(64)
    x = process.perturb(x0, t, noise=1).x
    expected = (model.raw(x, t) - model.target(x, x0, t)).square()
    torch.testing.assert_close(objective(model, process, x0, t=t, noise=1), expected, rtol=1e-7, atol=1e-9)


def test_likelihood_weighting_is_the_diffusion_of_the_sde() -> None:
    t = torch.linspace(0.01, 1, 20, dtype=torch.float64)
    beta = 0.1 + 19.9 * t
    torch.testing.assert_close(Likelihood()(VP(), t), beta)


def test_given_draws_make_equal_losses_and_nothing_is_reduced() -> None:
    x0, _, t = data(6)
    denoiser = Bent(torch.eye(3, dtype=torch.float64))
    first, again, other = (EpsLoss()(denoiser, VP(), x0, t=t, noise=seed) for seed in (0, 0, 1))
    assert first.shape == x0.shape
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.equal(EpsLoss()(denoiser, VP(), x0[2:], t=t[2:], noise=2), first[2:])


def test_complex_states_have_real_losses() -> None:
    x0 = torch.randn(4, 1, 5, 6, generator=generator(), dtype=torch.complex128)
    y = x0 + 0.1

    def denoiser(x: Tensor, t: Any, given: Given) -> Prediction:
        return Prediction(0.5 * x)

    t = torch.full((4,), 0.5, dtype=torch.float64)
    loss = X0Loss()(denoiser, OUVE(), x0, t=t, given=Given(y=y), noise=0)
    x = OUVE().perturb(x0, t, given=Given(y=y), noise=0).x
    assert not loss.is_complex()
    torch.testing.assert_close(loss, (x0 - 0.5 * x).abs() ** 2)


def test_per_frequency_processes_weigh_each_frequency() -> None:
    process = ShortestPath((4, 4))
    x0 = torch.randn(3, 4, 4, generator=generator(), dtype=torch.float64)
    t = torch.tensor([0.2, 0.5, 0.8], dtype=torch.float64)

    def denoiser(x: Tensor, t: Any, given: Given) -> Prediction:
        return Prediction(torch.zeros_like(x))

    a, _, s = process.coefs_of(t)
    torch.testing.assert_close(EpsLoss()(denoiser, process, x0, t=t, noise=0), (a / s * x0).square())


def test_a_product_gives_one_loss_a_leaf_and_none_for_known_leaves() -> None:
    process = Product(a=VP(), b=Flow())
    g = generator()
    x0 = {"a": torch.randn(5, 3, generator=g, dtype=torch.float64), "b": torch.randn(5, 2, generator=g, dtype=torch.float64)}

    def denoiser(x: Any, t: Any, given: Given) -> Prediction:
        return Prediction({"a": 0.5 * x["a"] + x["b"].sum(1, keepdim=True), "b": 0.1 * x["b"]})

    t = torch.full((5,), 0.4, dtype=torch.float64)
    loss = EpsLoss()(denoiser, process, x0, t=t, noise=0)
    x = process.perturb(x0, t, noise=0).x
    assert set(loss) == {"a", "b"}
    a, _, s = VP().coefs_of(0.4)
    expected = (a / s * (x0["a"] - 0.5 * x["a"] - x["b"].sum(1, keepdim=True))).square()
    torch.testing.assert_close(loss["a"], expected)
    held = EpsLoss()(denoiser, process, x0, t={"a": t, "b": 0.0}, noise=0)
    assert set(held) == {"a"}
