r"""Uncertainty of scores of a set: the bootstrap (Efron, Ann. Statist. 7, 1979, 1-26) by weights.

A resample draws n of the n generated graphs with replacement: graph i gets the weight w_i, how often it was drawn. The reference
set stays as it is. A mean over pairs meets a graph beside its own copies, which no fresh sample of n graphs would hold; those
pairs are left out, so that the centre of the resampled values is that of the score:

    U(w) = (w' K w - sum w_i^2 k_ii) / (n^2 - sum w_i^2)      mean over pairs of different graphs
    V(w) = ((n - 1) U(w) + sum w_i k_ii / n) / n              mean over all pairs, each graph with itself included

At w = 1 they are the usual means.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from polyscore.errors import InputError

__all__ = ["interval", "mean_of_different", "mean_of_pairs", "weights"]

Array: TypeAlias = NDArray[np.float64]


def weights(n: int, *, resamples: int = 500, seed: int = 0) -> Array:
    """How often each of n graphs is drawn, (resamples, n).

    Raises:
        InputError: no graphs or no resamples.
    """
    if n < 1 or resamples < 1:
        raise InputError(f"weights: {resamples} resamples of {n} graphs; expected at least one of each")
    return np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), size=resamples).astype(np.float64)


def interval(values: Array) -> list[float] | None:
    """Their 2.5 % and 97.5 % quantiles; None where fewer than half of them are defined."""
    known = values[np.isfinite(values)]
    return [float(v) for v in np.quantile(known, [0.025, 0.975])] if 2 * len(known) > len(values) else None


def mean_of_different(total: Array, own: Array, w: Array) -> Array:
    """U(w) from total = w' K w (R,), own = k_ii (n,) and w (R, n); not a number where a resample holds one graph alone."""
    n, squares = w.shape[1], np.square(w)
    with np.errstate(divide="ignore", invalid="ignore"):
        result: Array = (total - squares @ own) / (n * n - squares.sum(1))
    return result


def mean_of_pairs(total: Array, own: Array, w: Array) -> Array:
    """V(w), as `mean_of_different`; a single graph has itself."""
    n = w.shape[1]
    if n == 1:
        return np.full(len(w), own[0])
    result: Array = ((n - 1) * mean_of_different(total, own, w) + w @ own / n) / n
    return result
