"""Brownian paths from counters."""

from __future__ import annotations

import itertools
import math
from typing import Any

import pytest
import torch
from hypothesis import given as for_all
from hypothesis import settings
from hypothesis import strategies as st
from torch import Tensor

from polyscore.denoisers import Prediction
from polyscore.errors import InputError
from polyscore.noise import Brownian, Seeded, leaf_noise
from polyscore.processes import EDM, OUVE, VP, GaussianProcess, Product
from polyscore.samplers import DDIM, Ancestral, ReverseDiffusion, sample
from polyscore.state import NONE, Given
from polyscore.testing import GaussianDenoiser, GMMDenoiser, Mixture

F64 = torch.float64
WIDE = torch.empty(500, 200, dtype=F64)
N = WIDE.numel()


def increment(noise: Brownian, like: Tensor, t: float, u: float) -> Tensor:
    """W_u - W_t, for t > u as samplers go."""
    return noise(like, t, u) * math.sqrt(abs(u - t))


# --- the law ---


@pytest.mark.parametrize(
    ("t", "u"), [(1.0, 0.0), (0.61, 0.43), (0.5, 0.25), (1 / 3, 1 / 3 - 1e-4), (1e-3, 0.0), (0.7, 0.7 + 2**-20)]
)
def test_a_draw_is_standard_normal_on_any_interval(t: float, u: float) -> None:
    x = Brownian(5)(WIDE, t, u)
    assert abs(float(x.mean())) < 4 / math.sqrt(N)
    assert abs(float(x.var()) - 1) < 4 * math.sqrt(2 / N)
    assert abs(float((x**4).mean()) / 3 - 1) < 4 * math.sqrt(96 / 9 / N)
    deviation = (torch.special.ndtr(x.flatten().sort().values) - torch.linspace(0, 1, N, dtype=F64)).abs().max()
    assert float(deviation) < 1.95 / math.sqrt(N)  # Kolmogorov-Smirnov, P = .001


def test_disjoint_intervals_samples_and_entries_are_independent() -> None:
    noise = Brownian(0)
    times = [1.0, 0.83, 0.5, 0.4999, 0.25, 0.13, 0.0]
    parts = torch.stack([noise(WIDE, t, u).flatten() for t, u in itertools.pairwise(times)])
    correlation = torch.corrcoef(parts) - torch.eye(6, dtype=F64)
    assert float(correlation.abs().max()) < 5 / math.sqrt(N)
    x = noise(WIDE, 0.7, 0.2)
    rows, columns = torch.corrcoef(x[:100]), torch.corrcoef(x.mT[:100])
    for matrix, count in ((rows, 200), (columns, 500)):
        off = matrix[~torch.eye(100, dtype=torch.bool)]
        assert float(off.abs().max()) < 5.2 / math.sqrt(count)
        assert abs(float(off.square().mean()) * count - 1) < 0.1


def test_the_path_has_the_covariance_of_a_brownian_motion() -> None:
    """E W_s W_t = min(s, t)."""
    noise, times = Brownian(1), [0.1, 0.3, 0.37, 0.8, 1.0]
    path = torch.stack([increment(noise, WIDE, 0.0, t).flatten() for t in times])
    t = torch.tensor(times, dtype=F64)
    torch.testing.assert_close(path @ path.mT / N, torch.minimum(t[:, None], t), rtol=0, atol=6 / math.sqrt(N))


def test_complex_noise_is_circular_with_half_the_variance_in_each_part() -> None:
    x = Brownian(2)(torch.empty(300, 100, dtype=torch.complex128), 0.9, 0.4)
    assert abs(float(x.abs().square().mean()) - 1) < 0.03
    assert abs(float(x.real.square().mean()) - 0.5) < 0.02
    assert abs(float((x.real * x.imag).mean())) < 0.02


# --- one path ---


@for_all(
    st.lists(st.floats(0, 1), min_size=3, max_size=6, unique=True).map(sorted),
    st.integers(0, 2**62),
    st.sampled_from([(2, 3), (1, 1), (3,), (2, 2, 2)]),
)
@settings(max_examples=40, deadline=None)
def test_intervals_add_up(times: list[float], seed: int, shape: tuple[int, ...]) -> None:
    """W(s, u) = W(s, t) + W(t, u), up to the rounding of times to 2^-24."""
    times = [round(t * 2**24) / 2**24 for t in times]
    like = torch.empty(shape, dtype=F64)
    noise = Brownian(seed)
    pairs = [(t, u) for t, u in itertools.pairwise(times) if t != u]
    if not pairs:
        return
    parts = sum((increment(noise, like, t, u) for t, u in pairs), torch.zeros(shape, dtype=F64))
    whole = increment(Brownian(seed), like, times[0], times[-1])
    torch.testing.assert_close(parts, whole, rtol=0, atol=1e-12)


def test_the_order_of_queries_does_not_matter_and_backwards_is_the_negative() -> None:
    like = torch.empty(4, 3, dtype=F64)
    times = [(1.0, 0.7), (0.7, 0.2), (0.9, 0.1), (0.2, 0.0)]
    forwards, other = Brownian(3), Brownian(3)
    first = {pair: forwards(like, *pair) for pair in times}
    for pair in reversed(times):
        assert torch.equal(other(like, *pair), first[pair])
        assert torch.equal(other(like, *reversed(pair)), -first[pair])


@pytest.mark.parametrize("shape", [(7,), (5, 6), (3, 40, 41)])
def test_a_sample_depends_on_its_seed_alone(shape: tuple[int, ...]) -> None:
    for t, u in ((0.9, 0.55), (1.0, 0.5)):
        whole = Brownian(40)(torch.empty(64, *shape, dtype=F64), t, u)
        for i, n in ((0, 1), (7, 7), (63, 1)):
            part = Brownian(40 + i)(torch.empty(n, *shape, dtype=F64), t, u)
            assert torch.equal(part, whole[i : i + n])
        some = Brownian([41, 40, 99])(torch.empty(3, *shape, dtype=F64), t, u)
        assert torch.equal(some[:2], whole[[1, 0]])


def test_a_time_for_each_sample() -> None:
    like = torch.empty(3, 2, dtype=F64)
    t, u = torch.tensor([0.9, 0.5, 0.3], dtype=F64), torch.tensor([0.4, 0.5, 0.1], dtype=F64)
    whole = Brownian(8)(like, t, u)
    assert whole[1].abs().max() == 0  # an empty interval
    for i in (0, 2):
        torch.testing.assert_close(whole[i : i + 1], Brownian(8 + i)(like[:1], float(t[i]), float(u[i])), rtol=0, atol=1e-12)
    process = VP()
    x = torch.ones(3, 2, dtype=F64)
    out = process.transition(x, Prediction(x), t, u - 0.05, noise=Brownian(8))
    row = process.transition(x[:1], Prediction(x[:1]), 0.9, 0.35, noise=Brownian(8))
    torch.testing.assert_close(out[:1], row, rtol=0, atol=1e-12)


def test_dtypes_and_the_global_generator() -> None:
    before = torch.get_rng_state()
    double = Brownian(1)(torch.empty(4, 6, dtype=F64), 0.8, 0.3)
    single = Brownian(1)(torch.empty(4, 6), 0.8, 0.3)
    assert single.dtype == torch.float32
    assert torch.equal(single, double.float())
    assert torch.equal(torch.get_rng_state(), before)


def test_draws_without_an_interval_are_independent_of_the_path() -> None:
    noise = Brownian(6)
    white = torch.stack([noise(WIDE).flatten(), noise(WIDE).flatten(), noise(WIDE, 1.0, 0.0).flatten()])
    assert float((torch.corrcoef(white) - torch.eye(3, dtype=F64)).abs().max()) < 5 / math.sqrt(N)
    assert torch.equal(white[0], Seeded(6)(WIDE).flatten())


def test_leaves_have_paths_of_their_own_even_with_equal_shapes() -> None:
    noise = Brownian(6)
    a, b = (leaf_noise(noise, name)(WIDE, 0.8, 0.3) for name in ("a", "b"))
    assert abs(float((a * b).mean())) < 5 / math.sqrt(N)
    assert torch.equal(leaf_noise(Brownian(6), "a")(WIDE, 0.8, 0.3), a)
    process = Product(a=VP(), b=VP())

    def denoiser(x: Any, t: Any, given: Given) -> Prediction:
        return Prediction({name: torch.zeros_like(leaf) for name, leaf in x.items()})

    for sampler in (DDIM(1.0), Ancestral()):
        out = sample(sampler, denoiser, process, {"a": WIDE, "b": WIDE}, steps=3, grid=[1.0, 0.6, 0.4, 0.2], noise=Brownian(6))
        assert abs(float((out["a"] * out["b"]).mean())) < 5 / math.sqrt(N)


def test_a_clock_of_its_own() -> None:
    """In the clock sigma, the draw over a step is the path's increment between the two levels."""
    process, like = EDM(sigma_max=80.0), torch.empty(4, 3, dtype=F64)
    noise = Brownian(3, clock=process.sigma, span=(0.0, 80.0))
    plain = Brownian(3)
    torch.testing.assert_close(noise(like, 0.5, 0.1), plain(like, 0.5, 0.1), rtol=0, atol=1e-6)
    falling = Brownian(3, clock=lambda t: -math.log(t), span=(0.0, 5.0))
    assert abs(float(falling(WIDE, 0.9, 0.01).var()) - 1) < 4 * math.sqrt(2 / N)


def test_what_a_path_refuses() -> None:
    like = torch.empty(2, 3)
    with pytest.raises(InputError, match="outside the path's span"):
        Brownian(0)(like, 1.2, 0.5)
    with pytest.raises(InputError, match=r"shorter than 2\^-24"):
        Brownian(0)(like, 0.5, 0.5 - 1e-9)
    with pytest.raises(InputError, match="3 seeds for a batch of 4"):
        Brownian([1, 2, 3])(torch.empty(4, 2), 1.0, 0.5)
    with pytest.raises(InputError, match="shape"):
        Brownian(0)(like, torch.ones(2, 3), torch.zeros(2, 3))


# --- why: strong convergence ---


@pytest.mark.parametrize(("process", "y"), [(VP(0.1, 8.0), False), (OUVE(), True)])
def test_sde_samplers_converge_to_one_path_as_the_steps_shrink(process: GaussianProcess, y: bool) -> None:
    """Additive noise: strong order 1 for Euler-Maruyama and for the exact step. With fresh noise nothing converges."""
    means = torch.tensor([[1.0, 0.5], [-1.0, 0.2]], dtype=F64)
    covs = torch.tensor([[[0.2, 0.0], [0.0, 0.1]], [[0.1, 0.05], [0.05, 0.3]]], dtype=F64)
    denoiser = GMMDenoiser(Mixture(torch.tensor([0.6, 0.4], dtype=F64), means, covs), process)
    like = torch.randn(32, 2, generator=torch.Generator().manual_seed(1), dtype=F64)
    given = Given(y=like.flip(0)) if y else NONE

    def run(sampler: Any, n: int, noise: Any) -> Tensor:
        grid = torch.linspace(0.9, 0.1, n + 1, dtype=F64).tolist()
        out: Tensor = sample(sampler, denoiser, process, like, steps=n, grid=grid, given=given, noise=noise, init=like)
        return out

    for sampler in (ReverseDiffusion(), DDIM(1.0)):
        runs = [run(sampler, n, Brownian(4)) for n in (20, 40, 80, 160)]
        gaps = [float((a - b).square().mean().sqrt()) for a, b in itertools.pairwise(runs)]
        assert all(coarse / fine > 1.6 for coarse, fine in itertools.pairwise(gaps))
        fresh = [float((run(sampler, n, 4) - run(sampler, 2 * n, 4)).square().mean().sqrt()) for n in (20, 80)]
        assert fresh[1] > 0.5 * fresh[0]
        assert fresh[0] > 1.5 * gaps[0]
    both = [run(s, 160, Brownian(4)) for s in (ReverseDiffusion(), DDIM(1.0))]
    assert float((both[0] - both[1]).square().mean().sqrt()) < 3 * gaps[-1] + 0.02


def test_a_sampler_with_brownian_noise_has_the_right_law() -> None:
    process = VP()
    denoiser = GaussianDenoiser(process)
    out = sample(DDIM(1.0), denoiser, process, torch.empty(4000, 2, dtype=F64), steps=100, noise=Brownian(0))
    assert abs(float(out.mean()) - denoiser.mean) < 0.03
    assert abs(float(out.std()) / denoiser.std - 1) < 0.04
