"""Sampling of systems: seeds, batches and sizes, the splitting sampler on a law that is known, saving and loading."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from polyscore import hub
from polyscore.denoisers import Prediction
from polyscore.errors import ConfigError, InputError
from polyscore.graphs import GraphDenoiser, GraphGenerator, Graphs, ScoreNetworkA, ScoreNetworks, ScoreNetworkX, Settings
from polyscore.graphs.batch import mask_of
from polyscore.graphs.methods import SAMPLERS, choose
from polyscore.graphs.noise import GraphNoise
from polyscore.graphs.processes import graph_process
from polyscore.graphs.s4 import S4
from polyscore.processes import VE, VP, SubVP
from polyscore.samplers import Langevin, grids, sample
from polyscore.state import NONE, Given


def generator(nodes: int = 6, **options: Any) -> GraphGenerator:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        adj = ScoreNetworkA(3, nodes, 8, num_layers=2, num_linears=2, c_init=2, c_hid=3, c_final=2, adim=8, num_heads=2)
        networks = ScoreNetworks(ScoreNetworkX(3, 2, 8), adj)
    denoiser = GraphDenoiser(networks, graph_process(VP(0.1, 1.0), VE(0.2, 1.0)), {"x": "eps", "adj": "score"})
    return GraphGenerator(denoiser.double(), 3, (*[0] * 2, *[1] * (nodes - 1)), **options).eval()


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_graph_depends_on_its_seed_alone(sampler: str) -> None:
    model = generator()
    whole = model.sample(7, seed=5, steps=4, sampler=sampler)
    assert whole.adj.equal(whole.adj.mT)
    small_batches = model.sample(7, seed=5, steps=4, sampler=sampler, batch_size=2)
    torch.testing.assert_close(whole.adj, small_batches.adj, rtol=0, atol=1e-9)
    for i in (0, 3, 6):
        alone = model.sample(1, seed=5 + i, steps=4, sampler=sampler)
        assert alone.sizes == whole[i].sizes
        torch.testing.assert_close(whole[i].x, alone.x, rtol=0, atol=1e-9)
        torch.testing.assert_close(whole[i].adj, alone.adj, rtol=0, atol=1e-9)


def test_norms_over_the_batch_are_the_originals_and_couple_graphs() -> None:
    model = generator()
    whole = model.sample([6, 6, 6], seed=1, steps=4, norm="batch")
    alone = model.sample([6], seed=1, steps=4, norm="batch")
    assert not torch.allclose(whole.adj[:1], alone.adj, atol=1e-6)


def test_noise_of_a_graph_is_cropped_from_that_of_the_largest() -> None:
    large, small = GraphNoise([1, 2], 6), GraphNoise([2], 6)
    a = [large.leaf("adj")(torch.empty(2, 6, 6)), large.leaf("x")(torch.empty(2, 6, 6)), large.leaf("adj")(torch.empty(2, 6, 6))]
    b = [small.leaf("adj")(torch.empty(1, 4, 4)), small.leaf("x")(torch.empty(1, 4, 6)), small.leaf("adj")(torch.empty(1, 4, 4))]
    assert a[0][1:, :4, :4].equal(b[0]) and a[1][1:, :4].equal(b[1]) and a[2][1:, :4, :4].equal(b[2])
    assert not a[0].equal(a[1])  # features as wide as there are nodes have a stream of their own


def test_adjacency_noise_has_unit_variance_off_the_diagonal() -> None:
    process: Any = graph_process(VP(), VE())
    mask = mask_of([5] * 4000, 5)
    eps = process["adj"].law(GraphNoise(range(4000), 5).leaf("adj"), torch.empty(4000, 5, 5), given=Given(mask=mask))
    off = ~torch.eye(5, dtype=torch.bool)
    assert eps.equal(eps.mT) and eps[:, ~off].eq(0).all()
    assert abs(float(eps[:, off].var()) - 1) < 0.02


def test_sizes_follow_the_training_graphs() -> None:
    model = GraphGenerator(generator().denoiser, 3, (0, 0, 0, 1, 0, 3, 0))
    drawn = torch.tensor(model.draw_sizes(range(4000)))
    assert set(drawn.tolist()) == {3, 5}
    assert abs(float((drawn == 5).double().mean()) - 0.75) < 0.03
    assert set(model.draw_sizes(range(50), between=(4, 6))) == {5}
    with pytest.raises(InputError, match=r"size 6-6.*sizes from 3 to 5"):
        model.draw_sizes([0], between=(6, 6))


# ---------------------------------------------------------------------- S4 on a Gaussian law


class Gaussian:
    """E[x0 | x] of two independent leaves with x0 ~ N(0, d^2): a d^2 / (a^2 d^2 + s^2) x."""

    def __init__(self, process: Any, std: float) -> None:
        self.process, self.std = process, std

    def __call__(self, x: Mapping[str, Tensor], t: float, given: Given = NONE) -> Prediction:
        shrink = {}
        for leaf in x:
            a, _, s = (float(c) for c in self.process[leaf].coefs_of(t))
            shrink[leaf] = a * self.std**2 / (a**2 * self.std**2 + s**2)
        return Prediction({leaf: shrink[leaf] * x[leaf] for leaf in x})


@pytest.mark.parametrize(
    ("process", "snr"), [(VP(0.1, 5.0), 0.0), (VP(0.1, 5.0), 0.1), (VE(0.05, 2.0), 0.1), (SubVP(0.1, 5.0), 0.0)]
)
def test_s4_samples_the_law(process: Any, snr: float) -> None:
    system = graph_process(process, process)
    n, nodes, std = 200, 8, 0.7
    mask = torch.ones(n, nodes, dtype=torch.float64)
    state = {"x": torch.empty(n, nodes, 2, dtype=torch.float64), "adj": torch.empty(n, nodes, nodes, dtype=torch.float64)}
    start: Any = system.prior(state, given=Given(mask=mask), noise=GraphNoise(range(n, 2 * n), nodes))
    level = process.coefs_of(1.0)
    spread = float((level.a**2 * std**2 + level.s**2).sqrt() / level.s)  # start from the true marginal, not from the prior
    out = sample(
        S4(Langevin(snr=snr, reduce="batch"), last="sample"),
        Gaussian(system, std),
        system,
        state,
        steps=200,
        grid=grids.SGMSE(1e-4),
        given=Given(mask=mask),
        noise=GraphNoise(range(n), nodes),
        init={leaf: start[leaf] * spread for leaf in state},
    )
    off = ~torch.eye(nodes, dtype=torch.bool)
    for values in (out["x"], out["adj"][:, off]):
        assert abs(float(values.std()) - std) < 0.03
        assert abs(float(values.mean())) < 0.03


def test_s4_wants_a_system() -> None:
    with pytest.raises(InputError, match="a mapping of leaves"):
        sample(S4(), None, VP(), torch.zeros(1, 2), steps=2)  # type: ignore[arg-type]


# ---------------------------------------------------------------------- the pipeline


def test_saving_and_loading_keeps_every_bit(tmp_path: Path) -> None:
    model = generator(presets={"exact": Settings(snr=0.1, steps=5), "fast": Settings("s4", 3)}, atoms=(6, 7, 8))
    again = GraphGenerator.from_pretrained(hub.save(tmp_path / "model", model))
    assert again.atoms == (6, 7, 8) and again.presets == model.presets and again.sizes == model.sizes
    for preset in ("exact", "fast"):
        assert again.sample(3, preset=preset).adj.equal(model.sample(3, preset=preset).adj)


def test_wrong_choices_are_named() -> None:
    model = generator()
    with pytest.raises(InputError, match="'slow' is unknown; expected one of exact, fast"):
        model.sample(1, preset="slow")
    with pytest.raises(InputError, match="'pcc'.*expected one of pc, s4"):
        choose(model.presets, "exact", sampler="pcc")
    with pytest.raises(InputError, match="sizes from 2 to 9 nodes; expected 1 to 6"):
        model.sample([2, 9], steps=2)
    with pytest.raises(InputError, match="2 graphs with 1 seeds"):
        model.sample(2, seed=[1], steps=2)
    with pytest.raises(ConfigError, match="2 atoms for 3 features"):
        generator(atoms=(6, 7))
    with pytest.raises(InputError, match=r"given\.mask is None"):
        model.denoiser({"x": torch.zeros(1, 2, 3), "adj": torch.zeros(1, 2, 2)}, 0.5)


def test_graphs_are_cut_joined_and_kept_apart() -> None:
    a = Graphs(torch.ones(2, 3, 1), torch.zeros(2, 3, 3), mask_of([3, 1], 3))
    b = Graphs(torch.ones(1, 5, 1), torch.zeros(1, 5, 5), mask_of([5], 5))
    joined = Graphs.cat([a, b])
    assert joined.sizes == [3, 1, 5] and joined.x.shape == (3, 5, 1)
    assert joined[1].x.shape == (1, 1, 1) and [len(g) for g in joined] == [1, 1, 1]
    with pytest.raises(InputError, match="expected"):
        Graphs(torch.ones(2, 3, 1), torch.zeros(2, 4, 4), mask_of([3, 1], 3))
