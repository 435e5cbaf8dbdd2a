"""Densities of the training time against their distribution functions, and what must not change the mean of a loss."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor

from polyscore.errors import InputError
from polyscore.processes import EDM, VP, Cosine, Flow, GaussianProcess
from polyscore.training import Antithetic, CosineTimes, Importance, LogLogistic, LogNormal, Stratified, TimeDensity, Uniform
from polyscore.training.draws import generator_of

Array = Any  # of float64: scipy's functions have no types
N = 20_000


def log_sigma_law(law: Callable[[Array], Array], process: GaussianProcess) -> Callable[[Array], Array]:
    """The distribution function of t when ln sigma has the distribution function `law`: sigma grows with t."""

    def cdf(t: Array) -> Array:
        return law(np.log(process.sigma(torch.as_tensor(t, dtype=torch.float64)).numpy()))

    return cdf


def truncated_logistic(x: Array, loc: float, scale: float, low: float, high: float) -> Array:
    law = stats.logistic(loc, scale)
    return np.clip((law.cdf(x) - law.cdf(low)) / (law.cdf(high) - law.cdf(low)), 0, 1)


def cosine(x: Array, sd: float, low: float, high: float) -> Array:
    first, last = np.arctan(low / sd), np.arctan(high / sd)
    return np.clip((np.arctan(np.exp(x) / sd) - first) / (last - first), 0, 1)


CASES: list[tuple[str, TimeDensity, GaussianProcess, Callable[[Array], Array]]] = [
    ("uniform", Uniform(0.1, 0.9), VP(), stats.uniform(0.1, 0.8).cdf),
    ("log-normal, EDM", LogNormal(-1.2, 1.2), EDM(), log_sigma_law(stats.norm(-1.2, 1.2).cdf, EDM())),
    ("log-normal, VP", LogNormal(-1.2, 1.2), VP(), log_sigma_law(stats.norm(-1.2, 1.2).cdf, VP())),
    ("logit-normal, flow", LogNormal(0.3, 0.8), Flow(), lambda t: stats.norm(0.3, 0.8).cdf(np.log(t / (1 - t)))),
    (
        "log-logistic",
        LogLogistic(-0.5, 0.5, 0.05, 5.0),
        EDM(),
        log_sigma_law(lambda x: truncated_logistic(x, -0.5, 0.5, math.log(0.05), math.log(5.0)), EDM()),
    ),
    ("cosine, truncated", CosineTimes(0.5, 0.01, 20.0), VP(), log_sigma_law(lambda x: cosine(x, 0.5, 0.01, 20.0), VP())),
    ("cosine on the cosine process", CosineTimes(sigma_max=float(Cosine().sigma(1.0))), Cosine(), stats.uniform(0, 1).cdf),
    ("cosmap, flow", CosineTimes(), Flow(), lambda t: 2 / np.pi * np.arctan(t / (1 - t))),
]


@pytest.mark.parametrize(("density", "process", "cdf"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_draws_follow_the_distribution_function(
    density: TimeDensity, process: GaussianProcess, cdf: Callable[[Array], Array]
) -> None:
    t = density.sample(N, generator_of(0, "times"), process)
    assert t.dtype == torch.float64
    assert bool(((t > 0) & (t <= 1)).all())
    assert stats.kstest(t.numpy(), cdf).pvalue > 0.01
    # Spread uniforms have the same law; their empirical distribution is far closer to it than independent draws can be.
    even = Stratified(density).sample(N, generator_of(1, "times"), process)
    assert stats.kstest(even.numpy(), cdf).statistic <= 1 / N + 1e-9
    mirrored = Antithetic(density).sample(N, generator_of(2, "times"), process)
    half = N // 2
    for part in (mirrored[:half], mirrored[half:]):
        assert stats.kstest(part.numpy(), cdf).pvalue > 0.01
    np.testing.assert_allclose(cdf(mirrored[:half].numpy()) + cdf(mirrored[half:].numpy()), 1, atol=1e-9)


def test_the_check_tells_densities_apart() -> None:
    t = LogNormal(-1.2, 1.2).sample(N, generator_of(0, "times"), EDM())
    assert stats.kstest(t.numpy(), log_sigma_law(stats.norm(-1.15, 1.2).cdf, EDM())).pvalue < 1e-4


def test_strata_come_in_random_order_and_odd_batches_are_antithetic_too() -> None:
    first, second = (Stratified(Uniform(0, 1)).sample(8, generator_of(seed), VP()) for seed in (0, 1))
    assert first.mul(8).ceil().sort().values.tolist() == list(range(1, 9))
    assert first.argsort().tolist() != second.argsort().tolist()
    odd = Antithetic(Uniform(0, 1)).sample(5, generator_of(0), VP())
    torch.testing.assert_close(odd[:2] + odd[3:], torch.ones(2, dtype=torch.float64))


def bumpy(t: Tensor) -> Tensor:
    """A loss over time with most of its weight in one corner; its mean over uniform t is 0.5 + 20 / 36."""
    return 0.5 + 20 * (1 - t) ** 35


def learned(steps: int = 300) -> Importance:
    density = Importance(intervals=16, history=10, mix=0.01)
    for step in range(steps):
        t = density.sample(32, generator_of(step), VP())
        density.observe(t, bumpy(t).float())
    return density


def test_importance_finds_where_the_loss_is_and_lowers_the_variance() -> None:
    density = learned()
    p = density.probabilities()
    assert float(p.sum()) == pytest.approx(1, abs=1e-12)
    grid = (torch.arange(16 * 200, dtype=torch.float64) + 0.5) / (16 * 200)
    root = bumpy(grid).square().view(16, 200).mean(1).sqrt()
    torch.testing.assert_close(p, 0.99 * root / root.sum() + 0.01 / 16, rtol=0.35, atol=0)
    t = density.sample(N, generator_of(0, "check"), VP())
    counts = torch.bincount((t * 16).ceil().long() - 1, minlength=16).double()
    assert stats.chisquare(counts.numpy(), (p * N).numpy()).pvalue > 0.01
    corrected = density.correction(t) * bumpy(t)
    plain = bumpy(Uniform(0, 1).sample(N, generator_of(1, "check"), VP()))
    assert float(corrected.var()) < 0.2 * float(plain.var())


def test_importance_is_unbiased() -> None:
    # Exactly, by a fine grid of u: the mean over u of correction(t(u)) l(t(u)) is the mean of l over uniform t.
    density = learned()
    u = (torch.arange(2_000_000, dtype=torch.float64) + 0.5) / 2_000_000
    t = density.quantile(u, VP())
    assert float((density.correction(t) * bumpy(t)).mean()) == pytest.approx(0.5 + 20 / 36, rel=1e-5)
    # And by draws, within 4 standard errors.
    t = density.sample(N, generator_of(5, "check"), VP())
    values = density.correction(t) * bumpy(t)
    assert abs(float(values.mean()) - (0.5 + 20 / 36)) < 4 * float(values.std()) / N**0.5


def test_importance_is_uniform_until_it_knows_and_goes_on_from_its_state() -> None:
    density = Importance(intervals=4, history=2)
    assert density.probabilities().tolist() == [0.25] * 4
    assert density.adaptive
    assert Stratified(density).adaptive
    assert not Uniform().adaptive
    before = learned()
    after = Importance(intervals=16, history=10, mix=0.01)
    after.load_state_dict(before.state_dict())
    torch.testing.assert_close(after.probabilities(), before.probabilities(), rtol=0, atol=0)
    with pytest.raises(InputError, match=r"losses are \(16, 10\), expected \(4, 2\)"):
        density.load_state_dict(before.state_dict())


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Uniform(0.5, 0.5), "t_min 0.5, t_max 0.5"),
        (lambda: LogLogistic(sigma_min=3.0, sigma_max=2.0), "LogLogistic: sigma_min 3.0, sigma_max 2.0"),
        (lambda: CosineTimes(sigma_min=-1.0), "CosineTimes: sigma_min -1.0"),
        (lambda: Importance(intervals=0), "intervals 0"),
    ],
)
def test_impossible_densities_are_refused(make: Callable[[], TimeDensity], words: str) -> None:
    with pytest.raises(InputError, match=words):
        make()
