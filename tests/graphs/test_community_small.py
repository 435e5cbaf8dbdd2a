"""The distributed set's recipe: the same ten communities, and the law of the edges across."""

from __future__ import annotations

from collections import Counter

import networkx as nx
import numpy as np

from polyscore.graphs.data import CommunitySmall, GraphData


def test_the_halves_are_always_the_same_and_the_edges_across_are_drawn() -> None:
    graphs = CommunitySmall(600).graphs(4)
    across: dict[int, list[int]] = {}
    for graph in graphs:
        half = len(graph) // 2
        for seed, part in enumerate((graph[:half, :half], graph[half:, half:])):
            np.testing.assert_array_equal(part, nx.to_numpy_array(nx.gnp_random_graph(half, 0.7, seed=seed)))
        assert (graph == graph.T).all()
        across.setdefault(half, []).append(int(graph[:half, half:].sum()))
    shares = np.array([len(across[half]) / 600 for half in (6, 7, 8, 9, 10)])
    assert np.abs(shares - [0.28, 0.24, 0.18, 0.16, 0.14]).max() < 4 * (0.25 / 600) ** 0.5
    for half, counts in across.items():  # at least one edge: none and one of half^2 pairs at .01 look alike
        none, one = 0.99 ** (half * half), half * half * 0.01 * 0.99 ** (half * half - 1)
        found = Counter(counts)
        assert 0 not in found and abs(found[1] / len(counts) - none - one) < 4 * (0.25 / len(counts)) ** 0.5


def test_training_data_of_it() -> None:
    data = GraphData(CommunitySmall(50), test=0.2)
    train, held = data.parts()
    assert (len(train), len(held)) == (40, 10)
    assert sum(data.facts.sizes) == 40 and set(np.flatnonzero(data.facts.sizes)) <= {12, 14, 16, 18, 20}
