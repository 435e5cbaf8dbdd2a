"""Log-likelihood by the probability flow, against closed forms."""

from __future__ import annotations

import itertools
import math
from typing import Any

import pytest
import torch
from tests.core.linear import JointGaussian
from torch import Tensor

from polyscore.denoisers import Prediction
from polyscore.errors import InputError
from polyscore.evaluation import log_likelihood
from polyscore.noise import Masked
from polyscore.processes import EDM, IRSDE, OUVE, VE, VP, Cosine, Flow, GaussianProcess, Product, ShortestPath, SubVP, VEBridge
from polyscore.state import NONE, Given, Time
from polyscore.testing import GaussianDenoiser, GMMDenoiser, Mixture
from polyscore.testing.analytic import flow_of_gaussian

F64 = torch.float64


def points(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=F64)


def normal(x: Tensor, mean: Any, std: Any) -> Tensor:
    out: Tensor = torch.distributions.Normal(mean, std).log_prob(x).flatten(1).sum(1)  # type: ignore[no-untyped-call]
    return out


@pytest.mark.parametrize("process", [VP(), SubVP(), Cosine(), VE(), EDM(), Flow(), OUVE(), IRSDE()])
def test_gaussian_data_under_the_models_own_prior(process: GaussianProcess) -> None:
    """The flow of Gaussian data is linear, so the model's density is the prior's, carried back, also where a(1) is not 0."""
    denoiser, x0, start = GaussianDenoiser(process), points(5, 3), 1e-4
    y = points(5, 3, seed=1) if isinstance(process, OUVE | IRSDE) else None
    given = Given(y=y)
    found = log_likelihood(denoiser, process, x0, given=given, start=start, rtol=1e-8, atol=1e-8)
    (a, shift, s), (b, _, r) = process.coefs_of(start), process.coefs_of(1.0)
    end = flow_of_gaussian(denoiser, a * x0 if y is None else a * x0 + shift * y, start, 1.0, given)
    stretch = a * torch.sqrt((b**2 * denoiser.std**2 + r**2) / (a**2 * denoiser.std**2 + s**2))
    mean = torch.zeros_like(x0) if y is None else y
    torch.testing.assert_close(found, normal(end, mean, r) + 3 * stretch.log(), rtol=0, atol=1e-5)


def test_a_mixture_at_several_noise_levels() -> None:
    means = torch.tensor([[1.0, 0.5], [-1.0, 0.2]], dtype=F64)
    covs = torch.tensor([[[0.1, 0.02], [0.02, 0.05]], [[0.04, 0.0], [0.0, 0.2]]], dtype=F64)
    target = Mixture(torch.tensor([0.7, 0.3], dtype=F64), means, covs)
    process, x = EDM(sigma_max=1e4), points(16, 2)
    for sigma in (1e-3, 0.1, 1.0, 10.0):
        exact, _ = target.log_prob_and_mean(x * max(1.0, sigma), torch.tensor(1.0), torch.tensor(sigma))
        found = log_likelihood(GMMDenoiser(target, process), process, x * max(1.0, sigma), start=sigma / 1e4)
        torch.testing.assert_close(found, exact, rtol=0, atol=1e-3)


def test_the_density_of_a_model_integrates_to_one() -> None:
    """A denoiser that is no posterior mean of anything still has a normalised likelihood."""

    def denoiser(x: Any, t: Time, given: Given) -> Prediction:
        return Prediction(0.5 * torch.sin(2 * x))

    x = torch.linspace(-8, 8, 801, dtype=F64)[:, None]
    density = log_likelihood(denoiser, Flow(), x, start=0.3, rtol=1e-8, atol=1e-8).exp()
    assert int(((density[1:-1] > density[:-2]) & (density[1:-1] > density[2:])).sum()) == 2  # no Gaussian
    assert abs(float(torch.trapezoid(density, x[:, 0])) - 1) < 1e-6


class Signs:
    """Every sign vector of d entries once, sample by sample."""

    def __init__(self, d: int) -> None:
        self.all = torch.tensor(list(itertools.product([-1.0, 1.0], repeat=d)), dtype=F64)

    def __call__(self, like: Tensor, t: object = None, u: object = None) -> Tensor:
        return self.all.reshape(like.shape)


def test_hutchinson_is_unbiased() -> None:
    """The mean over all 2^d sign vectors, each with probability 2^-d, is the exact value; single ones are not."""
    means = torch.tensor([[1.0, 0.5, 0.0], [-1.0, 0.2, 0.4]], dtype=F64)
    covs = torch.eye(3, dtype=F64) * 0.3 + torch.tensor([[[0.2]], [[-0.05]]], dtype=F64)
    process = Flow()
    denoiser = GMMDenoiser(Mixture(torch.tensor([0.6, 0.4], dtype=F64), means, covs), process)
    x = points(1, 3, seed=3)
    tight: dict[str, Any] = {"rtol": 1e-8, "atol": 1e-8}
    exact = log_likelihood(denoiser, process, x, **tight)
    single = log_likelihood(denoiser, process, x.expand(8, 3), divergence="hutchinson", noise=Signs(3), **tight)
    assert float((single - exact).abs().max()) > 0.05
    torch.testing.assert_close(single.mean(), exact[0], rtol=0, atol=1e-6)


def test_hutchinson_by_sampling() -> None:
    """Within 3 standard errors, and with four probes a quarter of the variance."""
    process = Flow()
    target = JointGaussian(process, points(4), 0.5 * torch.ones(4, 4, dtype=F64) + torch.eye(4, dtype=F64))
    x = points(1, 4, seed=3).expand(400, 4)
    exact = log_likelihood(target, process, x[:1], rtol=1e-5, atol=1e-5)
    spread = []
    for probes in (1, 4):
        found = log_likelihood(target, process, x, divergence="hutchinson", probes=probes, rtol=1e-5, atol=1e-5, noise=7)
        spread.append(float(found.std()))
        assert abs(float(found.mean() - exact)) < 3 * spread[-1] / math.sqrt(400)
    assert 0.4 < spread[1] / spread[0] < 0.6


def test_hutchinson_is_exact_for_a_diagonal_jacobian() -> None:
    diagonal, x = GaussianDenoiser(Flow()), points(6, 4)
    both = [log_likelihood(diagonal, Flow(), x, divergence=kind) for kind in ("exact", "hutchinson")]
    torch.testing.assert_close(*both, rtol=0, atol=1e-6)


def test_hutchinson_depends_on_the_seed_of_each_sample() -> None:
    process = Flow()
    target = JointGaussian(process, points(3), torch.eye(3, dtype=F64) + 0.5)
    x = points(5, 3)

    def run(x: Tensor, seed: int) -> Tensor:
        return log_likelihood(target, process, x, divergence="hutchinson", noise=seed, rtol=1e-9, atol=1e-9)

    torch.testing.assert_close(run(x, 4)[2:3], run(x[2:3], 6), rtol=0, atol=1e-6)
    assert float((run(x, 4) - run(x, 400)).abs().max()) > 1e-3


def test_a_mapping_state_gives_the_joint_density() -> None:
    process = Product(a=Flow(), b=Flow())
    cov = torch.tensor([[1.0, 0.5, 0.6], [0.5, 0.8, 0.1], [0.6, 0.1, 0.7]], dtype=F64)
    target = JointGaussian(process, points(3), cov)
    x = {"a": points(4, 2), "b": points(4, 1, seed=5)}
    found = log_likelihood(target, process, x)
    law = torch.distributions.MultivariateNormal(target.mean, cov)
    exact = law.log_prob(torch.cat([x["a"], x["b"]], 1))  # type: ignore[no-untyped-call]
    torch.testing.assert_close(found, exact, rtol=0, atol=1e-4)


def test_complex_states_count_two_real_entries() -> None:
    """Circular complex data of variance v: ln p = -|x - m|^2 / v - ln(pi v)."""
    process = Flow()
    x = torch.complex(points(4, 3), points(4, 3, seed=1))

    def denoiser(x: Any, t: Any, given: Given) -> Prediction:
        return GaussianDenoiser(process, mean=0.3, std=0.7)(x, t, given)

    found = log_likelihood(denoiser, process, x)
    exact = (-(x - 0.3).abs().square() / 0.49 - math.log(math.pi * 0.49)).sum(1)
    torch.testing.assert_close(found, exact, rtol=0, atol=1e-4)
    rough = log_likelihood(denoiser, process, x, divergence="hutchinson")
    torch.testing.assert_close(rough, exact, rtol=0, atol=1e-4)


def test_a_process_with_a_coefficient_per_frequency() -> None:
    """Independent entries, each under its own VP: the sum of scalar likelihoods in closed form. a' is infinite at t = 1."""
    process = ShortestPath((4,), c1=2.0, c2=0.5)
    mean, std = 0.3, 0.7

    def denoiser(x: Any, t: Any, given: Given) -> Prediction:
        a, _, s = process.coefs_of(t)
        return Prediction(mean + a * std**2 / (a**2 * std**2 + s**2) * (x - a * mean))

    x0, start, end = points(3, 4), 0.05, 0.95
    found = log_likelihood(denoiser, process, x0, start=start, end=end, rtol=1e-8, atol=1e-8)
    (a, _, s), (b, _, r) = process.coefs_of(start), process.coefs_of(end)
    stretch = a * torch.sqrt((b**2 * std**2 + r**2) / (a**2 * std**2 + s**2))
    exact = normal(b * mean + stretch * (x0 - mean), torch.zeros(4, dtype=F64), r) + stretch.log().sum()
    torch.testing.assert_close(found, exact, rtol=0, atol=1e-5)


def test_float32_and_no_graph() -> None:
    process, x = Flow(), points(4, 3)
    double = log_likelihood(GaussianDenoiser(process), process, x)
    single = log_likelihood(GaussianDenoiser(process), process, x.float(), rtol=1e-4, atol=1e-4)
    assert single.dtype == torch.float32
    assert not single.requires_grad
    torch.testing.assert_close(single.double(), double, rtol=0, atol=1e-2)
    with torch.no_grad():
        assert torch.equal(log_likelihood(GaussianDenoiser(process), process, x), double)


def test_what_is_refused() -> None:
    x = points(2, 3)
    with pytest.raises(InputError, match="Masked"):
        log_likelihood(GaussianDenoiser(VP()), VP(law=Masked()), x, given=Given(mask=torch.ones(2, 3)))
    with pytest.raises(InputError, match="no noise at t = 1"):
        log_likelihood(GaussianDenoiser(VEBridge()), VEBridge(), x, given=Given(y=x), start=0.1, end=1.0)
    with pytest.raises(InputError, match="divergence"):
        log_likelihood(GaussianDenoiser(VP()), VP(), x, given=NONE, divergence="none")  # type: ignore[arg-type]
