"""Selection and powers on graphs: what a batch must look like, and a law of graphs in closed form."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from polyscore.denoisers import Prediction
from polyscore.errors import ConfigError, InputError
from polyscore.graphs.methods import Settings, choose
from polyscore.graphs.processes import graph_process
from polyscore.graphs.resampling import resampled
from polyscore.processes import VP
from polyscore.samplers import Ancestral, sample
from polyscore.state import Given, map_state
from polyscore.steering import Carried, FeynmanKac, Tempered

PROCESS: Any = graph_process(x=VP(0.1, 20.0), adj=VP(0.1, 20.0))
MASK = torch.tensor([[1.0, 1.0, 1.0, 0.0]], dtype=torch.float64)


def denoise(x: Any, t: Any, given: Given) -> Prediction:
    """E[x0 | x] for independent standard normal entries, where a^2 + s^2 = 1."""
    return Prediction(map_state(lambda leaf: PROCESS["x"].coefs_of(t).a.to(leaf.dtype) * leaf, x))


def edges(x0: Any, given: Given) -> Any:
    return x0["adj"].sum((1, 2)) / 2


def drawn(sampler: Any, count: int, mask: Any = None) -> Any:
    like = {"x": torch.empty(count, 4, 2, dtype=torch.float64), "adj": torch.empty(count, 4, 4, dtype=torch.float64)}
    given = Given(mask=MASK.expand(count, 4) if mask is None else mask)
    return sample(sampler, denoise, PROCESS, like, steps=60, noise=3, given=given)


def test_a_method_is_tilted() -> None:
    """exp(c r) of three independent edges N(0, v): each has the mean c v."""
    method = resampled(choose({"fast": Settings("ancestral", 60)}, "fast"), edges, 0.7, island=2048, every=5)
    plain, tilted = drawn(Ancestral(), 2048), drawn(method.sampler, 2048)
    there = (slice(None), [0, 0, 1], [1, 2, 2])
    v = plain["adj"][there].var().item()
    assert tilted["adj"][there].mean().item() == pytest.approx(0.7 * v, abs=0.06)
    assert tilted["x"][:, :3].mean().item() == pytest.approx(0.0, abs=0.06)
    assert torch.equal(tilted["adj"], tilted["adj"].mT)
    assert not tilted["adj"][:, 3].any()


def test_the_square_of_a_law_of_graphs() -> None:
    """Every edge and feature that exists has half the variance; the ones that are one variable weigh once."""
    x = drawn(FeynmanKac(Tempered((2.0,)), Carried(), group=1024), 4096)
    assert x["x"][:, :3].var().item() == pytest.approx(0.5, abs=0.05)
    assert x["adj"][:, [0, 0, 1], [1, 2, 2]].var().item() == pytest.approx(0.5, abs=0.06)


def test_what_does_not_fit_is_refused() -> None:
    multistep = choose({"fast": Settings("multistep", 10)}, "fast")
    with pytest.raises(ConfigError, match="stepper such as"):
        resampled(multistep, edges, 1.0, island=4)
    sampler = resampled(choose({"fast": Settings("ancestral", 60)}, "fast"), edges, 1.0, island=4).sampler
    with pytest.raises(InputError, match="10 rows in groups of 4"):
        drawn(sampler, 10)
    with pytest.raises(InputError, match="samples of one size"):
        drawn(sampler, 4, torch.tensor([[1.0, 1.0, 1.0, 1.0]] * 3 + [[1.0, 1.0, 0.0, 0.0]], dtype=torch.float64))
