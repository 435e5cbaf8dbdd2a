"""To and from torch-geometric: a graph as `Data(x, edge_index, edge_attr)`, every edge in both directions.

Raises:
    MissingExtraError: torch-geometric is not installed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from polyscore.errors import InputError, MissingExtraError
from polyscore.graphs.batch import Graphs, mask_of

try:
    from torch_geometric.data import Data
except ImportError as error:
    raise MissingExtraError("this needs torch-geometric: pip install 'polyscore[pyg]'") from error

__all__ = ["from_pyg", "to_pyg"]


def to_pyg(graphs: Graphs) -> list[Any]:
    """One `Data` a graph: x (n, F), edge_index (2, E), edge_attr (E,) the weights that are not 0."""
    made = []
    for row, size in enumerate(graphs.sizes):
        adj = graphs.adj[row, :size, :size]
        edges = adj.nonzero().T
        made.append(Data(x=graphs.x[row, :size], edge_index=edges, edge_attr=adj[edges[0], edges[1]], num_nodes=size))
    return made


def from_pyg(data: Sequence[Any]) -> Graphs:
    """Dense graphs of a list of `Data`, a `Batch` or a data set; without `edge_attr` every edge weighs 1, without `x` F is 0.

    Edges given in one direction count in both; loops, and edges of weight 0, are left out. Undirected graphs without these, their
    edges in the order of `Data.coalesce`, come back from `to_pyg` as they were.

    Raises:
        InputError: no graphs, node features of different widths, or edges with several attributes.
    """
    items = data.to_data_list() if hasattr(data, "to_data_list") else list(data)
    widths = {0 if item.x is None else item.x.shape[-1] for item in items}
    if len(widths) != 1:
        raise InputError(f"from_pyg: {len(items)} graphs with features of widths {sorted(widths)}; expected graphs of one width")
    n = max(int(item.num_nodes) for item in items)
    x, adj = torch.zeros(len(items), n, widths.pop()), torch.zeros(len(items), n, n)
    for row, item in enumerate(items):
        if item.x is not None:
            x[row, : item.num_nodes] = item.x.float()
        if item.edge_index is None:
            continue
        i, j = item.edge_index
        weight = torch.ones(len(i)) if item.edge_attr is None else item.edge_attr.float().squeeze(-1)
        if weight.shape != i.shape:
            raise InputError(f"from_pyg: edge_attr {tuple(item.edge_attr.shape)} for {len(i)} edges; expected one number an edge")
        adj[row, i, j] = weight
        adj[row, j, i] = weight
        if not adj[row, i, j].equal(weight):
            raise InputError(f"from_pyg: graph {row} has an edge with two weights; expected undirected graphs")
    adj.diagonal(dim1=1, dim2=2).zero_()
    return Graphs(x, adj, mask_of([int(item.num_nodes) for item in items], n))
