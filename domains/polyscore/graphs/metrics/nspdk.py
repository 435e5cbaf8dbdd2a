r"""NSPDK: the neighbourhood subgraph pairwise distance kernel between labelled graphs (Costa and De Grave, ICML 2010).

Edges become vertices, so that distances double. N_r(v) is a hash of the labels and degrees met at distances 0 .. 2r from node v.
The features of a graph are, for all pairs of nodes at distance 2d, d <= 4, and radii r <= 4, the hashes of (N_r(v), N_r(u), r, d)
and of (N_r(u), r, d). Counts are normalised within every (r, d), then as a whole; the kernel is their inner product. This is what
EDeN's `vectorize(complexity=4)` computes and GDSS reports, with a hash that is the same in every process and on every machine.

    MMD^2 = |mean of phi(X) - mean of phi(Y)|^2                      biased, as published
    MMD^2 = means over i != j of k(X, X), k(Y, Y), less 2 mean k(X, Y)    unbiased, can be below 0
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from polyscore.errors import InputError
from polyscore.graphs.metrics.bootstrap import mean_of_different

__all__ = ["Fingerprints", "nspdk", "nspdk_mmd", "nspdk_resampled"]

Words: TypeAlias = NDArray[np.uint64]
Whole: TypeAlias = NDArray[np.int64]

_REACH = 4  # largest radius and distance
_FAR = 127
_BITS = 48  # of a feature; EDeN keeps 16, where features of large sets of graphs collide
_CHUNK = 64  # graphs whose pairs are expanded at a time
_ODD = tuple(np.uint64(k) for k in (0x9E3779B97F4A7C15, 0xD1B54A32D192ED03, 0xAEF17502108EF2D9, 0x632BE59BD9B4E019))


@dataclass(frozen=True)
class Fingerprints:
    """Features of n graphs.

    Attributes:
        row: graph of every entry.
        column: feature of every entry.
        value: its value; every graph has unit norm.
        count: n.
    """

    row: Whole
    column: Whole
    value: NDArray[np.float64]
    count: int

    def mean(self) -> tuple[Whole, NDArray[np.float64]]:
        """The mean feature vector: its columns in order, and their values."""
        columns, place = np.unique(self.column, return_inverse=True)
        return columns, np.bincount(place, self.value) / self.count

    def inner(self, other: Fingerprints) -> float:
        """Mean of the kernel over all pairs of a graph here and one there."""
        return _inner(self.mean(), other.mean())

    def __getitem__(self, graphs: Sequence[int]) -> Fingerprints:
        """Some of the graphs, repetitions allowed."""
        starts = np.searchsorted(self.row, np.arange(self.count + 1))
        spans = [np.arange(starts[g], starts[g + 1]) for g in graphs]
        take = np.concatenate(spans)
        rows = np.repeat(np.arange(len(spans)), [len(span) for span in spans])
        return Fingerprints(rows, self.column[take], self.value[take], len(spans))


def nspdk(graphs: Sequence[tuple[Sequence[int], Sequence[tuple[int, int, int]]]]) -> Fingerprints:
    """Features of graphs given as (node labels, edges (i, j, label)), labels whole numbers.

    Raises:
        InputError: no graphs, or one without nodes.
    """
    if not graphs or not all(len(labels) for labels, _ in graphs):
        raise InputError("nspdk: no graphs, or one without nodes; expected at least one graph, every one with nodes")
    parts = [_features(graphs[i : i + _CHUNK], i) for i in range(0, len(graphs), _CHUNK)]
    rows, columns, values = zip(*parts, strict=True)
    return Fingerprints(np.concatenate(rows), np.concatenate(columns), np.concatenate(values), len(graphs))


def nspdk_mmd(a: Fingerprints, b: Fingerprints, *, unbiased: bool = True) -> float:
    """MMD^2 of two sets of graphs."""
    one, other = a.mean(), b.mean()
    own = [float(values @ values) for _, values in (one, other)]
    if unbiased:
        own = [(n * value - 1) / (n - 1) for n, value in zip((a.count, b.count), own, strict=True)]
    return own[0] + own[1] - 2 * _inner(one, other)


def nspdk_resampled(a: Fingerprints, b: Fingerprints, w: NDArray[np.float64]) -> NDArray[np.float64]:
    """Unbiased MMD^2 for weights (R, n) of the graphs of `a`, (R,); see `polyscore.graphs.metrics.bootstrap`."""
    columns, place = np.unique(a.column, return_inverse=True)
    known, values = b.mean()
    target = np.zeros(len(columns))
    _, here, there = np.intersect1d(columns, known, assume_unique=True, return_indices=True)
    target[here] = values[there]
    total, between = np.empty(len(w)), np.empty(len(w))
    for k, one in enumerate(w):
        summed = np.bincount(place, a.value * one[a.row])
        total[k], between[k] = summed @ summed, summed @ target / a.count
    other = (b.count * b.inner(b) - 1) / (b.count - 1)
    result: NDArray[np.float64] = mean_of_different(total, np.ones(a.count), w) + other - 2 * between
    return result


def _inner(one: tuple[Whole, NDArray[np.float64]], other: tuple[Whole, NDArray[np.float64]]) -> float:
    """The inner product of two mean feature vectors."""
    _, here, there = np.intersect1d(one[0], other[0], assume_unique=True, return_indices=True)
    return float(one[1][here] @ other[1][there])


def _mix(*words: Any) -> Words:
    """A hash of whole numbers in order: SplitMix64's finaliser, chained (Steele et al. 2014)."""
    state = np.zeros((), np.uint64)
    with np.errstate(over="ignore"):
        for word in words:
            state = _finished(state * _ODD[0] + np.asarray(word).astype(np.uint64) + _ODD[3])
    return np.asarray(state)


def _finished(state: Any) -> Words:
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        state = (state ^ (state >> np.uint64(shift))) * np.uint64(factor)
    return np.asarray(state ^ (state >> np.uint64(31)))


def _features(graphs: Any, first: int) -> tuple[Whole, Whole, NDArray[np.float64]]:
    """Rows, columns and values of some graphs, by rows.

    Of the two orders of a pair of different nodes one is looked at: its own feature counts twice, and each end has one.
    """
    nodes, edges, distance = _arrays(graphs)
    hashes, levels = _neighbourhoods(nodes, edges, distance)
    n, reach = nodes.shape[1], np.triu(np.ones(nodes.shape[1:] * 2, bool))
    g, v, u = np.nonzero((distance <= _REACH) & reach)
    d, v, u = distance[g, v, u], g * n + v, g * n + u
    farthest, blocks = np.minimum(levels.ravel()[v], levels.ravel()[u]), []
    for r in range(_REACH + 1):
        if r:
            kept = farthest >= 2 * r
            g, v, u, d, farthest = g[kept], v[kept], u[kept], d[kept], farthest[kept]
        known = _mix(hashes[2 * r], r).ravel()
        one, other = known[v], known[u]
        group = ((g * (_REACH + 1) + d) * (_REACH + 1) + r) << 1
        apart = d > 0
        with np.errstate(over="ignore"):
            far = d.astype(np.uint64) * _ODD[2]
            pair = np.minimum(one, other) * _ODD[0] + np.maximum(one, other) * _ODD[1] + far
            singles = (other * _ODD[0] + far, (one * _ODD[0] + far)[apart])
        for word, place in zip((pair, *singles), (group | 1, group, group[apart]), strict=True):
            blocks.append(place << _BITS | (_finished(word) >> np.uint64(64 - _BITS)).astype(np.int64))
    block, counts = np.unique(np.concatenate(blocks), return_counts=True)
    group, column = block >> _BITS, block & (2**_BITS - 1)
    row, twice = group // (2 * (_REACH + 1) ** 2), (group & 1) * (group // (2 * (_REACH + 1)) % (_REACH + 1) > 0)
    value = counts * (1.0 + twice)
    value = value / np.sqrt(np.bincount(group >> 1, value**2))[group >> 1]
    value = value / np.sqrt(np.bincount(row, value**2))[row]
    return row + first, column, value


def _arrays(graphs: Any) -> tuple[Words, tuple[Whole, Whole, Words], Whole]:
    """Hashed nodes (B, N); edges (ends (B, E) twice, hashes); distances (B, N, N) between nodes, padded with `_FAR`."""
    b, n = len(graphs), max(len(labels) for labels, _ in graphs)
    e = max(1, *(len(edges) for _, edges in graphs))
    adj = np.zeros((b, n, n), bool)
    labels = np.zeros((b, n), np.int64)
    ends, bonds = np.zeros((2, b, e), np.int64), np.zeros((b, e), np.int64)
    exists, real = np.zeros((b, n), bool), np.zeros((b, e), bool)
    for row, (names, edges) in enumerate(graphs):
        labels[row, : len(names)], exists[row, : len(names)] = names, True
        for place, (i, j, label) in enumerate(edges):
            adj[row, i, j] = adj[row, j, i] = real[row, place] = True
            ends[:, row, place], bonds[row, place] = (i, j), label
    nodes = np.where(exists, _mix(labels, adj.sum(-1), 1), np.uint64(0))
    bonded = np.where(real, _mix(bonds, 2, 2), np.uint64(0))
    distance = np.where(np.eye(n, dtype=bool) & exists[:, None], 0, _FAR)
    frontier, steps = np.eye(n, dtype=bool) & exists[:, None], adj.astype(np.float32)
    for step in range(1, 2 * _REACH + 1):
        frontier = (frontier.astype(np.float32) @ steps > 0) & (distance == _FAR)
        distance[frontier] = step
    return nodes, (ends[0], ends[1], bonded), distance


def _neighbourhoods(nodes: Words, edges: tuple[Whole, Whole, Words], distance: Whole) -> tuple[list[Words], Whole]:
    """Hashes of what is met up to distance 0, 1, ... 2 `_REACH` (B, N) each, and the farthest distance at which something is."""
    one, other, bonded = edges
    rows = np.arange(len(nodes))[:, None]
    to_edge = np.minimum(distance[rows, :, one], distance[rows, :, other]).swapaxes(1, 2)  # (B, N, E)
    running, hashes = np.zeros_like(nodes), list[Words]()
    levels = np.full(nodes.shape, -1)
    for level in range(2 * _REACH + 1):
        near, labels = ((distance, nodes), (to_edge, bonded))[level % 2]
        at = np.where(near == level // 2, labels[:, None], np.uint64(0))
        running = _mix(running, at.sum(-1, dtype=np.uint64), level)
        levels = np.where((at != 0).any(-1), level, levels)
        hashes.append(running)
    return hashes, levels
