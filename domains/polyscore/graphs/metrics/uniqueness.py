r"""VUN: the share of graphs that are valid, unique and novel (Martinkus et al. 2022, SPECTRE, arXiv 2204.01613).

    valid     planar: connected and planar; tree: connected with n - 1 edges; sbm: blocks as in the training set, below
    unique    not isomorphic to an earlier graph of the set
    novel     not isomorphic to a training graph

SBM: 2 to 5 blocks of 20 to 40 nodes, and edge densities p near q = .3 within blocks and q = .005 between them: the mean over all
densities of P(chi2_1 > (p - q)^2 / (p (1 - p) + 1e-6)) is above .9. This is the published rule, which forgives much. Blocks are
found by the eigenvectors of the normalised adjacency matrix, one number of blocks after the other, and moved node by node to the
largest likelihood of a block model, less its BIC penalty and n ln k for the blocks of the nodes. The original asked a sampler of
another library, whose answer changed from run to run; densities 60 times apart leave little to find.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, TypeAlias

import networkx as nx
import numpy as np
from numpy.typing import NDArray

from polyscore.errors import InputError

__all__ = ["VALID", "Judgement", "blocks", "is_planar", "is_sbm", "is_tree", "judge"]

Adjacency: TypeAlias = NDArray[np.int64]

_WITHIN, _BETWEEN = 0.3, 0.005
_MOST_BLOCKS = 6  # one more than is valid


def is_planar(adj: Adjacency) -> bool:
    """Connected, and can be drawn without crossings."""
    graph = nx.from_numpy_array(adj)
    return len(adj) > 0 and nx.is_connected(graph) and bool(nx.check_planarity(graph)[0])


def is_tree(adj: Adjacency) -> bool:
    """Connected and without cycles."""
    return len(adj) > 0 and bool(nx.is_tree(nx.from_numpy_array(adj)))


def is_sbm(adj: Adjacency) -> bool:
    """A stochastic block model of the training set could have made it."""
    if len(adj) < 40:
        return False
    names = blocks(adj)
    sizes = np.bincount(names)
    if not 2 <= len(sizes) <= 5 or sizes.min() < 20 or sizes.max() > 40:
        return False
    edges, pairs = _counts(adj, names, len(sizes))
    p = edges / pairs
    expected = np.where(np.eye(len(sizes), dtype=bool), _WITHIN, _BETWEEN)
    wald = np.square(p - expected) / (p * (1 - p) + 1e-6)
    upper = np.triu_indices(len(sizes))
    return float(np.mean([math.erfc(math.sqrt(value / 2)) for value in wald[upper]])) > 0.9


VALID: Mapping[str, Callable[[Adjacency], bool]] = MappingProxyType({"planar": is_planar, "tree": is_tree, "sbm": is_sbm})


@dataclass(frozen=True)
class Judgement:
    """Of every graph: is it valid, the first of its kind in the set, and not in the training set."""

    valid: tuple[bool, ...]
    unique: tuple[bool, ...]
    novel: tuple[bool, ...]

    @property
    def all(self) -> tuple[bool, ...]:
        """The three together."""
        return tuple(v and u and n for v, u, n in zip(self.valid, self.unique, self.novel, strict=True))


def judge(graphs: Sequence[Adjacency], train: Sequence[Adjacency], kind: str | None = None) -> Judgement:
    """Validity by the rule of `kind` ("planar", "tree", "sbm"); without one every graph is valid.

    Raises:
        InputError: an unknown kind.
    """
    if kind is not None and kind not in VALID:
        raise InputError(f"judge: kind '{kind}'; expected one of {', '.join(VALID)}")
    valid = [VALID[kind](adj) if kind else True for adj in graphs]
    known: dict[Any, list[Any]] = {}
    for adj in train:
        known.setdefault(_key(adj), []).append(nx.from_numpy_array(adj))
    seen: dict[Any, list[Any]] = {}
    unique, novel = [], []
    for adj in graphs:
        key, graph = _key(adj), nx.from_numpy_array(adj)
        unique.append(not any(nx.is_isomorphic(graph, other) for other in seen.get(key, ())))
        novel.append(not any(nx.is_isomorphic(graph, other) for other in known.get(key, ())))
        seen.setdefault(key, []).append(graph)
    return Judgement(tuple(valid), tuple(unique), tuple(novel))


def _key(adj: Adjacency) -> tuple[int, bytes]:
    """The same for isomorphic graphs: nodes, and the sorted closed walks of length 2 to 5."""
    walks = [np.linalg.matrix_power(adj, k).diagonal() for k in range(2, 6)]
    rows = np.stack(walks, 1) if len(adj) else np.zeros((0, 4), np.int64)
    return len(adj), rows[np.lexsort(rows.T)].tobytes()


# ---------------------------------------------------------------------- blocks


def blocks(adj: Adjacency) -> NDArray[np.int64]:
    """The block of every node, (n,), numbered from 0."""
    found = [_refined(adj, _start(adj, k), k) for k in range(1, _MOST_BLOCKS + 1)]
    best = max(found, key=lambda names: _evidence(adj, names))
    return np.unique(best, return_inverse=True)[1]


def _start(adj: Adjacency, k: int) -> NDArray[np.int64]:
    """k-means of the k leading eigenvectors, from centres that are each the node farthest from those before."""
    root = 1 / np.sqrt(np.maximum(adj.sum(1), 1))
    vectors = np.linalg.eigh(root[:, None] * adj * root)[1][:, -k:]
    vectors = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    centres = vectors[[int(adj.sum(1).argmax())]]
    while len(centres) < k:
        distance = np.square(vectors[:, None] - centres).sum(-1).min(1)
        centres = np.concatenate((centres, vectors[[int(distance.argmax())]]))
    names = np.zeros(len(adj), np.int64)
    for _ in range(20):
        names = np.square(vectors[:, None] - centres).sum(-1).argmin(1)
        centres = np.array([vectors[names == b].mean(0) if (names == b).any() else centres[b] for b in range(k)])
    return names


def _refined(adj: Adjacency, names: NDArray[np.int64], k: int) -> NDArray[np.int64]:
    """Nodes move to the block that explains their edges best, at the densities of the last round, until none moves."""
    for _ in range(20):
        edges, pairs = _counts(adj, names, k)
        p = np.clip((edges + 0.5) / (pairs + 1), 1e-4, 1 - 1e-4)
        ones = np.eye(k)[names]
        degree, rooms = adj @ ones, ones.sum(0) - ones
        moved = (degree @ np.log(p).T + (rooms - degree) @ np.log1p(-p).T).argmax(1)
        if (moved == names).all():
            break
        names = moved
    return names


def _counts(adj: Adjacency, names: NDArray[np.int64], k: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Edges and pairs of nodes between blocks, (k, k)."""
    ones = np.eye(k)[names]
    sizes = ones.sum(0)
    edges, pairs = ones.T @ adj @ ones, np.outer(sizes, sizes) - np.diag(sizes)
    half = np.where(np.eye(k, dtype=bool), 0.5, 1.0)
    return edges * half, np.maximum(pairs * half, 1e-9)


def _evidence(adj: Adjacency, names: NDArray[np.int64]) -> float:
    n, k = len(adj), int(names.max()) + 1
    edges, pairs = _counts(adj, names, k)
    p = np.clip(edges / pairs, 1e-12, 1 - 1e-12)
    terms = edges * np.log(p) + (pairs - edges) * np.log1p(-p)
    return float(np.triu(terms).sum()) - k * (k + 1) / 4 * math.log(n * (n - 1) / 2) - n * math.log(k)
