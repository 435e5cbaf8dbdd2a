r"""MMD of graph statistics: degrees, clustering, spectrum, orbits (You et al. 2018; Niu et al. 2020; GDSS).

    MMD^2 = mean k(X, X) + mean k(Y, Y) - 2 mean k(X, Y), diagonals included
    degree      k = exp(-EMD^2 / 2), degree histograms
    cluster     k = exp(-EMD^2 / (2 .1^2)), clustering coefficients in 100 bins, EMD in units of the range
    spectral    k = exp(-EMD^2 / 2), eigenvalues of the normalised Laplacian in 200 bins of (-1e-5, 2)
    orbit       k = exp(-|x - y|^2 / (2 30^2)), mean counts of the 15 orbits

The earth mover's distance of histograms on a line is the L1 distance of their cumulative sums, so nothing is solved for.
`GRAMS` holds the kernels, for other estimates of the MMD and their uncertainty (`polyscore.graphs.metrics.Gram`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from polyscore.errors import InputError
from polyscore.graphs.metrics.bootstrap import Array
from polyscore.graphs.metrics.gram import Gram
from polyscore.graphs.metrics.orbits import mean_orbit_counts

__all__ = ["GRAMS", "clustering_mmd", "degree_mmd", "generic_mmds", "orbit_mmd", "spectral_mmd"]

Adjacency: TypeAlias = NDArray[np.int64]


def degree_mmd(a: Sequence[Adjacency], b: Sequence[Adjacency]) -> float:
    """Of degree histograms, biased."""
    return _degree(a, b).biased


def clustering_mmd(a: Sequence[Adjacency], b: Sequence[Adjacency]) -> float:
    """Of local clustering coefficients, biased."""
    return _clustering(a, b).biased


def spectral_mmd(a: Sequence[Adjacency], b: Sequence[Adjacency]) -> float:
    """Of the spectra of normalised Laplacians, biased."""
    return _spectral(a, b).biased


def orbit_mmd(a: Sequence[Adjacency], b: Sequence[Adjacency]) -> float:
    """Of mean orbit counts, biased."""
    return _orbit(a, b).biased


def generic_mmds(a: Sequence[Adjacency], b: Sequence[Adjacency]) -> dict[str, float]:
    """All four, between generated and reference graphs (0/1 matrices)."""
    return {name: gram(a, b).biased for name, gram in GRAMS.items()}


def _degree(a: Sequence[Adjacency], b: Sequence[Adjacency]) -> Gram:
    return _emd_gram(a, b, lambda adj: np.bincount(adj.sum(1)).astype(np.float64))


def _clustering(a: Sequence[Adjacency], b: Sequence[Adjacency]) -> Gram:
    def histogram(adj: Adjacency) -> Array:
        degree = adj.sum(1)
        triangles = (adj * (adj @ adj)).sum(1)
        coefficients = triangles / np.maximum(degree * (degree - 1), 1)
        return np.histogram(coefficients, bins=100, range=(0.0, 1.0))[0].astype(np.float64)

    return _emd_gram(a, b, histogram, sigma=0.1, scale=100)


def _spectral(a: Sequence[Adjacency], b: Sequence[Adjacency]) -> Gram:
    def histogram(adj: Adjacency) -> Array:
        degree = adj.sum(1).astype(np.float64)
        root = np.divide(1.0, np.sqrt(degree), out=np.zeros_like(degree), where=degree > 0)
        laplacian = np.diag((degree > 0).astype(np.float64)) - root[:, None] * adj * root
        return np.histogram(np.linalg.eigvalsh(laplacian), bins=200, range=(-1e-5, 2))[0].astype(np.float64)

    return _emd_gram(a, b, histogram)


def _orbit(a: Sequence[Adjacency], b: Sequence[Adjacency]) -> Gram:
    x, y = (mean_orbit_counts(_checked(part)) for part in (a, b))
    return _gram(x, y, lambda p, q: np.sqrt(np.square(p[:, None] - q[None]).sum(-1)), 30.0)


GRAMS: Mapping[str, Callable[[Sequence[Adjacency], Sequence[Adjacency]], Gram]] = MappingProxyType(
    {"degree": _degree, "cluster": _clustering, "orbit": _orbit, "spectral": _spectral}
)


def _checked(graphs: Sequence[Adjacency]) -> list[Adjacency]:
    kept = [np.asarray(adj, np.int64) for adj in graphs if len(adj)]
    if not kept:
        raise InputError("graph statistics: no graph with nodes; expected at least one on each side")
    return kept


def _emd_gram(
    a: Sequence[Adjacency],
    b: Sequence[Adjacency],
    histogram: Callable[[Adjacency], Array],
    *,
    sigma: float = 1.0,
    scale: float = 1.0,
) -> Gram:
    parts = [[histogram(adj) for adj in _checked(part)] for part in (a, b)]
    bins = max(len(h) for part in parts for h in part)
    x, y = (np.array([np.cumsum(np.pad(h, (0, bins - len(h))) / h.sum()) for h in part]) for part in parts)
    return _gram(x, y, lambda p, q: np.array([np.abs(q - one).sum(1) for one in p]) / scale, sigma)


def _gram(x: Array, y: Array, distance: Callable[[Array, Array], Array], sigma: float) -> Gram:
    def kernel(p: Array, q: Array) -> Array:
        value: Array = np.exp(-np.square(distance(p, q)) / (2 * sigma**2))
        return value

    return Gram(kernel(x, x), kernel(y, y), kernel(x, y))
