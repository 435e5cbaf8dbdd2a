"""Discrete diffusion of graphs: symmetry, seeds, the split by Bayes, losses, and the way from a configuration to molecules."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from polyscore import hub
from polyscore.errors import ConfigError, InputError
from polyscore.graphs import GraphGenerator, GraphTransformer, graph_process
from polyscore.graphs.batch import mask_of
from polyscore.graphs.chem import decode
from polyscore.graphs.discrete import DiscreteGraphDenoiser, DiscreteGraphGenerator, discrete_graph_process
from polyscore.graphs.discrete_training import DiscreteGraphTraining, discrete_losses
from polyscore.graphs.methods import Settings
from polyscore.guidance import Clamp
from polyscore.processes import VP, Product
from polyscore.processes.discrete import Absorbing, CategoricalProcess, Replacing, SquaredCosine
from polyscore.state import Given
from polyscore.training import AdamW

F64 = torch.float64
NODES, PAIRS = (0.7, 0.2, 0.1), (0.75, 0.2, 0.05)


def generator(kind: str = "replacing", *, trained: bool = True) -> DiscreteGraphGenerator:
    """A small one for graphs of 3 to 6 nodes; `trained`: with random weights also at the network's ends, which start at 0."""
    torch.manual_seed(0)
    x: CategoricalProcess = Replacing(3, SquaredCosine(), NODES) if kind == "replacing" else Absorbing(3)
    adj: CategoricalProcess = Replacing(3, SquaredCosine(), PAIRS) if kind == "replacing" else Absorbing(3)
    process = discrete_graph_process(x, adj)
    network = GraphTransformer(x.tokens, adj.tokens, 2, nodes_out=3, pairs_out=3, width=16, pair_width=8, heads=2, layers=2)
    made = DiscreteGraphGenerator(DiscreteGraphDenoiser(network, process, (0, 1, 2)), 3, [0, 0, 0, 1, 2, 3, 4], atoms=(6, 7, 8))
    if trained:
        for end in (network.node_end, network.pair_end):
            torch.nn.init.normal_(end.weight, std=0.3)
    return made.eval()


def graphs(count: int = 5, nodes: int = 6) -> tuple[dict[str, Tensor], Tensor]:
    """Random graphs as training data."""
    source = torch.Generator().manual_seed(3)
    mask = mask_of([3, 4, 6, 6, 5][:count], nodes)
    kinds = torch.randint(3, (count, nodes), generator=source)
    orders = torch.randint(3, (count, nodes, nodes), generator=source).triu(1)
    there = mask.unsqueeze(-1)
    x = torch.nn.functional.one_hot(kinds, 3) * there
    return {"x": x, "adj": (orders + orders.mT) * there * there.mT}, mask


KINDS = pytest.mark.parametrize("kind", ["replacing", "absorbing"])


@KINDS
def test_what_is_drawn_is_a_graph(kind: str) -> None:
    model = generator(kind)
    made = model.sample(6, steps=9, seed=2)
    there = made.mask.unsqueeze(-1) * made.mask.unsqueeze(1)
    assert torch.equal(made.adj, made.adj.mT)
    assert not bool((made.adj * (1 - there)).any()) and not bool(made.adj.diagonal(dim1=1, dim2=2).any())
    assert torch.equal(made.x.sum(-1), made.mask)
    assert bool(torch.isin(made.adj, torch.tensor([0.0, 1.0, 2.0])).all())
    assert len(list(decode(made, model.atoms))) == 6


@KINDS
def test_a_graph_depends_on_its_seed_and_size_alone(kind: str) -> None:
    model = generator(kind).double()
    together = model.sample([3, 6, 4, 5], steps=7, seed=[30, 31, 32, 33])
    for i, size in enumerate((3, 6, 4, 5)):
        alone = model.sample([size], steps=7, seed=[30 + i])
        assert torch.equal(together.adj[i, :size, :size], alone.adj[0])
        assert torch.equal(together.x[i, :size], alone.x[0])


@KINDS
def test_the_denoiser_is_equivariant_and_symmetric(kind: str) -> None:
    model = generator(kind).double().denoiser
    data, mask = graphs()
    mask = mask.double()
    state = model.process.perturb(model.categories(data["x"], data["adj"]), 0.6, given=Given(mask=mask), noise=1).x  # type: ignore[operator]
    order = torch.tensor([2, 0, 1, 3, 4, 5])
    moved = {"x": state["x"][:, order], "adj": state["adj"][:, order][:, :, order]}
    found, other = (model(s, 0.6, Given(mask=m)).x0 for s, m in ((state, mask), (moved, mask[:, order])))
    assert torch.equal(found["adj"], found["adj"].transpose(1, 2))
    seen = (mask.unsqueeze(-1) * mask.unsqueeze(1) * (1 - torch.eye(6))).bool()
    permuted = found["adj"][:, order][:, :, order]
    inside = seen[:, order][:, :, order]
    assert torch.allclose(permuted[inside], other["adj"][inside], atol=1e-12)
    assert torch.allclose(found["x"][:, order][mask[:, order] > 0], other["x"][mask[:, order] > 0], atol=1e-12)


def test_an_untrained_denoiser_is_bayes_of_single_entries() -> None:
    """log p(k | own entry) with the prior that `prior_x`, `prior_adj` hold: here the law of the data."""
    model = generator(trained=False).double().denoiser
    model.prior_x.data = torch.tensor(NODES, dtype=F64).log()
    model.prior_adj.data = torch.tensor(PAIRS, dtype=F64).log()
    state = {"x": torch.tensor([[0, 1, 2]]), "adj": torch.tensor([[[0, 1, 2], [1, 0, 0], [2, 0, 0]]])}
    made = model(state, 0.4, Given(mask=torch.ones(1, 3, dtype=F64))).x0
    for name, law in (("x", NODES), ("adj", PAIRS)):
        process: Any = model.process[name]
        table = process.matrix(0.4) * torch.tensor(law, dtype=F64)[:, None]
        expected = (table / table.sum(0)).mT[state[name]]
        off = slice(None) if name == "x" else (slice(None), ~torch.eye(3, dtype=torch.bool))  # the diagonal is no pair
        assert torch.allclose(made[name].softmax(-1)[off], expected[off], atol=1e-12)


@KINDS
def test_shown_and_categories_are_inverse(kind: str) -> None:
    model = generator(kind).denoiser
    data, mask = graphs()
    there = mask.unsqueeze(-1)
    shown = model.shown(model.categories(data["x"], data["adj"].float()), mask)  # type: ignore[operator]
    assert torch.equal(shown["x"], data["x"] * there) and torch.equal(shown["adj"], data["adj"].float())
    hidden = model.shown({"x": torch.full((5, 6), 3), "adj": torch.full((5, 6, 6), 3)}, mask)  # type: ignore[operator]
    assert kind == "replacing" or not bool(hidden["x"].any() or hidden["adj"].any())


def test_losses_count_existing_nodes_and_pairs_once() -> None:
    """At t = 1 nothing is left of the data, and an untrained denoiser gives the entropy of uniform categories."""
    model = generator("absorbing", trained=False).denoiser
    data, mask = graphs()
    one = torch.ones(5, dtype=F64)
    losses = discrete_losses(model, {"x": data["x"], "adj": data["adj"].float()}, one, mask=mask, noise=0)  # type: ignore[arg-type]
    n = mask.sum(1)
    nats = torch.log(torch.tensor(3.0))
    assert torch.allclose(losses["x"], n * nats) and torch.allclose(losses["adj"], n * (n - 1) / 2 * nats)
    little = discrete_losses(model, {"x": data["x"], "adj": data["adj"].float()}, 1e-9 * one, mask=mask, noise=0)  # type: ignore[arg-type]
    assert max(float(loss.detach().max()) for loss in little.values()) < 1e-4


def test_training_learns_what_single_entries_cannot_say() -> None:
    """Triangles of kind 0 and paths of kind 1: drawn entry by entry, one graph of eight would be right."""
    model = generator(trained=False)
    training = DiscreteGraphTraining(model, optimiser=AdamW(1e-2), edges=1.0)
    kinds = torch.tensor([[0, 0, 0], [1, 1, 1]]).repeat(32, 1)
    x = torch.nn.functional.one_hot(kinds, 3).float()
    path = torch.tensor([[0.0, 1, 1], [1, 0, 0], [1, 0, 0]])
    adj = torch.stack([1 - torch.eye(3), path]).repeat(32, 1, 1)
    batch = {"x0": {"x": x, "adj": adj}, "mask": torch.ones(64, 3)}
    optimiser = training.optimiser.build(model.parameters())
    for step in range(100):
        loss = training.losses(batch, training.times, "train", 0, step)[0].mean()
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    made = model.eval().sample([3] * 40, steps=25, seed=1)
    edges = made.adj.sum((1, 2)) / 2
    same = (made.x.argmax(-1) == made.x.argmax(-1)[:, :1]).all(1)
    right = same & (edges == torch.where(made.x[:, 0].argmax(-1) == 0, 3, 2))
    assert float(right.double().mean()) > 0.5


def test_a_saved_model_is_a_graph_generator(tmp_path: Path) -> None:
    model = generator()
    hub.save(tmp_path / "m", model)
    again = GraphGenerator.from_pretrained(tmp_path / "m")
    assert isinstance(again, DiscreteGraphGenerator)
    assert torch.equal(again.sample(3, steps=4).adj, model.sample(3, steps=4).adj)


def test_what_does_not_fit_is_named() -> None:
    model = generator()
    with pytest.raises(InputError, match="a discrete model samples by 'ancestral'"):
        model.sample(2, sampler="pc", steps=2)
    with pytest.raises(InputError, match="no known parts"):
        model.sample(2, steps=2, around=lambda denoiser, mask: Clamp(denoiser))
    assert torch.equal(model.sample(2, steps=2, around=lambda denoiser, mask: denoiser).x, model.sample(2, steps=2).x)
    with pytest.raises(ConfigError, match="expected a discrete process"):
        DiscreteGraphDenoiser(model.denoiser.network, graph_process(VP(), VP()), (0, 1, 2))  # type: ignore[arg-type]
    process: Any = model.denoiser.process
    with pytest.raises(ConfigError, match="expected"):
        DiscreteGraphDenoiser(model.denoiser.network, process, (0, 1))  # type: ignore[arg-type]
    with pytest.raises(InputError, match="1 to 6"):
        model.sample([9], steps=2)
    assert model.presets["fast"] == Settings("ancestral", 100)
    assert isinstance(Product(x=replace(process["x"]), adj=process["adj"]), Product)
