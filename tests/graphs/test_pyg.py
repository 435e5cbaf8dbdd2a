"""Graphs to torch-geometric and back."""

from __future__ import annotations

from typing import Any

import pytest
import torch

pytest.importorskip("torch_geometric")
import torch_geometric.data

from polyscore.errors import InputError
from polyscore.graphs import Graphs
from polyscore.graphs.batch import mask_of
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
