r"""Distances of two sets of features besides Frechet's: kernel and energy.

    kernel     MMD^2 = E k(x, x') + E k(y, y') - 2 E k(x, y),   unbiased; k(u, v) = (u.v / d + 1)^3   (kernel inception distance)
    energy     2 E|x - y| - E|x - x'| - E|y - y'|,               0 only for equal laws

Both are U-statistics: without bias in the number of samples, so they may fall below 0.

Sources: Binkowski et al. 2018 (KID), arXiv 1801.01401; Szekely and Rizzo 2013; Gretton et al. 2012.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from polyscore.errors import InputError

__all__ = ["checked", "energy", "kernel", "noise_floor"]


def checked(one: Tensor, other: Tensor, least: int = 2) -> tuple[Tensor, Tensor]:
    """Features (N, K) and (M, K) in float64.

    Raises:
        InputError: fewer rows than `least`, different widths, or values that are not finite.
    """
    found = f"{tuple(one.shape)} and {tuple(other.shape)}"
    if one.ndim != 2 or other.ndim != 2 or min(len(one), len(other)) < least or one.shape[1] != other.shape[1]:
        raise InputError(f"features {found}; expected at least {least} rows each, of one width")
    a, b = one.double(), other.double()
    if not bool(torch.isfinite(a).all() and torch.isfinite(b).all()):
        raise InputError(f"features {found} hold values that are not finite; look at the samples or the embedder")
    return a, b


def _mean_of_pairs(table: Tensor) -> Tensor:
    """Mean of the entries off the diagonal."""
    n = len(table)
    return (table.sum() - table.diagonal().sum()) / (n * (n - 1))


def kernel(one: Tensor, other: Tensor) -> float:
    """Unbiased MMD^2 with the cubic kernel of KID."""
    a, b = checked(one, other)
    same, also, across = ((u @ v.T / a.shape[1] + 1) ** 3 for u, v in ((a, a), (b, b), (a, b)))
    return float(_mean_of_pairs(same) + _mean_of_pairs(also) - 2 * across.mean())


def energy(one: Tensor, other: Tensor) -> float:
    """Energy distance, the U-statistic."""
    a, b = checked(one, other)
    exact = "donot_use_mm_for_euclid_dist"
    same, also, across = (torch.cdist(u, v, compute_mode=exact) for u, v in ((a, a), (b, b), (a, b)))
    return float(2 * across.mean() - _mean_of_pairs(same) - _mean_of_pairs(also))


def noise_floor(
    distance: Callable[[Tensor, Tensor], float], reference: Tensor, count: int, *, draws: int = 20, seed: int = 0
) -> tuple[float, float]:
    """Mean and standard deviation of a distance between `count` real samples and the rest of them: what no model can beat.

    Raises:
        InputError: a count that leaves fewer than two.
    """
    if not 2 <= count <= len(reference) - 2:
        raise InputError(f"noise_floor: {count} of {len(reference)}; expected at least 2 in both parts")
    generator = torch.Generator().manual_seed(seed)
    values = []
    for _ in range(draws):
        order = torch.randperm(len(reference), generator=generator)
        values.append(distance(reference[order[:count]], reference[order[count:]]))
    found = torch.tensor(values, dtype=torch.float64)
    return float(found.mean()), float(found.std())
