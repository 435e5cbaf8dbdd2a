"""Sources and laws of noise."""

from __future__ import annotations

import gc
import weakref

import pytest
import torch
from hypothesis import given as for_all
from hypothesis import settings
from hypothesis import strategies as st
from scipy.stats import chi2, kstest

from polyscore.errors import InputError
from polyscore.noise import Masked, Normal, Recorded, Seeded, Silent, Symmetric, ZeroMean, as_noise
from polyscore.noise.heavy import chi2_quantile
from polyscore.state import Given


@for_all(
    shape=st.lists(st.integers(1, 5), min_size=0, max_size=3),
    batch=st.integers(1, 6),
    seed=st.integers(0, 2**40),
    dtype=st.sampled_from([torch.float32, torch.float64, torch.complex64]),
)
@settings(max_examples=50, deadline=None)
def test_a_sample_depends_on_its_seed_alone(shape: list[int], batch: int, seed: int, dtype: torch.dtype) -> None:
    like = torch.empty(batch, *shape, dtype=dtype)
    whole, alone = Seeded(seed), Seeded([seed + batch - 1])
    for _ in range(3):
        assert torch.equal(whole(like)[-1:], alone(like[-1:]))


def test_streams_are_normal_independent_and_leave_the_global_generator_alone() -> None:
    state = torch.get_rng_state()
    source = Seeded(0)
    draws = torch.stack([source(torch.empty(50, 3, dtype=torch.float64)) for _ in range(100)])
    assert kstest(draws.flatten().numpy(), "norm").pvalue > 0.01
    for other in (draws.roll(1, 0), draws.roll(1, 1), draws.roll(1, 2)):
        correlation = float((draws * other).mean())
        assert abs(correlation) < 5 / draws.numel() ** 0.5
    wide = Seeded(0)(torch.empty(50, 3, 2, dtype=torch.float64))
    assert not torch.equal(wide[..., 0], Seeded(0)(torch.empty(50, 3, dtype=torch.float64)))
    assert torch.equal(state, torch.get_rng_state())


def test_what_was_drawn_ahead_goes_with_the_source() -> None:
    source = Seeded(0)
    source(torch.empty(4, 3))
    seen = weakref.ref(source)
    gc.disable()
    try:
        del source
        assert seen() is None  # else long runs grow until the garbage collector comes by
    finally:
        gc.enable()


def test_complex_noise_has_unit_power() -> None:
    draw = Seeded(4)(torch.empty(20000, 1, dtype=torch.complex128))
    assert abs(float(draw.abs().square().mean()) - 1) < 0.05
    assert abs(float(draw.real.square().mean()) - 0.5) < 0.03


def test_a_stream_does_not_depend_on_how_far_ahead_it_draws() -> None:
    source, again = Seeded(1), Seeded(1)
    like = torch.empty(2, 3)
    first = [source(like) for _ in range(150)]
    for k, draw in enumerate(first):
        assert torch.equal(draw, again(like)), k


def test_recorded_replays_and_complains() -> None:
    source = Recorded([torch.ones(2, 3)])
    assert torch.equal(source(torch.empty(2, 3)), torch.ones(2, 3))
    with pytest.raises(InputError, match="only 1 are recorded"):
        source(torch.empty(2, 3))
    with pytest.raises(InputError, match="shape"):
        Recorded([torch.ones(2, 3)])(torch.empty(2, 4))
    with pytest.raises(InputError, match="2 seeds for a batch of 3"):
        Seeded([1, 2])(torch.empty(3, 1))
    assert float(Silent()(torch.ones(2)).abs().sum()) == 0
    assert isinstance(as_noise(3), Seeded) and as_noise(source) is source


def test_laws() -> None:
    like, mask = torch.empty(500, 4, 4, dtype=torch.float64), torch.ones(500, 4, dtype=torch.float64)
    mask[:, 3] = 0
    eps = Masked(Symmetric(), axes=(1, 2))(Seeded(0), like, given=Given(mask=mask))
    assert torch.equal(eps, eps.mT)
    assert float(eps[:, 3].abs().max()) == 0
    assert kstest(eps[:, 0, 1].numpy(), "norm").pvalue > 0.01
    with pytest.raises(InputError, match="given.mask is None"):
        Masked()(Seeded(0), like)
    centred = ZeroMean()(Seeded(0), torch.empty(300, 5, 3, dtype=torch.float64))
    assert float(centred.mean(1).abs().max()) < 1e-12
    assert abs(float(centred.var()) - 4 / 5) < 0.05  # a projection onto N - 1 of N dimensions
    part = ZeroMean()(Seeded(0), torch.empty(500, 4, 3, dtype=torch.float64), given=Given(mask=mask))
    assert float(part.sum(1).abs().max()) < 1e-12 and float(part[:, 3].abs().max()) == 0
    assert torch.equal(Normal()(Seeded(0), like), Seeded(0)(like))


def test_chi2_quantile_inverts_the_distribution() -> None:
    p = torch.tensor([1e-4, 0.03, 0.5, 0.99, 1 - 1e-6], dtype=torch.float64)
    for degrees in (1, 8, 128, 100000):
        q = chi2_quantile(p, degrees)
        torch.testing.assert_close(torch.tensor(chi2(degrees).ppf(p.numpy())), q, rtol=1e-6, atol=1e-9)
