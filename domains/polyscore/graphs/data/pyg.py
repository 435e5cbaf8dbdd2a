"""Data sets of torch-geometric as training data.

`PyGGraphs` takes the structure alone, for `GraphData`, whose node features are degrees. `LabelledData` also takes categories:

    x_i = unit vector of the category of node i,   A_ij = 0, or 1 + the category of the edge

The categories of nodes are `data.x` as unit vectors (n, F), or as whole numbers (n,) or (n, 1); those of edges are
`data.edge_attr`, in the same forms, without which all edges are alike. The numbers that occur are counted; so atoms may be
named by their atomic numbers.

Raises:
    MissingExtraError: torch-geometric is not installed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from polyscore.errors import InputError, MissingExtraError
from polyscore.graphs.data.facts import Facts
from polyscore.graphs.data.generic import Adjacency, matrix_of
from polyscore.graphs.data.module import GraphData, GraphSet
from polyscore.graphs.data.sources import Source, shuffled

try:
    from torch_geometric.data import Data, Dataset
except ImportError as error:
    raise MissingExtraError("this needs torch-geometric: pip install 'polyscore[pyg]'") from error

__all__ = ["LabelledData", "LabelledSet", "PyGGraphs"]


@dataclass(frozen=True)
class PyGGraphs(Source):
    """The graphs of a data set, without features, in a random order.

    Attributes:
        dataset: any `Dataset` of torch-geometric, by its class path in a configuration; or a list of `Data`.
        smallest: fewest nodes.

    Raises:
        InputError: no graphs of that size.
    """

    dataset: Dataset | list[Data]
    smallest: int = 1

    def graphs(self, seed: int) -> list[Adjacency]:
        found = [_structure(item) for item in self.dataset]
        kept = [adj for adj in found if len(adj) >= self.smallest]
        if not kept:
            raise InputError(f"PyGGraphs: none of {len(found)} graphs has {self.smallest} nodes or more")
        return shuffled(kept, seed)


@dataclass(frozen=True, eq=False)
class LabelledSet(GraphSet):
    """Graphs whose nodes have categories; entries of `adj` are 0 or 1 + the category of the edge.

    Attributes:
        kinds: (M, N) int64.
    """

    kinds: Tensor | None = None

    def nodes(self, rows: Tensor, adj: Tensor) -> Tensor:
        assert self.kinds is not None
        return functional.one_hot(self.kinds[rows][:, : adj.shape[1]], self.features)


class LabelledData(GraphData):
    """Batches `{"x0": {"x", "adj"}, "mask"}` of graphs with categories of nodes and edges.

    Args:
        dataset: any `Dataset` of torch-geometric, by its class path in a configuration; or a list of `Data`.
        batch_size: graphs a batch.
        test: the share of the graphs, in a random order, for the test.
        validation: the share of the others to watch the training with; 0 takes the test part.
        repeat: how often a graph counts in an epoch.
        seed: of the order.

    Raises:
        InputError: features that are no categories, or no graphs in a part.
    """

    def __init__(
        self,
        dataset: Dataset | list[Data],
        *,
        batch_size: int = 64,
        test: float = 0.2,
        validation: float = 0.0,
        repeat: int = 1,
        seed: int = 0,
    ) -> None:
        super().__init__(PyGGraphs(dataset), batch_size=batch_size, test=test, validation=validation, repeat=repeat, seed=seed)
        self.dataset = dataset
        self._levels = 1

    def parts(self) -> tuple[GraphSet, GraphSet]:
        if self._parts is None:
            items = [item for item in self.dataset if item.num_nodes]
            kinds, features = _counted([_categories(item.x, item.num_nodes, "x") for item in items])
            edges, self._levels = _counted([_edges(item) for item in items])
            if not 1 <= self._levels <= 100:
                raise InputError(f"LabelledData: {self._levels} categories of edges; expected 1 to 100")
            n = max((len(row) for row in kinds), default=0)
            every = torch.zeros(len(items), n, dtype=torch.int64)
            adj = torch.zeros(len(items), n, n, dtype=torch.int8)
            for place, (item, row, weights) in enumerate(zip(items, kinds, edges, strict=True)):
                every[place, : len(row)] = row
                i, j = item.edge_index if item.edge_index is not None else torch.zeros(2, 0, dtype=torch.int64)
                adj[place, i, j] = adj[place, j, i] = (1 + weights).to(torch.int8)
                if not (adj[place, i, j] == 1 + weights).all():
                    raise InputError(f"LabelledData: graph {place} has an edge with two categories; expected undirected graphs")
            adj.diagonal(dim1=1, dim2=2).zero_()
            sizes = torch.tensor([len(row) for row in kinds])
            order = np.random.default_rng(self.seed).permutation(len(items))
            first = int(self.test * len(items))
            second = first + int(self.validation * (len(items) - first))
            chosen = (order[second:], order[first:second] if second > first else order[:first])
            if not all(len(part) for part in chosen):
                raise InputError(f"LabelledData: {len(items)} graphs; expected some for training and some for validation")
            train, watched = (torch.from_numpy(part) for part in chosen)
            self._parts = (
                LabelledSet(adj[train], sizes[train], features, self.repeat, every[train]),
                LabelledSet(adj[watched], sizes[watched], features, 1, every[watched]),
            )
        return self._parts

    @property
    def facts(self) -> Facts:
        train = self.parts()[0]
        levels = tuple(float(level) for level in range(self._levels + 1))
        return Facts(tuple(torch.bincount(train.sizes).tolist()), features=train.features, levels=levels)


def _structure(item: Any) -> Adjacency:
    edges = [] if item.edge_index is None else item.edge_index.T.tolist()
    return matrix_of(int(item.num_nodes), edges)


def _categories(value: Tensor | None, count: int, name: str) -> Tensor:
    """Whole numbers (count,) of a feature in one of the three forms."""
    if value is None:
        return torch.zeros(count, dtype=torch.int64)
    flat = value.squeeze(-1) if value.ndim == 2 and value.shape[-1] == 1 else value
    if flat.ndim == 2 and ((flat == 0) | (flat == 1)).all() and (flat.sum(-1) == 1).all():
        return flat.argmax(-1)
    if flat.ndim != 1 or len(flat) != count or not (flat == flat.long()).all():
        raise InputError(
            f"LabelledData: data.{name} {tuple(value.shape)} is no category; expected unit vectors, or one whole number each. "
            "GraphData with PyGGraphs takes the structure alone"
        )
    return flat.long()


def _edges(item: Any) -> Tensor:
    count = 0 if item.edge_index is None else item.edge_index.shape[1]
    return _categories(item.edge_attr if count else None, count, "edge_attr")


def _counted(rows: Sequence[Tensor]) -> tuple[list[Tensor], int]:
    """The same with the categories that occur as 0, 1, ..., and how many there are."""
    if not rows:
        return [], 0
    known, place = torch.unique(torch.cat(list(rows)), return_inverse=True)
    return list(place.split([len(row) for row in rows])), len(known)

