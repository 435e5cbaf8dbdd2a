"""Noise levels and timesteps as diffusers spaces them, in float64.

Indices i of a table of N entries are "timesteps"; levels are sigma_i = s_i / a_i. A schedule of levels (Karras et al. 2022,
arXiv 2206.00364; exponential; Beta quantiles, Lee et al. 2024, arXiv 2407.12173) is laid between two levels, and the network
is told the index at which the table, interpolated in ln sigma, has that level.
"""

from __future__ import annotations

import math
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from polyscore.errors import ConfigError, InputError

__all__ = ["Array", "Layout", "Spacing", "beta_quantile", "index_of", "indices", "lay"]

Array: TypeAlias = NDArray[np.float64]
Spacing: TypeAlias = Literal["leading", "trailing", "linspace"]
Layout: TypeAlias = Literal["karras", "exponential", "beta"]


def indices(
    spacing: Spacing, total: int, n: int, *, offset: int = 0, points: int | None = None, last: int | None = None
) -> Array:
    """n decreasing indices of a table of length `total`, not rounded where diffusers does not round them.

    Args:
        spacing: "linspace" from last - 1 to 0, "leading" multiples of last // points, "trailing" from last - 1 by total / n.
        total: N.
        n: number of indices.
        offset: added to "leading".
        points: number of points of "linspace" and "leading", of which the first n are used; default n.
        last: use only this many entries of the table; default all.

    Raises:
        InputError: more steps than the table has entries, or a spacing that gives another number of indices.
    """
    top, points = total if last is None else last, points or n
    if not 1 <= n <= top:
        raise InputError(f"steps: {n}, expected 1..{top}, the length of the scheduler's table")
    if spacing == "linspace":
        out: Array = np.linspace(0, top - 1, points, dtype=np.float64)[::-1][:n]
    elif spacing == "leading":
        out = np.arange(points - 1, -1, -1, dtype=np.float64)[:n] * (top // points) + offset
    else:
        out = np.round(np.arange(top, 0, -total / n)) - 1
    if len(out) != n:
        raise InputError(
            f"steps: {n} with {spacing} spacing gives {len(out)} timesteps in diffusers; choose another number of steps"
        )
    return np.asarray(out, dtype=np.float64)


def lay(layout: Layout, low: float, high: float, n: int, *, rho: float = 7.0) -> Array:
    """n levels from `high` to `low`: Karras' with exponent rho, exponential, or the quantiles of Beta(0.6, 0.6)."""
    if not 0 < low <= high:
        raise ConfigError(f"sigma_min, sigma_max: {low:g}, {high:g}; expected 0 < sigma_min <= sigma_max")
    ramp: Array = np.linspace(0, 1, n, dtype=np.float64)
    if layout == "karras":
        top, bottom = high ** (1 / rho), low ** (1 / rho)
        return np.asarray((top + ramp * (bottom - top)) ** rho, dtype=np.float64)
    if layout == "exponential":
        return np.asarray(np.exp(np.linspace(math.log(high), math.log(low), n)), dtype=np.float64)
    return low + beta_quantile(1 - ramp) * (high - low)


def index_of(sigmas: Array, table: Array) -> Array:
    """Index (with fraction) at which the table reaches each level, linear in ln sigma, clamped to the table.

    The interval is the one after the last entry not above the level, as diffusers finds it where a table is not increasing.
    """
    place, logs = np.log(np.maximum(sigmas, 1e-10)), np.log(table)
    below = logs[::-1] <= place[:, None]
    left = np.where(below.any(1), len(logs) - 1 - below.argmax(1), 0).clip(max=len(logs) - 2)
    weight = np.clip((logs[left] - place) / (logs[left] - logs[left + 1]), 0, 1)
    return np.asarray((1 - weight) * left + weight * (left + 1))


def beta_quantile(p: Array, a: float = 0.6) -> Array:
    """Quantiles of the symmetric Beta(a, a), to about 1e-14.

    The regularised incomplete beta function is the series x^a (1 - x)^a / (a B) sum_k prod_{j<k} (2a + j) / (a + 1 + j) x^k,
    which converges like 2^-k on [0, 1/2]; Newton's method inverts it in ln x, and the other half follows by symmetry.
    """
    lower = np.minimum(p, 1 - p)
    log_beta = 2 * math.lgamma(a) - math.lgamma(2 * a)
    ratios = np.cumprod([1.0, *((2 * a + j) / (a + 1 + j) for j in range(70))])
    with np.errstate(divide="ignore", invalid="ignore"):  # p = 0 and p = 1 are put in at the end
        logx = np.minimum((np.log(lower) + math.log(a) + log_beta) / a, math.log(0.5))
        for _ in range(12):
            x = np.exp(logx)
            front = a * logx + a * np.log1p(-x) - log_beta
            series = np.polynomial.polynomial.polyval(x, ratios)
            value = np.exp(front) / a * series
            slope = np.exp(front - np.log1p(-x))  # d I / d ln x = x * density
            logx = np.minimum(logx - (value - lower) / slope, math.log(0.5))
        x = np.where(lower > 0, np.exp(logx), 0.0)
    return np.where(p <= 0.5, x, 1 - x)
