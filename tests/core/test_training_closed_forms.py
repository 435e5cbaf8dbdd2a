"""Every objective on Gaussian data has E[x0 | x] as its minimiser, and equals its published form up to the last digits.

A linear denoiser makes each loss a quadratic function of z = (x0, eps). The mean of such a function over a Gaussian z is its mean
over the 2 n points +-sqrt(n) e_i, so expectations here are exact sums over 8 points and one Newton step finds the minimiser.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import get_args

import pytest
import torch
from torch import Tensor, nn

from polyscore.denoisers import Precondition
from polyscore.denoisers.precondition import Predicts
from polyscore.noise import Recorded
from polyscore.processes import OUVE, VP, Cosine, Flow, GaussianProcess
from polyscore.state import NONE, Given
from polyscore.training import (
    P2,
    SNR,
    ConstantWeight,
    EDMWeight,
    EpsLoss,
    FlowMatching,
    Likelihood,
    MinSNR,
    Objective,
    ScoreMatching,
    TruncatedSNR,
    Variance,
    VLoss,
    Weighting,
    X0Loss,
)

F64 = torch.float64
MEAN = torch.tensor([0.5, -1.0], dtype=F64)
COV = torch.tensor([[1.0, 0.6], [0.6, 0.8]], dtype=F64)
WEIGHTINGS: list[Weighting] = [
    ConstantWeight(2.0),
    Variance(),
    Likelihood(),
    SNR(),
    TruncatedSNR(),
    MinSNR(3.0),
    P2(0.7, 0.5),
    EDMWeight(0.4),
]
OBJECTIVES: list[type[Objective]] = [X0Loss, EpsLoss, ScoreMatching, VLoss, FlowMatching]
PREDICTS: tuple[Predicts, ...] = get_args(Predicts)


class Affine(nn.Module):
    """x -> A x + c: at one time, every affine denoiser in every parameterisation."""

    def __init__(self) -> None:
        super().__init__()
        self.matrix, self.offset = nn.Parameter(torch.zeros(2, 2, dtype=F64)), nn.Parameter(torch.zeros(2, dtype=F64))

    def forward(self, x: Tensor, time: Tensor, given: Given) -> Tensor:
        return x @ self.matrix.T + self.offset


def sigma_points() -> tuple[Tensor, Tensor]:
    """8 data points and noises whose averages of quadratic functions are the exact expectations."""
    unit = 2 * torch.cat([torch.eye(4, dtype=F64), -torch.eye(4, dtype=F64)])
    return MEAN + unit[:, :2] @ torch.linalg.cholesky(COV).T, unit[:, 2:]


def posterior_mean(process: GaussianProcess, x: Tensor, t: float, y: Tensor | None) -> Tensor:
    """E[x0 | x] = mu + a C (a^2 C + s^2 I)^-1 (x - a mu - b y)."""
    a, b, s = process.coefs_of(t)
    gain = a * COV @ torch.linalg.inv(a**2 * COV + s**2 * torch.eye(2, dtype=F64))
    centred = x - a * MEAN if y is None else x - a * MEAN - b * y
    mean: Tensor = MEAN + centred @ gain.T
    return mean


@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("process", [VP(), Cosine(), Flow(), OUVE()], ids=lambda p: type(p).__name__)
@pytest.mark.parametrize("predicts", PREDICTS)
def test_the_linear_minimiser_is_the_posterior_mean(
    objective: type[Objective], process: GaussianProcess, predicts: Predicts
) -> None:
    x0, eps = sigma_points()
    y = torch.tensor([[0.3, 0.7]], dtype=F64).expand(8, 2) if isinstance(process, OUVE) else None
    given = Given(y=y)
    for time in (0.15, 0.6):
        t = torch.full((8,), time, dtype=F64)
        model = Precondition(Affine(), process, predicts=predicts)
        names = [name for name, _ in model.named_parameters()]

        def mean_loss(flat: Tensor, model: Precondition = model, t: Tensor = t, names: list[str] = names) -> Tensor:
            parameters = dict(zip(names, (flat[:4].view(2, 2), flat[4:]), strict=True))

            def denoiser(*args: object) -> object:
                return torch.func.functional_call(model, parameters, args)

            loss: Tensor = objective()(denoiser, process, x0, t=t, given=given, noise=Recorded([eps]))  # type: ignore[arg-type]
            return loss.sum(1).mean()

        start = torch.zeros(6, dtype=F64)
        hessian = torch.func.hessian(mean_loss)(start)
        gradient = torch.func.grad(mean_loss)(start)
        assert bool((torch.linalg.eigvalsh(hessian) > 0).all())  # strictly convex: one minimiser
        best = start - torch.linalg.solve(hessian, gradient)
        assert torch.func.grad(mean_loss)(best).abs().max() <= 1e-10 * gradient.abs().max()  # and the Newton step is there
        with torch.no_grad():
            for parameter, value in zip(model.parameters(), (best[:4].view(2, 2), best[4:]), strict=True):
                parameter.copy_(value)
        x = process.perturb(x0, t, given=given, noise=Recorded([eps])).x
        torch.testing.assert_close(model(x, t, given).x0, posterior_mean(process, x, time, y), rtol=1e-9, atol=1e-9)


# --------------------------------------------------------------------------------------- equal losses, equal gradients
class Net(nn.Module):
    """A small network with a time input."""

    def __init__(self) -> None:
        super().__init__()
        g = torch.Generator().manual_seed(11)
        self.first = nn.Parameter(torch.randn(3, 8, generator=g, dtype=F64))
        self.last = nn.Parameter(torch.randn(8, 2, generator=g, dtype=F64))

    def forward(self, x: Tensor, time: Tensor, given: Given) -> Tensor:
        return torch.tanh(torch.cat([x, time[:, None]], 1) @ self.first) @ self.last


def batch() -> tuple[Tensor, Tensor, Tensor]:
    g = torch.Generator().manual_seed(3)
    x0, eps = (torch.randn(64, 2, generator=g, dtype=F64) for _ in range(2))
    return x0, eps, 0.05 + 0.9 * torch.rand(64, generator=g, dtype=F64)


def vp(t: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """a, s and their rates, of the linear-beta VP process, written out."""
    beta, a = 0.1 + 19.9 * t, torch.exp(-19.9 * t**2 / 4 - 0.1 * t / 2)
    s = torch.sqrt(1 - a**2)
    return a, s, -beta * a / 2, beta * a**2 / (2 * s)


def published(space: type[Objective], x: Tensor, x0: Tensor, eps: Tensor, hat: Tensor, t: Tensor) -> Tensor:
    """Target minus prediction as the papers define them, with the prediction made from x0hat."""
    a, s, da, ds = (part[:, None] for part in vp(t))
    eps_hat = (x - a * hat) / s
    pairs: dict[type[Objective], tuple[Tensor, Tensor]] = {
        X0Loss: (x0, hat),
        EpsLoss: (eps, eps_hat),
        ScoreMatching: (-(x - a * x0) / s**2, -(x - a * hat) / s**2),
        VLoss: (a * eps - s * x0, a * eps_hat - s * hat),
        FlowMatching: (da * x0 + ds * eps, da * hat + ds * eps_hat),
    }
    target, prediction = pairs[space]
    return target - prediction


def weights(weighting: Weighting, t: Tensor) -> Tensor:
    """w(t) as the papers write it."""
    a, s, _, _ = vp(t)
    snr, sigma = (a / s) ** 2, s / a
    table: dict[type[Weighting], Callable[[], Tensor]] = {
        ConstantWeight: lambda: torch.full_like(t, 2.0),
        Variance: lambda: s**2,
        Likelihood: lambda: 0.1 + 19.9 * t,
        SNR: lambda: snr,
        TruncatedSNR: lambda: torch.maximum(snr, torch.ones_like(t)),
        MinSNR: lambda: torch.minimum(snr, torch.full_like(t, 3.0)),
        P2: lambda: 1 / (0.5 + snr) ** 0.7,
        EDMWeight: lambda: (sigma**2 + 0.4**2) / (sigma * 0.4) ** 2,
    }
    return table[type(weighting)]()


def gradient(net: nn.Module, loss: Tensor) -> Tensor:
    return torch.cat([part.flatten() for part in torch.autograd.grad(loss.mean(), list(net.parameters()))])


def far(one: Tensor, other: Tensor) -> float:
    return float((one - other).norm() / other.norm())


@pytest.mark.parametrize("predicts", PREDICTS)
@pytest.mark.parametrize("space", OBJECTIVES)
def test_each_pair_has_the_gradient_of_its_published_form(space: type[Objective], predicts: Predicts) -> None:
    x0, eps, t = batch()
    net, process = Net(), VP()
    model = Precondition(net, process, predicts=predicts)
    x = process.perturb(x0, t, noise=Recorded([eps])).x
    for weighting in WEIGHTINGS:
        mine = space(weighting)(model, process, x0, t=t, noise=Recorded([eps]))  # type: ignore[call-arg]
        theirs = weights(weighting, t)[:, None] * published(space, x, x0, eps, model(x, t, NONE).x0, t).square()
        assert far(gradient(net, mine), gradient(net, theirs)) <= 1e-12, weighting


class Times(Weighting):
    """The product or quotient of two weightings."""

    def __init__(self, one: Weighting, other: Weighting, *, power: int = 1) -> None:
        self.one, self.other, self.power = one, other, power

    def __call__(self, process: GaussianProcess, t: Tensor) -> Tensor:
        return self.one(process, t) * self.other(process, t) ** self.power


class SNRPlusOne(Weighting):
    """snr + 1, the weight that makes the x0 loss the v loss where a^2 + s^2 = 1."""

    def __call__(self, process: GaussianProcess, t: Tensor) -> Tensor:
        return process.snr(t) + 1


def equivalent() -> Iterator[tuple[str, Objective, Objective]]:
    """Losses that the literature calls the same, on a variance-preserving process."""
    yield "eps = x0 with snr", EpsLoss(), X0Loss(SNR())
    yield "score with s^2 = eps", ScoreMatching(Variance()), EpsLoss()
    yield "v = x0 with snr + 1 (Salimans and Ho)", VLoss(), X0Loss(SNRPlusOne())
    yield "min-snr of x0 and of eps (Hang et al.)", X0Loss(MinSNR(5.0)), EpsLoss(Times(MinSNR(5.0), SNR(), power=-1))
    yield "min-snr of x0 and of v", X0Loss(MinSNR(5.0)), VLoss(Times(MinSNR(5.0), SNRPlusOne(), power=-1))
    yield "P2 of eps and of x0", EpsLoss(P2(1.0, 1.0)), X0Loss(Times(SNR(), P2(1.0, 1.0)))
    yield "P2 with k = gamma = 1 is v with 1 / (2 + snr + 1/snr)", EpsLoss(P2()), VLoss(Times(Times(SNR(), P2()), P2()))
    yield "truncated snr of x0 and of eps", X0Loss(TruncatedSNR()), EpsLoss(Times(TruncatedSNR(), SNR(), power=-1))


@pytest.mark.parametrize("pair", list(equivalent()), ids=lambda pair: pair[0])
@pytest.mark.parametrize("predicts", PREDICTS)
def test_equivalent_losses_have_one_gradient(pair: tuple[str, Objective, Objective], predicts: Predicts) -> None:
    x0, eps, t = batch()
    net, process = Net(), Cosine()
    model = Precondition(net, process, predicts=predicts)
    one, other = (
        gradient(net, objective(model, process, x0, t=t, noise=Recorded([eps]))) for objective in pair[1:]
    )
    assert far(one, other) <= 1e-12
