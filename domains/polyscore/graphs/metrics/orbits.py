r"""Orbits of 4-node graphlets by matrix algebra (Przulj 2007; Hocevar and Demsar 2014, ORCA).

Subgraphs that need not be induced are counted with A, A^2 and the neighbourhoods; a triangular system then takes out what larger
graphlets contain. With o = induced and N = all counts, from K4 (14) over diamond (12, 13), cycle (8), paw (9, 10, 11) and claw
(6, 7) to path (4, 5). The K4 at an edge are the edges among the common neighbours of its ends. Graphs of similar size are counted
together, padded by nodes without edges, in float64, where whole numbers below 2^53 are exact and matrix products fast.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = ["mean_orbit_counts", "orbit_counts"]

Whole: TypeAlias = NDArray[np.int64]
Array: TypeAlias = NDArray[np.float64]

_ROOM = 2**21  # entries of the largest array of a batch


def orbit_counts(adj: Whole) -> Whole:
    """Orbits 0 to 14 of every node, (n, 15), of a symmetric 0/1 matrix (n, n) with zero diagonal."""
    counts: Whole = _counted(np.asarray(adj, np.float64)[None])[0].T.astype(np.int64)
    return counts


def mean_orbit_counts(graphs: Sequence[Whole]) -> Array:
    """Means over the nodes of the orbits of every graph, (graphs, 15)."""
    means = np.empty((len(graphs), 15))
    for rows in _batches([len(adj) for adj in graphs], [int(adj.sum()) // 2 for adj in graphs]):
        n = len(graphs[rows[-1]])
        a = np.zeros((len(rows), n, n))
        for place, row in enumerate(rows):
            size = len(graphs[row])
            a[place, :size, :size] = graphs[row]
        means[rows] = _counted(a).sum(-1) / np.array([[len(graphs[row])] for row in rows])
    return means


def _batches(sizes: Sequence[int], edges: Sequence[int]) -> Iterator[list[int]]:
    """Graphs by size, as many together as there is room for."""
    rows, widest = list[int](), 0
    for row in sorted(range(len(sizes)), key=lambda k: sizes[k]):
        widest = max(widest, edges[row], sizes[row])
        if rows and (len(rows) + 1) * widest * sizes[row] > _ROOM:
            yield rows
            rows, widest = [], max(edges[row], sizes[row])
        rows.append(row)
    yield rows


def _counted(a: Array) -> Array:
    """Orbits (B, 15, N) of matrices (B, N, N)."""
    d = a.sum(-1)
    common = a @ a
    common *= 1 - np.eye(a.shape[-1])
    near = a * common  # common neighbours along edges
    t = near.sum(-1) / 2
    pairs = common * (common - 1) / 2

    def beside(values: Array) -> Array:
        """Sums over the neighbours."""
        total: Array = (a @ values[..., None])[..., 0]
        return total

    o = np.zeros((len(a), 15, a.shape[-1]))
    one, o2, o3 = o.swapaxes(0, 1), d * (d - 1) / 2, d * (d - 1) * (d - 2) / 6
    one[0], one[3] = d, t
    one[1] = beside(d - 1) - 2 * t
    one[2] = o2 - t
    one[14] = _cliques(a)
    k = one[14]
    one[13] = (a * pairs).sum(-1) - 3 * k
    one[12] = ((a @ (near - a)) * a).sum(-1) / 2 - 3 * k
    one[8] = pairs.sum(-1) - one[12] - one[13] - 3 * k
    one[11] = t * (d - 2) - 2 * one[13] - 3 * k
    one[10] = (near @ (d - 2)[..., None])[..., 0] - 2 * one[12] - 2 * one[13] - 6 * k
    one[9] = beside(t) - 2 * t - 2 * one[12] - 3 * k
    one[7] = o3 - one[11] - one[13] - k
    one[6] = beside((d - 1) * (d - 2) / 2) - one[9] - one[10] - 2 * one[12] - one[13] - 3 * k
    one[5] = (d - 1) * beside(d - 1) - 2 * t - 2 * one[8] - 2 * one[11] - one[10] - 2 * one[12] - 4 * one[13] - 6 * k
    ends = beside(beside(d - 1)) - d * (d - 1) - 2 * t
    one[4] = ends - 2 * one[8] - 2 * one[9] - one[10] - 4 * one[12] - 2 * one[13] - 6 * k
    return o


def _cliques(a: Array) -> Array:
    """How many K4 hold every node, (B, N)."""
    graph, i, j = np.nonzero(np.triu(a))
    count = np.bincount(graph, minlength=len(a))
    place = np.arange(len(graph)) - np.repeat(np.cumsum(count) - count, count)
    shared = np.zeros((len(a), max(1, int(count.max(initial=0))), a.shape[-1]))
    shared[graph, place] = a[graph, i] * a[graph, j]
    at = ((shared @ a) * shared).sum(-1)[graph, place] / 2  # edges among the common neighbours of the ends
    n, flat = a.shape[-1], len(a) * a.shape[-1]
    total = np.bincount(graph * n + i, at, flat) + np.bincount(graph * n + j, at, flat)
    return total.reshape(len(a), n) / 3
