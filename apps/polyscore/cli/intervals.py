"""Estimates with their uncertainty: a share of counts, a mean of values."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from polyscore.errors import InputError

__all__ = ["share", "mean"]

_TOGETHER = 4096  # numbers of a bootstrap that are drawn in one call


def share(count: int, n: int) -> dict[str, Any]:
    """``{"share": count / n, "n": n, "ci95": [low, high]}`` with Wilson's score interval.

    `polyscore.evaluation.wilson` holds the formula.

    Raises:
        InputError: not 0 <= count <= n, or n = 0.
    """
    if not 0 <= count <= n or n == 0:
        raise InputError(f"share: {count} of {n}; expected 0 <= count <= n and n > 0")
    from polyscore.evaluation import wilson

    found = wilson(count, n)
    return {"share": found.value, "n": n, "ci95": [found.low, found.high]}


def mean(values: Sequence[float], *, seed: int = 0, resamples: int = 2000) -> dict[str, Any]:
    """``{"mean", "std", "n", "ci95"}`` of the finite values; std has n - 1 below; ci95 is the percentile bootstrap.

    The bootstrap draws n of the n values with replacement ``resamples`` times and takes the 2.5 % and 97.5 % quantiles
    of the means. Source: B. Efron, Ann. Statist. 7 (1979), 1-26. Undefined numbers (n < 1, or std and ci95 at n < 2)
    are None.
    """
    import numpy as np

    x = np.asarray([value for value in values if math.isfinite(value)], dtype=np.float64)
    n = len(x)
    if n < 2:
        return {"mean": float(x[0]) if n else None, "std": None, "n": n, "ci95": None}
    generator = np.random.default_rng(seed)
    parts = [min(_TOGETHER // n + 1, resamples - k) for k in range(0, resamples, _TOGETHER // n + 1)]
    means = np.concatenate([x[generator.integers(0, n, (rows, n))].mean(1) for rows in parts])
    low, high = np.quantile(means, [0.025, 0.975])
    return {"mean": float(x.mean()), "std": float(x.std(ddof=1)), "n": n, "ci95": [float(low), float(high)]}
