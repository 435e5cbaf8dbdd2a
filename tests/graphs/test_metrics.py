"""Graph statistics against enumeration, and the subgraph kernel against its definition."""

from __future__ import annotations

import itertools
from collections import Counter
from typing import Any

import numpy as np
import pytest

from polyscore.errors import InputError
from polyscore.graphs.metrics import clustering_mmd, degree_mmd, generic_mmds, nspdk, nspdk_mmd, orbit_mmd, orbits, spectral_mmd
from polyscore.graphs.metrics.orbits import mean_orbit_counts, orbit_counts


def random_graph(n: int, p: float, seed: int) -> Any:
    upper = np.triu(np.random.default_rng(seed).random((n, n)) < p, 1).astype(np.int64)
    return upper + upper.T


def enumerated(adj: Any) -> Any:
    """Orbits by looking at every set of up to four nodes: the degree sequence tells connected graphlets apart."""
    n, counts = len(adj), np.zeros((len(adj), 15), np.int64)
    table = {
        (1, 1): {1: 0},
        (1, 1, 2): {1: 1, 2: 2},
        (2, 2, 2): {2: 3},
        (1, 1, 2, 2): {1: 4, 2: 5},
        (1, 1, 1, 3): {1: 6, 3: 7},
        (2, 2, 2, 2): {2: 8},
        (1, 2, 2, 3): {1: 9, 2: 10, 3: 11},
        (2, 2, 3, 3): {2: 12, 3: 13},
        (3, 3, 3, 3): {3: 14},
    }
    for size in (2, 3, 4):
        for nodes in itertools.combinations(range(n), size):
            part = adj[np.ix_(nodes, nodes)]
            degrees = part.sum(1)
            reach = np.linalg.matrix_power(part + np.eye(size, dtype=np.int64), size)
            if (reach > 0).all():
                for node, degree in zip(nodes, degrees, strict=True):
                    counts[node, table[tuple(sorted(degrees))][degree]] += 1
    return counts


@pytest.mark.parametrize(("n", "p", "seed"), [(9, 0.2, 0), (10, 0.5, 1), (8, 0.9, 2), (12, 0.35, 3)])
def test_orbits_are_those_of_enumeration(n: int, p: float, seed: int) -> None:
    adj = random_graph(n, p, seed)
    np.testing.assert_array_equal(orbit_counts(adj), enumerated(adj))


@pytest.mark.parametrize("room", [1, 900, 2**21])
def test_graphs_counted_together_have_the_means_of_each(room: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(orbits, "_ROOM", room)
    graphs = [random_graph(n, p, n) for n, p in ((12, 0.3), (5, 1.0), (1, 0.0), (9, 0.6), (12, 0.0), (4, 1.0))]
    np.testing.assert_array_equal(mean_orbit_counts(graphs), [orbit_counts(adj).mean(0) for adj in graphs])


def slow_mmd(pair: Any, sigma: float, cost: float) -> float:
    """With the transport problem solved by a general solver."""
    from scipy.stats import wasserstein_distance

    a, b = pair

    def kernel(x: Any, y: Any) -> float:
        bins = max(len(x), len(y))
        support = np.arange(bins) / cost
        x, y = (np.pad(h / h.sum(), (0, bins - len(h))) for h in (x, y))
        return float(np.exp(-(wasserstein_distance(support, support, x, y) ** 2) / (2 * sigma**2)))

    def mean(p: Any, q: Any) -> float:
        return float(np.mean([kernel(x, y) for x in p for y in q]))

    return mean(a, a) + mean(b, b) - 2 * mean(a, b)


def test_mmds_with_a_transport_solver() -> None:
    nx = pytest.importorskip("networkx")
    a = [random_graph(8 + i, 0.3, i) for i in range(4)]
    b = [random_graph(9 + i, 0.5, 10 + i) for i in range(3)]
    pair = [[nx.from_numpy_array(g) for g in part] for part in (a, b)]
    degrees = [[np.array(nx.degree_histogram(g), float) for g in part] for part in pair]
    assert degree_mmd(a, b) == pytest.approx(slow_mmd(degrees, 1.0, 1.0), abs=1e-12)
    coefficients = [[np.histogram(list(nx.clustering(g).values()), 100, (0.0, 1.0))[0] for g in part] for part in pair]
    assert clustering_mmd(a, b) == pytest.approx(slow_mmd(coefficients, 0.1, 100), abs=1e-12)
    spectra = [
        [np.histogram(np.linalg.eigvalsh(nx.normalized_laplacian_matrix(g).todense()), 200, (-1e-5, 2))[0] for g in part]
        for part in pair
    ]
    assert spectral_mmd(a, b) == pytest.approx(slow_mmd(spectra, 1.0, 1.0), abs=1e-9)


def test_mmd_of_a_set_with_itself_is_zero_and_isolated_nodes_are_allowed() -> None:
    a = [random_graph(7, 0.4, seed) for seed in range(5)] + [np.zeros((1, 1), np.int64)]
    assert all(abs(value) < 1e-12 for value in generic_mmds(a, a).values())
    assert orbit_mmd(a, [random_graph(7, 0.9, 1)]) > 0.01
    with pytest.raises(InputError, match="no graph with nodes"):
        degree_mmd(a, [np.zeros((0, 0), np.int64)])


# ---------------------------------------------------------------------- NSPDK


def kernel_graph(n: int, p: float, seed: int) -> Any:
    rng, adj = np.random.default_rng(seed), random_graph(n, p, seed)
    labels = rng.integers(1, 4, n).tolist()
    return labels, [(int(i), int(j), int(rng.integers(1, 4))) for i, j in zip(*np.nonzero(np.triu(adj)), strict=True)]


def by_definition(graph: Any) -> dict[Any, float]:
    """Features with tuples in place of hashes, on the graph whose edges are vertices."""
    labels, edges = graph
    n = len(labels)
    near: dict[int, list[int]] = {i: [] for i in range(n + len(edges))}
    names = {i: (0, label) for i, label in enumerate(labels)}
    for k, (i, j, label) in enumerate(edges):
        near[n + k], names[n + k] = [i, j], (1, label)
        near[i].append(n + k)
        near[j].append(n + k)

    def levels(root: int) -> list[list[int]]:
        seen, found = {root}, [[root]]
        while found[-1] and len(found) < 9:
            following = sorted({v for u in found[-1] for v in near[u]} - seen)
            seen |= set(following)
            found.append(following)
        return [level for level in found if level]

    reach = {v: levels(v) for v in range(n)}
    code = {v: [tuple(sorted((names[u], len(near[u])) for u in level)) for level in reach[v]] for v in range(n)}
    groups: dict[Any, Counter[Any]] = {}
    for v in range(n):
        for d in range(5):
            for u in reach[v][2 * d] if 2 * d < len(reach[v]) else []:
                for r in range(5):
                    if u < n and 2 * r < min(len(code[v]), len(code[u])):
                        one, other = tuple(code[v][: 2 * r + 1]), tuple(code[u][: 2 * r + 1])
                        groups.setdefault((r, d), Counter())[(min(one, other), max(one, other))] += 1
                        groups[(r, d)][(other,)] += 1
    vector = {}
    for key, group in groups.items():
        length = np.sqrt(sum(count**2 for count in group.values()))
        vector.update({(key, name): count / length for name, count in group.items()})
    norm = np.sqrt(sum(value**2 for value in vector.values()))
    return {name: value / norm for name, value in vector.items()}


def test_kernel_values_are_those_of_the_definition() -> None:
    shapes = [(5, 0.5), (9, 0.3), (12, 0.2), (7, 0.4), (1, 0.0), (6, 0.1)]
    graphs = [kernel_graph(n, p, seed) for seed, (n, p) in enumerate(shapes)]
    slow = [by_definition(graph) for graph in graphs]
    fast = nspdk(graphs)
    for i, j in itertools.combinations_with_replacement(range(len(graphs)), 2):
        expected = sum(value * slow[j].get(name, 0.0) for name, value in slow[i].items())
        assert fast[[i]].inner(fast[[j]]) == pytest.approx(expected, abs=1e-12)


def test_both_estimators_are_the_sums_over_pairs() -> None:
    graphs = [kernel_graph(8, 0.3, seed) for seed in range(12)]
    prints = nspdk(graphs)
    gram = np.array([[prints[[i]].inner(prints[[j]]) for j in range(12)] for i in range(12)])
    x, y = slice(0, 5), slice(5, 12)
    biased = gram[x, x].mean() + gram[y, y].mean() - 2 * gram[x, y].mean()
    own = [(gram[s, s].sum() - np.trace(gram[s, s])) / (n * (n - 1)) for s, n in ((x, 5), (y, 7))]
    a, b = prints[range(5)], prints[range(5, 12)]
    assert nspdk_mmd(a, b, unbiased=False) == pytest.approx(biased, abs=1e-12)
    assert nspdk_mmd(a, b) == pytest.approx(own[0] + own[1] - 2 * gram[x, y].mean(), abs=1e-12)


def test_numbering_of_nodes_and_python_hashes_do_not_matter() -> None:
    labels, edges = kernel_graph(9, 0.4, 3)
    order = np.random.default_rng(0).permutation(9)
    place = np.argsort(order)
    renamed = [labels[k] for k in order], [(int(place[i]), int(place[j]), label) for i, j, label in edges]
    assert nspdk([(labels, edges)]).column.tolist() == nspdk([renamed]).column.tolist()
    chain = [6, 6, 7], [(0, 1, 1), (1, 2, 2)]
    assert nspdk([chain]).column[:3].tolist() == [99939049848967, 227005148666203, 246556321445918]  # the same everywhere
    with pytest.raises(InputError, match="without nodes"):
        nspdk([((), ())])
