"""Graphs to torch-geometric and back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

pytest.importorskip("torch_geometric")
import torch_geometric.data

from polyscore.errors import InputError
from polyscore.graphs import Graphs
from polyscore.graphs.batch import mask_of
from polyscore.graphs.data import GraphData, LabelledData, PyGGraphs
from polyscore.graphs.pyg import from_pyg, to_pyg

pyg: Any = torch_geometric.data


def test_there_and_back() -> None:
    generator = torch.Generator().manual_seed(0)
    mask = mask_of([4, 1, 3], 4)
    upper = torch.randint(0, 4, (3, 4, 4), generator=generator).float().triu(1)
    x = torch.randn(3, 4, 2, generator=generator) * mask[..., None]
    graphs = Graphs(x, (upper + upper.mT) * mask[:, None] * mask[..., None], mask)
    for form in (to_pyg(graphs), pyg.Batch.from_data_list(to_pyg(graphs))):
        back = from_pyg(form)
        assert back.x.equal(graphs.x) and back.adj.equal(graphs.adj) and back.mask.equal(graphs.mask)


def test_plain_graphs_get_weights_of_one() -> None:
    data = pyg.Data(edge_index=torch.tensor([[0, 1, 2], [1, 2, 2]]), num_nodes=3)
    graphs = from_pyg([data])
    assert graphs.adj[0].tolist() == [[0, 1, 0], [1, 0, 1], [0, 1, 0]] and graphs.x.shape == (1, 3, 0)


def test_graphs_that_do_not_fit_together_are_named() -> None:
    one, two = pyg.Data(x=torch.zeros(2, 1)), pyg.Data(x=torch.zeros(2, 3))
    with pytest.raises(InputError, match=r"2 graphs with features of widths \[1, 3\]"):
        from_pyg([one, two])
    with pytest.raises(InputError, match=r"edge_attr \(1, 3\) for 1 edges"):
        from_pyg([pyg.Data(edge_index=torch.tensor([[0], [1]]), edge_attr=torch.zeros(1, 3), num_nodes=2)])


def labelled(edges: list[list[int]], kinds: list[int], bonds: list[int]) -> Any:
    """Edges in both directions, in order."""
    index, weight = torch.tensor(edges).T, torch.tensor(bonds)
    data = pyg.Data(
        x=torch.tensor(kinds).unsqueeze(1), edge_index=torch.cat([index, index.flip(0)], 1), edge_attr=torch.cat([weight, weight])
    )
    return data.coalesce()


MOLECULES = [
    labelled([[0, 1], [1, 2]], [6, 6, 8], [1, 2]),
    labelled([[0, 1]], [8, 7], [3]),
    labelled([[0, 1], [1, 2], [0, 2]], [6, 6, 6], [1, 1, 1]),
    labelled([[0, 1], [2, 3]], [7, 6, 6, 6], [2, 1]),
]


def test_sparse_to_dense_and_back() -> None:
    generator = torch.Generator().manual_seed(3)
    items = []
    for n in (1, 5, 9):
        pairs = torch.combinations(torch.arange(n), 2) if n > 1 else torch.zeros(0, 2, dtype=torch.long)
        pairs = pairs[torch.rand(len(pairs), generator=generator) < 0.4]
        weight = 0.5 + torch.rand(len(pairs), generator=generator)
        both = torch.cat([pairs, pairs.flip(1)]).T
        x = torch.randn(n, 2, generator=generator)
        items.append(pyg.Data(x=x, edge_index=both, edge_attr=torch.cat([weight, weight]), num_nodes=n).coalesce())
    for back, item in zip(to_pyg(from_pyg(items)), items, strict=True):
        assert back.x.equal(item.x) and back.edge_index.equal(item.edge_index) and back.edge_attr.equal(item.edge_attr)
        assert back.num_nodes == item.num_nodes
    with pytest.raises(InputError, match="graph 0 has an edge with two weights"):
        from_pyg([pyg.Data(edge_index=torch.tensor([[0, 1], [1, 0]]), edge_attr=torch.tensor([1.0, 2.0]), num_nodes=2)])


def test_a_data_set_is_training_data_without_its_features() -> None:
    from torch_geometric.datasets import KarateClub

    data = GraphData(PyGGraphs([*KarateClub(), *MOLECULES]), test=0.2)
    train, held = data.parts()
    assert len(train) == 4 and len(held) == 1 and data.facts.levels == (0.0, 1.0)
    sizes, edges = [*train.sizes.tolist(), *held.sizes.tolist()], [int(part.adj.sum()) for part in (train, held)]
    assert sorted(sizes) == [2, 3, 3, 4, 34] and sum(edges) == 2 * (78 + 2 + 1 + 3 + 2)
    assert len(GraphData(PyGGraphs(MOLECULES, smallest=3), test=0.0).graphs()) == 3
    with pytest.raises(InputError, match="none of 4 graphs has 9 nodes"):
        PyGGraphs(MOLECULES, smallest=9).graphs(0)


def test_categories_of_nodes_and_edges_are_counted() -> None:
    data = LabelledData(MOLECULES, test=0.25, batch_size=3, repeat=2, seed=1)
    train, held = data.parts()
    assert (len(train), len(held)) == (6, 1) and data.facts.features == 3 and data.facts.levels == (0.0, 1.0, 2.0, 3.0)
    seen = {}
    for part in (train, held):
        batch = part.__getitems__(range(len(part) // part.repeat))
        for x, adj, mask in zip(batch["x0"]["x"], batch["x0"]["adj"], batch["mask"], strict=True):
            n = int(mask.sum())
            assert not x[n:].any() and not adj[n:].any()
            seen[tuple(x[:n].argmax(-1).tolist())] = adj[:n, :n].tolist()
    assert seen == {
        (0, 0, 2): [[0, 1, 0], [1, 0, 2], [0, 2, 0]],
        (2, 1): [[0, 3], [3, 0]],
        (0, 0, 0): [[0, 1, 1], [1, 0, 1], [1, 1, 0]],
        (1, 0, 0, 0): [[0, 2, 0, 0], [2, 0, 0, 0], [0, 0, 0, 1], [0, 0, 1, 0]],
    }
    unit = [pyg.Data(x=torch.eye(4)[item.x.squeeze(1) - 5], edge_index=item.edge_index, edge_attr=torch.eye(4)[item.edge_attr])
            for item in MOLECULES]  # fmt: skip
    same = LabelledData(unit, test=0.25, repeat=2, seed=1).parts()[0]
    assert same.__getitems__([0, 1, 2])["x0"]["x"].equal(train.__getitems__([0, 1, 2])["x0"]["x"]) and same.adj.equal(train.adj)


def test_features_that_are_no_categories_are_named() -> None:
    real = pyg.Data(x=torch.rand(3, 2), edge_index=torch.tensor([[0], [1]]))
    with pytest.raises(InputError, match=r"data\.x \(3, 2\) is no category"):
        LabelledData([real, real]).parts()
    torn = labelled([[0, 1]], [6, 6], [1])
    torn.edge_attr = torch.tensor([1, 2])
    with pytest.raises(InputError, match="an edge with two categories"):
        LabelledData([torn, torn]).parts()


def test_any_data_set_of_torch_geometric_by_its_class_path(repository: Path, tmp_path: Path) -> None:
    pytest.importorskip("jsonargparse")
    from polyscore.training.engine import assemble

    (tmp_path / "mine.yaml").write_text(
        "data:\n  class_path: polyscore.graphs.data.GraphData\n  init_args:\n    source:\n"
        "      class_path: polyscore.graphs.data.PyGGraphs\n      init_args:\n        smallest: 4\n        dataset:\n"
        "          class_path: torch_geometric.datasets.FakeDataset\n"
        "          init_args: {num_graphs: 12, avg_num_nodes: 8, avg_degree: 3, is_undirected: true}\n"
    )
    run = assemble([repository / "configs" / "graphs" / "gdss_enzymes.yaml", tmp_path / "mine.yaml"], folder=tmp_path)
    data = run.data
    assert isinstance(data, GraphData) and isinstance(data.source, PyGGraphs) and data.features == 10
    batch = next(iter(data.train_dataloader()))
    assert batch["x0"]["x"].shape[-1] == 10 and (batch["mask"].sum(1) >= 4).all() and batch["x0"]["adj"].any()
