"""Valid, unique and novel graphs: known graphs, relabelled copies, and block models whose blocks are known."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

pytest.importorskip("networkx")
import networkx as nx

from polyscore.errors import InputError
from polyscore.graphs.metrics.uniqueness import blocks, is_planar, is_sbm, is_tree, judge


def matrix(graph: Any) -> Any:
    return nx.to_numpy_array(graph, dtype=np.int64, weight=None)


def shuffled(adj: Any, seed: int) -> Any:
    order = np.random.default_rng(seed).permutation(len(adj))
    return adj[np.ix_(order, order)]


def block_model(sizes: list[int], within: float, between: float, seed: int) -> tuple[Any, Any]:
    rng, names = np.random.default_rng(seed), np.repeat(np.arange(len(sizes)), sizes)
    upper = np.triu(rng.random((len(names),) * 2) < np.where(names[:, None] == names, within, between), 1).astype(np.int64)
    return upper + upper.T, names


def test_planar_graphs_and_trees_are_told() -> None:
    assert is_planar(matrix(nx.complete_graph(4))) and is_planar(matrix(nx.grid_2d_graph(4, 5)))
    assert not is_planar(matrix(nx.complete_graph(5))) and not is_planar(matrix(nx.complete_bipartite_graph(3, 3)))
    assert not is_planar(matrix(nx.disjoint_union(nx.path_graph(3), nx.path_graph(2))))
    assert is_tree(matrix(nx.balanced_tree(2, 3))) and not is_tree(matrix(nx.cycle_graph(5)))
    assert not is_tree(np.zeros((0, 0), np.int64)) and not is_planar(np.zeros((0, 0), np.int64))


def test_relabelled_graphs_are_the_same_and_cospectral_ones_are_not() -> None:
    star, square = matrix(nx.star_graph(4)), matrix(nx.disjoint_union(nx.cycle_graph(4), nx.path_graph(1)))  # one spectrum
    path = matrix(nx.path_graph(5))
    found = judge([star, shuffled(star, 0), square, path, shuffled(path, 1)], [shuffled(path, 2)], "tree")
    assert found.unique == (True, False, True, True, False)
    assert found.novel == (True, True, True, False, False)
    assert found.valid == (True, True, False, True, True)
    assert found.all == (True, False, False, False, False)
    with pytest.raises(InputError, match="expected one of planar, tree, sbm"):
        judge([star], [], "round")


@pytest.mark.parametrize("sizes", [[25, 35], [22, 30, 38], [20, 25, 30, 40]])
def test_blocks_are_found_and_judged(sizes: list[int]) -> None:
    adj, names = block_model(sizes, 0.3, 0.005, seed=len(sizes))
    order = np.random.default_rng(9).permutation(len(adj))
    found = blocks(adj[np.ix_(order, order)])
    agreeing = {(int(a), int(b)) for a, b in zip(found, names[order], strict=True)}
    assert len(agreeing) == len(sizes) == found.max() + 1
    assert is_sbm(adj)


def test_other_graphs_are_no_block_models() -> None:
    assert not is_sbm(block_model([90], 0.1, 0.0, 0)[0])  # one block
    assert not is_sbm(block_model([30, 30, 30], 0.95, 0.005, 0)[0])  # far too dense
    assert not is_sbm(block_model([10, 50], 0.3, 0.005, 0)[0])  # blocks of the wrong size
    assert not is_sbm(matrix(nx.path_graph(20)))
