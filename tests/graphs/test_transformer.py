"""The graph transformer and the categorical denoiser: symmetries, independence of padding, Bayes' rule, learning."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from polyscore.errors import ConfigError, InputError
from polyscore.graphs import CategoricalDenoiser, GraphTransformer, graph_process
from polyscore.graphs.batch import mask_of
from polyscore.graphs.data.facts import Facts
from polyscore.graphs.networks.pairs import Pairs
from polyscore.graphs.training import category_losses
from polyscore.graphs.transformer_training import transformer_generator
from polyscore.processes import Cosine
from polyscore.state import Given

LEVELS = (0.0, 1.0, 2.0, 3.0)


def stirred(facts: Facts, seed: int = 0, walks: int = 0) -> CategoricalDenoiser:
    """A denoiser whose network is not 0, in float64."""
    generator = torch.Generator().manual_seed(seed)
    made = transformer_generator(facts, width=16, pair_width=8, heads=2, layers=2, walks=walks).denoiser.double()
    with torch.no_grad():
        for p in made.parameters():
            p.copy_(torch.randn(p.shape, generator=generator, dtype=torch.float64) * (0.5 if p.ndim < 2 else p.shape[-1] ** -0.5))
    assert isinstance(made, CategoricalDenoiser)
    return made


def noisy(b: int, n: int, f: int, mask: Tensor, seed: int = 1) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(b, n, f, generator=generator, dtype=torch.float64)
    upper = torch.randn(b, n, n, generator=generator, dtype=torch.float64).triu(1)
    there = mask.unsqueeze(-1)
    return {"x": x * there, "adj": (upper + upper.mT) * there * there.mT}


FACTS = Facts((0, 0, 0, 1, 1, 1, 1), (6, 7, 8))


@pytest.mark.parametrize("walks", [0, 3])
def test_permuting_nodes_permutes_what_comes_out(walks: int) -> None:
    denoiser, mask = stirred(FACTS, walks=walks), torch.ones(2, 6, dtype=torch.float64)
    state, order = noisy(2, 6, 3, mask), torch.tensor([3, 0, 5, 1, 4, 2])
    out = denoiser(state, 0.5, Given(mask=mask)).x0
    turned = {"x": state["x"][:, order], "adj": state["adj"][:, order][:, :, order]}
    found = denoiser(turned, 0.5, Given(mask=mask)).x0
    torch.testing.assert_close(found["x"], out["x"][:, order], rtol=0, atol=1e-12)
    torch.testing.assert_close(found["adj"], out["adj"][:, order][:, :, order], rtol=0, atol=1e-12)
    assert out["adj"].equal(out["adj"].mT) and not out["adj"].diagonal(dim1=1, dim2=2).any()
    assert out["x"].std(1).min() > 1e-3  # nodes differ: the equalities above are not those of a constant


@pytest.mark.parametrize("walks", [0, 3])
def test_a_graph_depends_neither_on_its_padding_nor_on_its_batch_nor_on_what_lies_there(walks: int) -> None:
    denoiser, mask = stirred(FACTS, walks=walks), mask_of([6, 4], 6).double()
    state = noisy(2, 6, 3, mask)
    out = denoiser(state, 0.4, Given(mask=mask)).x0
    dirty = {"x": state["x"] + 7 * (1 - mask.unsqueeze(-1)), "adj": state["adj"].clone()}
    dirty["adj"][1, 4:] = dirty["adj"][1, :, 4:] = 9.0
    for x, m, rows, n in (
        ({"x": state["x"][1:, :4], "adj": state["adj"][1:, :4, :4]}, mask[1:, :4], slice(1, 2), 4),
        (dirty, mask, slice(0, 2), 6),
    ):
        found = denoiser(x, 0.4, Given(mask=m)).x0
        torch.testing.assert_close(found["x"], out["x"][rows, :n], rtol=0, atol=1e-12)
        torch.testing.assert_close(found["adj"], out["adj"][rows, :n, :n], rtol=0, atol=1e-12)
    assert not out["x"][1, 4:].any() and not out["adj"][1, 4:].any() and not out["adj"][1, :, 4:].any()


@pytest.mark.parametrize(("walks", "told_apart"), [(0, False), (3, True)])
def test_walks_tell_a_ring_from_two_triangles(walks: int, told_apart: bool) -> None:
    # All nodes look alike in both, and see as many edges: attention and sums over neighbours cannot tell.
    graphs = torch.zeros(2, 6, 6, dtype=torch.float64)
    for i in range(6):
        for graph, j in enumerate(((i + 1) % 6, 3 * (i // 3) + (i + 1) % 3)):
            graphs[graph, i, j] = graphs[graph, j, i] = 1.0
    torch.manual_seed(0)
    network = GraphTransformer(1, 1, 1, nodes_out=1, pairs_out=1, width=16, pair_width=8, heads=2, layers=2, walks=walks).double()
    torch.nn.init.normal_(network.node_end.weight)
    ones = torch.ones(2, 6, dtype=torch.float64)
    edges = Pairs.of(6, torch.device("cpu")).read(graphs).unsqueeze(-1)
    nodes, _ = network(ones.unsqueeze(-1), edges, ones[:, :1], ones)
    assert ((nodes[0] - nodes[1]).abs().max() > 1e-6) == told_apart
    assert (nodes - nodes[:, :1]).abs().max() < 1e-12


def test_a_network_of_zeros_is_bayes_of_each_entry_by_itself() -> None:
    denoiser = transformer_generator(FACTS, width=16, pair_width=8, heads=2, layers=1).denoiser.double()
    mask = torch.ones(3, 5, dtype=torch.float64)
    state, t = noisy(3, 5, 3, mask), torch.tensor([0.1, 0.5, 0.9], dtype=torch.float64)
    found = denoiser(state, t, Given(mask=mask)).x0
    process = Cosine(0.01)
    for row, (a, _, s) in enumerate(zip(*process.coefs_of(t), strict=True)):
        off = state["adj"][row].unsqueeze(-1) - a * torch.tensor(LEVELS, dtype=torch.float64)
        shares = (-(off**2) / (2 * s**2)).softmax(-1)
        mean = (shares * torch.tensor(LEVELS, dtype=torch.float64)).sum(-1).fill_diagonal_(0)
        torch.testing.assert_close(found["adj"][row], mean, rtol=0, atol=1e-12)
        distance = (state["x"][row].unsqueeze(1) - a * torch.eye(3, dtype=torch.float64)).square().sum(-1)
        torch.testing.assert_close(found["x"][row], (-distance / (2 * s**2)).softmax(-1), rtol=0, atol=1e-12)


def test_the_loss_falls_below_what_single_entries_can_know() -> None:
    """Two graphs, a triangle of one kind and a path of the other: an entry's best guess uses the rest."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        denoiser = transformer_generator(Facts((0, 0, 0, 1), (6, 7)), width=16, pair_width=8, heads=2, layers=2).denoiser
    assert isinstance(denoiser, CategoricalDenoiser)
    kind = torch.arange(64) % 2
    x = torch.nn.functional.one_hot(kind, 2).float().unsqueeze(1).expand(64, 3, 2)
    adj = torch.ones(64, 3, 3) - torch.eye(3)
    adj[kind == 1, 0, 2] = adj[kind == 1, 2, 0] = 0.0
    mask, t = torch.ones(64, 3), torch.full((64,), 0.6, dtype=torch.float64)
    a, _, scale = (float(c) for c in Cosine(0.01).coefs_of(0.6))
    optimiser, first, last, best = torch.optim.Adam(denoiser.parameters(), 0.01), [], [], []
    for step in range(100):
        parts = category_losses(denoiser, {"x": x, "adj": adj}, t, mask=mask, noise=1000 * step)
        loss = (parts["x"] + parts["adj"]).mean()
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        if step == 0:
            first.append(float(parts["x"].detach().mean()))
        if step >= 80:
            last.append(float(parts["x"].detach().mean()))
            v = denoiser.process.perturb({"x": x, "adj": adj}, t, given=Given(mask=mask), noise=1000 * step).x
            assert isinstance(v, dict)
            one = (a * (v["x"][..., 1] - v["x"][..., 0]) / scale**2).sum(1)  # log p(v | path) - log p(v | triangle)
            one = one - (a * v["adj"][:, 0, 2] - a**2 / 2) / scale**2
            best.append(3 * float(torch.nn.functional.softplus(torch.where(kind == 1, -one, one)).mean()))
    start, end, exact = (sum(column) / len(column) for column in (first, last, best))
    assert exact < end < exact + 0.3 * (start - exact)  # `start` is the best that looks at a node's own entry alone


def test_wrong_widths_and_a_missing_mask_are_named() -> None:
    network = GraphTransformer(6, 5, 2, nodes_out=3, pairs_out=4, width=8, heads=2, layers=1)
    process = graph_process(Cosine(0.01), Cosine(0.01))
    with pytest.raises(ConfigError, match="6 node and 5 pair features, 2 conditions and 4 pair outputs; expected 6, 3, 2 and 2"):
        CategoricalDenoiser(network, process, (0.0, 1.0))
    with pytest.raises(InputError, match="expected a divisor"):
        GraphTransformer(6, 5, 2, nodes_out=3, pairs_out=4, width=9, heads=2)
    denoiser = CategoricalDenoiser(network, process, LEVELS)
    with pytest.raises(InputError, match="mask is None"):
        denoiser({"x": torch.zeros(1, 2, 3), "adj": torch.zeros(1, 2, 2)}, 0.5)
