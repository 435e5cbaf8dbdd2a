r"""Graphs without a chemistry, and the way back from real-valued matrices to graphs.

A graph is its adjacency matrix, (n, n) int64 of 0 and 1, symmetric, without loops. From a sample (Jo et al. 2022, arXiv
2202.02514): A >= 1/2 is an edge, nodes without an edge are dropped, and of an empty graph one node is left.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from polyscore.graphs.batch import Graphs

__all__ = ["Adjacency", "matrix_of", "quantise"]

Adjacency: TypeAlias = NDArray[np.int64]


def matrix_of(nodes: int, edges: Iterable[tuple[int, int]]) -> Adjacency:
    """The graph of so many nodes with these edges; directions, loops and repeated edges count for nothing."""
    ends = np.array(list(edges), np.int64).reshape(-1, 2)
    adj = np.zeros((nodes, nodes), np.int64)
    adj[ends[:, 0], ends[:, 1]] = adj[ends[:, 1], ends[:, 0]] = 1
    np.fill_diagonal(adj, 0)
    return adj


def quantise(graphs: Graphs) -> list[Adjacency]:
    """Graphs of a sample's real-valued matrices."""
    found = []
    for graph in graphs:
        n = graph.sizes[0]
        adj = (graph.adj[0, :n, :n] >= 0.5).cpu().numpy().astype(np.int64)
        np.fill_diagonal(adj, 0)
        kept = np.flatnonzero(adj.any(1))
        found.append(adj[np.ix_(kept, kept)] if len(kept) else np.zeros((1, 1), np.int64))
    return found
