"""Selection: the tilted law of a Gaussian, no reward means no change, and what a batch must look like."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from polyscore.denoisers import Prediction
from polyscore.errors import ConfigError, InputError
from polyscore.graphs.resampling import Resampling
from polyscore.processes import VP
from polyscore.samplers import DDIM, Ancestral, sample
from polyscore.state import Given

PROCESS = VP(0.1, 20.0)


def denoise(x: Any, t: Any, given: Given) -> Prediction:
    """E[x0 | x] for x0 ~ N(0, 1), where a^2 + s^2 = 1."""
    return Prediction(PROCESS.coefs_of(t).a.to(x.dtype) * x)


def first(x0: Any, given: Given) -> Any:
    return x0[:, 0]


def drawn(sampler: Any, n: int = 4096, given: Given | None = None) -> Any:
    like = torch.empty(n, 2, dtype=torch.float64)
    return sample(sampler, denoise, PROCESS, like, steps=40, noise=3, given=given or Given())


@pytest.mark.parametrize("every", [1, 10, 40])
def test_a_gaussian_is_tilted_as_it_must_be(every: int) -> None:
    # N(0, v) times exp(x) is N(v, v), v being what 40 steps make of 1; what the reward does not see stays N(0, v).
    v = drawn(Ancestral()).var().item()
    x = drawn(Resampling(Ancestral(), first, 1.0, island=4096, every=every))
    assert 0.8 < v < 1
    assert x.mean(0).tolist() == pytest.approx([v, 0.0], abs=0.1)
    assert x.var(0).tolist() == pytest.approx([v, v], abs=0.15)


def test_no_strength_changes_nothing_and_islands_do_not_mix() -> None:
    plain = drawn(Ancestral(), 64)
    assert torch.equal(drawn(Resampling(Ancestral(), first, 0.0, island=16), 64), plain)
    tilted = Resampling(Ancestral(), first, 3.0, island=16)

    def half_known(x0: Any, given: Given) -> Any:
        return torch.where(torch.arange(64) < 32, x0[:, 0], 0.0)

    one, other = drawn(tilted, 64), drawn(Resampling(Ancestral(), half_known, 3.0, island=16), 64)
    assert torch.equal(one[:32], other[:32]) and torch.equal(other[32:], plain[32:])
    assert (one[:, 0].view(-1, 16).mean(1) > plain[:, 0].view(-1, 16).mean(1)).all()


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ConfigError, match="DDIM; expected"):
        Resampling(DDIM(), first, 1.0, island=4)
    with pytest.raises(InputError, match="10 graphs in islands of 4"):
        drawn(Resampling(Ancestral(), first, 1.0, island=4), 10)
    with pytest.raises(InputError, match="different sizes"):
        drawn(Resampling(Ancestral(), first, 1.0, island=2), 4, Given(mask=torch.tensor([[1.0], [1.0], [1.0], [0.0]])))
