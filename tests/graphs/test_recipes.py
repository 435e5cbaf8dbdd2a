"""The generic sets: every graph has the form its recipe promises, and the counts the law they must have."""

from __future__ import annotations

import math
from collections import Counter

import networkx as nx
import numpy as np
import pytest

from polyscore.errors import InputError
from polyscore.graphs.data import BlockModels, Communities, Grids, Lobsters, Planar, Recipe, Trees
from polyscore.graphs.data.generic import Adjacency

RECIPES = (Communities(), Grids(), Planar(), BlockModels(), Trees(), Lobsters())


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: type(recipe).__name__)
def test_a_set_is_simple_graphs_that_follow_from_the_seed(recipe: Recipe) -> None:
    few = type(recipe)(3)
    one, again, other = few.graphs(1), few.graphs(1), few.graphs(2)
    for graph in one:
        assert graph.dtype == np.int64 and set(np.unique(graph)) <= {0, 1}
        assert (graph == graph.T).all() and not graph.diagonal().any()
    assert all(np.array_equal(a, b) for a, b in zip(one, again, strict=True))
    assert any(not np.array_equal(a, b) for a, b in zip(one, other, strict=True))
    assert all(np.array_equal(a, b) for a, b in zip(type(recipe)(2).graphs(1), one, strict=False))  # a longer set begins alike
    assert recipe.count == {Communities: 100, Grids: 100, Lobsters: 100}.get(type(recipe), 200)


def test_communities_have_the_recipe_s_edges() -> None:
    graphs = Communities(400).graphs(3)
    assert {len(graph) for graph in graphs} == {12, 14, 16, 18, 20}
    inside, pairs = 0, 0
    for graph in graphs:
        half = len(graph) // 2
        assert graph[:half, half:].sum() == 1  # 5 % of 12 to 20 nodes
        inside += graph.sum() // 2 - 1
        pairs += half * (half - 1)
    assert abs(inside / pairs - 0.7) < 4 * (0.21 / pairs) ** 0.5
    with pytest.raises(InputError, match="expected even sizes"):
        Communities(1, sizes=(13,))


def test_grids_are_grids() -> None:
    sides: set[int] = set()
    for graph in Grids(30).graphs(0):
        n, edges = len(graph), int(graph.sum()) // 2
        total = 2 * n - edges  # r + c, with n = r c
        root = math.isqrt(total * total - 4 * n)
        rows, columns = (total - root) // 2, (total + root) // 2
        assert rows * columns == n
        wanted = [nx.to_numpy_array(nx.grid_2d_graph(*shape)) for shape in ((rows, columns), (columns, rows))]
        assert any(np.array_equal(graph, grid) for grid in wanted)
        sides |= {rows, columns}
    assert sides == set(range(10, 20))


def test_triangulations_are_planar_with_all_their_edges() -> None:
    for graph in Planar(10).graphs(0):
        made = nx.from_numpy_array(graph)
        planar, embedding = nx.check_planarity(made)
        assert len(graph) == 64 and planar and nx.is_connected(made)
        seen: set[tuple[int, int]] = set()
        faces = [embedding.traverse_face(*edge, mark_half_edges=seen) for edge in embedding.edges() if edge not in seen]
        assert len(faces) == 2 - 64 + made.number_of_edges()  # Euler
        hull = 3 * 64 - 3 - made.number_of_edges()
        assert sorted(map(len, faces)) == sorted([3] * (len(faces) - 1) + [hull])  # triangles, and the hull outside


def test_blocks_have_their_sizes_and_densities() -> None:
    from polyscore.graphs.metrics.uniqueness import blocks, is_sbm

    inside = outside = within = across = 0.0
    counts = []
    for graph in BlockModels(16).graphs(0):
        names = blocks(graph)
        sizes = np.bincount(names)
        counts.append(len(sizes))
        assert sizes.min() >= 19 and sizes.max() <= 41 and nx.is_connected(nx.from_numpy_array(graph))  # found, so up to a node
        same, upper = names[:, None] == names, np.triu(np.ones_like(graph), 1)
        inside, within = inside + (graph * same * upper).sum(), within + (same * upper).sum()
        outside, across = outside + (graph * ~same * upper).sum(), across + (~same * upper).sum()
    assert set(counts) == {2, 3, 4, 5}
    assert abs(inside / within - 0.3) < 5 * (0.21 / within) ** 0.5
    assert abs(outside / across - 0.005) < 6 * (0.005 / across) ** 0.5
    assert np.mean([is_sbm(graph) for graph in BlockModels(4).graphs(1)]) >= 0.75


def test_labelled_trees_are_equally_likely() -> None:
    assert all(nx.is_tree(nx.from_numpy_array(graph)) and len(graph) == 64 for graph in Trees(10).graphs(0))
    seen = Counter(graph.tobytes() for graph in Trees(3200, nodes=4).graphs(0))
    assert len(seen) == 16  # Cayley: n^(n-2)
    assert sum((count - 200) ** 2 / 200 for count in seen.values()) < 37.7  # chi-square, 15 degrees of freedom, .1 %


def pruned(graph: Adjacency) -> nx.Graph:
    made = nx.from_numpy_array(graph)
    for _ in range(2):
        made = made.subgraph([node for node, degree in made.degree() if degree > 1])
    return made


def test_lobsters_lose_their_legs() -> None:
    graphs = Lobsters(30).graphs(0)
    for graph in graphs:
        assert 10 <= len(graph) <= 100 and nx.is_tree(nx.from_numpy_array(graph))
        spine = pruned(graph)
        assert all(degree <= 2 for _, degree in spine.degree())  # what is left is a path
    # without bounds, a node of the spine stands for 1 + G (1 + F), G and F geometric with mean p / (1 - p)
    free = Lobsters(4000, backbone=1, legs=0.3, feet=0.2, smallest=1, largest=10**6)
    sizes = [len(graph) for graph in free.graphs(1)]
    assert abs(np.mean(sizes) - 1.5 * (1 + (3 / 7) * 1.25)) < 0.1  # spines of 1 and 2 nodes, as many of both


@pytest.mark.parametrize(
    "make",
    [
        lambda: Grids(low=3, high=2),
        lambda: Planar(nodes=2),
        lambda: BlockModels(between=0.0),
        lambda: Trees(nodes=2),
        lambda: Lobsters(legs=1.0),
        lambda: Communities(sizes=()),
    ],
)
def test_recipes_that_cannot_be_are_refused(make: object) -> None:
    assert callable(make)
    with pytest.raises(InputError, match="expected"):
        make()
