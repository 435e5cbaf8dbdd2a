"""Steering against laws in closed form: tilted, annealed, multiplied; selection; search; seeds."""

from __future__ import annotations

from typing import Any, Literal

import pytest
import torch
from tests.core.discrete_toy import JOINT, SEQUENCES, Exact
from torch import Tensor

from polyscore.errors import ConfigError, InputError
from polyscore.processes import VE, VP
from polyscore.processes.discrete import Absorbing
from polyscore.samplers import DDIM, Ancestral, grids, sample
from polyscore.state import Given
from polyscore.steering import (
    Carried,
    Counted,
    FeynmanKac,
    Rewarded,
    Tempered,
    best,
    best_of,
    effective_size,
    most_likely,
    rank_seeds,
    search_neighbours,
    search_paths,
    systematic,
)
from polyscore.testing import GaussianDenoiser, GMMDenoiser, Mixture

F64 = torch.float64
PROCESS = VP(0.1, 20.0)
MIXTURE = Mixture(
    torch.tensor([0.7, 0.3], dtype=F64),
    torch.tensor([[-1.0, 0.0], [1.0, 0.5]], dtype=F64),
    torch.stack([0.09 * torch.eye(2, dtype=F64), 0.16 * torch.eye(2, dtype=F64)]),
)
MODEL = GMMDenoiser(MIXTURE, PROCESS)
AIM, WIDTH = torch.tensor([0.6, 0.2], dtype=F64), 0.8


def closeness(x0: Any, given: Given) -> Tensor:
    """ln N(x0; AIM, WIDTH^2) up to a constant: times the mixture it is a mixture again."""
    value: Tensor = -(x0 - AIM).square().sum(-1) / (2 * WIDTH**2)
    return value


def tilted() -> tuple[Tensor, Tensor]:
    """Masses (2,) and variances (2,) of the components of p(x) exp(closeness(x))."""
    variance = torch.tensor([0.09, 0.16], dtype=F64)
    spread = variance + WIDTH**2
    log = MIXTURE.weights.log() - (MIXTURE.means - AIM).square().sum(1) / (2 * spread) + (WIDTH**2 / spread).log()
    return torch.softmax(log, 0), variance * WIDTH**2 / spread


def drawn(sampler: Any, count: int, steps: int = 100, model: Any = MODEL, seed: int = 3) -> Tensor:
    like = torch.empty(count, 2, dtype=F64)
    out: Tensor = sample(sampler, model, PROCESS, like, steps=steps, noise=seed)
    return out


def of_left(x: Tensor) -> Tensor:
    """Which samples belong to the left component."""
    return x[:, 0] < 0


@pytest.mark.parametrize(
    ("kind", "group", "every"),
    [("difference", 64, 5), ("difference", 4096, 10), ("maximum", 64, 5), ("maximum", 4096, 10), ("total", 4096, 25)],
)
def test_the_tilted_mixture_is_reached(kind: Literal["difference", "maximum", "total"], group: int, every: int) -> None:
    sampler = FeynmanKac(Ancestral(), Rewarded(closeness, 1.0, kind), group=group, every=every)
    x = drawn(sampler, 4096)
    mass, variance = tilted()
    assert MIXTURE.weights[0] - mass[0] > 0.3  # the tilt is strong: an untilted sampler fails
    assert of_left(x).double().mean().item() == pytest.approx(mass[0].item(), abs=0.05)
    for part, expected in ((x[of_left(x)], variance[0]), (x[~of_left(x)], variance[1])):
        assert part.std(0).mean().item() == pytest.approx(expected.sqrt().item(), rel=0.1)


def test_strength_0_is_the_plain_sampler_and_groups_do_not_meet() -> None:
    plain = drawn(Ancestral(), 64, 20)
    assert torch.equal(drawn(FeynmanKac(Ancestral(), Rewarded(closeness, 0.0), group=16), 64, 20), plain)

    def half(x0: Any, given: Given) -> Tensor:
        return torch.where(torch.arange(64) < 32, closeness(x0, given), 0.0)

    one, other = (drawn(FeynmanKac(Ancestral(), Rewarded(r, 3.0), group=16), 64, 20) for r in (closeness, half))
    assert torch.equal(one[:32], other[:32])
    assert torch.equal(other[32:], plain[32:])
    assert not torch.equal(one[32:], plain[32:])


def test_a_forbidden_region_is_left() -> None:
    def allowed(x0: Any, given: Given) -> Tensor:
        return torch.where(x0[:, 0] > 0, 0.0, -torch.inf)

    x = drawn(FeynmanKac(Ancestral(), Rewarded(allowed, 1.0), group=64), 512, 50)
    assert not of_left(x).any()


def test_categories_are_tilted_too() -> None:
    process = Absorbing(3)

    def reward(x: Any, given: Given) -> Tensor:
        return torch.eq(x, 1).double().sum(-1)

    target = JOINT * (0.8 * reward(SEQUENCES, Given())).exp()
    target = target / target.sum()
    sampler = FeynmanKac(Ancestral(), Rewarded(reward, 0.8, look=most_likely), group=2048, every=4)
    like = torch.empty(8192, SEQUENCES.shape[1], dtype=torch.long)
    x = sample(sampler, Exact(process), process, like, steps=32, noise=1)
    codes = (x * 3 ** torch.arange(SEQUENCES.shape[1])).sum(-1)
    places = (SEQUENCES * 3 ** torch.arange(SEQUENCES.shape[1])).sum(-1)
    found = torch.eq(codes.unsqueeze(1), places).double().mean(0)
    assert (JOINT - target).abs().sum() / 2 > 0.2
    assert (found - target).abs().sum() / 2 < 0.08


# ----------------------------------------------------------------------------------------------- powers, products
def test_the_annealed_mixture() -> None:
    """p^2 of well separated components: masses ~ w^2 / std^2, standard deviations / sqrt(2)."""
    x = drawn(FeynmanKac(Tempered((2.0,)), Carried(), group=2048), 2048, 150)
    weight = MIXTURE.weights**2 / torch.tensor([0.09, 0.16], dtype=F64)
    assert of_left(x).double().mean().item() == pytest.approx((weight / weight.sum())[0].item(), abs=0.05)
    for part, std in ((x[of_left(x)], 0.3), (x[~of_left(x)], 0.4)):
        assert part.std(0).mean().item() == pytest.approx(std / 2**0.5, rel=0.1)


def test_without_the_weights_the_components_are_too_narrow() -> None:
    x = drawn(Tempered((2.0,)), 2048, 100)
    assert x[of_left(x)].std(0).mean() < 0.9 * 0.3 / 2**0.5
    assert x[~of_left(x)].std(0).mean() < 0.9 * 0.4 / 2**0.5


@pytest.mark.parametrize("powers", [(1.0, 1.0), (2.5, -1.5)])
@pytest.mark.parametrize("process", [PROCESS, VE(0.01, 20.0)], ids=["vp", "ve"])
def test_products_and_guidance_of_gaussians(powers: tuple[float, float], process: Any) -> None:
    """N(m1, v1)^b1 N(m2, v2)^b2: precisions add; (2.5, -1.5) is classifier-free guidance."""
    one, two = GaussianDenoiser(process, 0.5, 0.5), GaussianDenoiser(process, -0.3, 0.8)
    precision = powers[0] / 0.25 + powers[1] / 0.64
    mean = (powers[0] * 0.5 / 0.25 - powers[1] * 0.3 / 0.64) / precision
    sampler = FeynmanKac(Tempered(powers, (two,)), Carried(), group=4096)
    like = torch.empty(4096, 1, dtype=F64)
    grid = grids.Karras() if isinstance(process, VE) else None
    x = sample(sampler, one, process, like, steps=200, grid=grid, noise=0)
    assert x.mean().item() == pytest.approx(mean, abs=0.05)
    assert x.std().item() == pytest.approx(precision**-0.5, rel=0.1)


def test_power_1_is_the_plain_sde_with_weights_1() -> None:
    x = drawn(Tempered((1.0,)), 256, 50)
    assert torch.equal(drawn(FeynmanKac(Tempered((1.0,)), Carried(), group=256), 256, 50), x)


# ----------------------------------------------------------------------------------------------- selection
def test_systematic_resampling_copies_by_share() -> None:
    g = torch.Generator().manual_seed(0)
    weight, k = torch.randn(40, generator=g, dtype=F64), 20
    starts = torch.rand(3000, 2, generator=g, dtype=F64)
    expected = k * torch.softmax(weight.view(2, k), 1).flatten()
    copies = torch.stack([torch.bincount(systematic(weight, k, start), minlength=40) for start in starts]).double()
    assert bool(((copies - expected).abs() < 1).all())
    torch.testing.assert_close(copies.mean(0), expected, rtol=0, atol=0.05)
    assert torch.equal(systematic(torch.zeros(40), k, torch.tensor([0.2, 0.9])), torch.arange(40))
    assert effective_size(torch.tensor([0.0, 0.0, 0.0, -torch.inf]), 2).tolist() == [2.0, 1.0]
    assert best(torch.tensor([1.0, 3.0, 2.0, 5.0, 4.0, 6.0]), 3, 2).tolist() == [1, 2, 5, 3]


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ConfigError, match="stepper such as"):
        FeynmanKac(DDIM(), Rewarded(closeness, 1.0), group=2)
    with pytest.raises(InputError, match="10 rows in groups of 4"):
        drawn(FeynmanKac(Ancestral(), Rewarded(closeness, 1.0), group=4), 10, 5)
    with pytest.raises(InputError, match="none of them NaN"):
        drawn(FeynmanKac(Ancestral(), Rewarded(lambda x, given: x[:, 0] * torch.nan, 1.0), group=2), 4, 5)
    with pytest.raises(ConfigError, match="sum above 0"):
        Tempered((1.0, -1.0), (MODEL,))
    with pytest.raises(ConfigError, match="one each"):
        Tempered((1.0, 1.0))


# ----------------------------------------------------------------------------------------------- search
def test_more_calls_buy_more_and_neighbours_buy_it_cheaper() -> None:
    """The mean reward over 32 problems rises with N; zero-order search reaches that of 64 starts with half the calls."""
    like, steps = torch.empty(32, 2, dtype=F64), 8

    def reward(x: Any) -> Tensor:
        return closeness(x, Given())

    def draw(z: Any) -> Any:
        return sample(DDIM(), model, PROCESS, z, steps=steps, init=z)

    model = Counted(MODEL)
    noise = torch.randn(32 * 64, 2, generator=torch.Generator().manual_seed(1), dtype=F64)
    every = draw(noise)
    assert model.calls == 32 * 64 * steps
    means = [reward(best_of(every.view(32, 64, 2)[:, :n].reshape(-1, 2), closeness, n)).mean() for n in (1, 4, 16, 64)]
    assert means == sorted(means)
    model = Counted(MODEL)
    z, x, rewards = search_neighbours(draw, reward, noise[:32], rounds=7, neighbours=4, radius=0.4, noise=5)
    assert bool((rewards.diff(dim=0) >= 0).all())
    torch.testing.assert_close(draw(z), x)
    assert torch.equal(reward(x), rewards[-1])
    model.calls = 0
    search_neighbours(draw, reward, noise[:32], rounds=7, neighbours=4, radius=0.4, noise=5)
    assert model.calls == 32 * (1 + 7 * 4) * steps
    assert rewards[-1].mean() > means[2]  # 29 samples a problem against 16
    assert z.shape == like.shape


def test_neighbours_stay_standard_normal() -> None:
    z = torch.randn(4096, 2, generator=torch.Generator().manual_seed(2), dtype=F64)
    seen: list[Tensor] = []

    def draw(z: Any) -> Any:
        seen.append(z)
        return z

    search_neighbours(draw, lambda x: x[:, 0] * 0, z, rounds=1, neighbours=2, radius=0.7)
    assert seen[1].var(0).tolist() == pytest.approx([1, 1], abs=0.05)
    turned = seen[1].view(-1, 2, 2)
    cosine = (turned * z.unsqueeze(1)).mean((0, 1))
    assert cosine.tolist() == pytest.approx([0.765, 0.765], abs=0.04)  # cos(0.7)


def test_paths_beat_as_many_starts() -> None:
    """At equal calls; and what is thrown back has the law of the process."""
    steps, group, count = 16, 16, 64
    like = torch.empty(group * count, 2, dtype=F64)
    model = Counted(MODEL)
    x = search_paths(
        Ancestral(), model, PROCESS, like, closeness, steps=steps, keep=4, group=group, looks=(8, 11), back=4, noise=0
    )
    spent = model.calls
    alone = Counted(MODEL)
    n = round(spent / count / steps)
    plain = sample(Ancestral(), alone, PROCESS, torch.empty(n * count, 2, dtype=F64), steps=steps, noise=0)
    assert abs(alone.calls - spent) <= 0.05 * spent
    paths, starts = closeness(x, Given()).mean(), closeness(best_of(plain, closeness, n), Given()).mean()
    assert paths > starts - 0.01
    with pytest.raises(ConfigError, match="first look"):
        search_paths(DDIM(), MODEL, PROCESS, like, closeness, steps=8, keep=4, group=16, looks=(2,), back=3)


# ----------------------------------------------------------------------------------------------- seeds
def test_seeds_that_matter_are_found_and_others_are_not() -> None:
    g = torch.Generator().manual_seed(0)
    effect = torch.linspace(-1, 1, 20)
    ranking = rank_seeds(effect + torch.randn(40, 20, generator=g), permutations=60)
    assert ranking.matters
    assert ranking.transfer > 0.7
    assert {19, 18}.issubset(ranking.order[:5].tolist())
    nothing = [rank_seeds(torch.randn(40, 20, generator=g), splits=10, permutations=40).matters for _ in range(12)]
    assert sum(nothing) <= 3
    with pytest.raises(InputError, match="at least 4 prompts"):
        rank_seeds(torch.zeros(2, 5))
