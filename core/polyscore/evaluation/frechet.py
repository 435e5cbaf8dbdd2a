"""The Frechet distance of two sets of features, each taken as a normal law.

    d^2 = |m - m'|^2 + tr(C + C' - 2 (C^(1/2) C' C^(1/2))^(1/2))

the squared 2-Wasserstein distance of N(m, C) and N(m', C') (Dowson, Landau 1982; Heusel et al. 2017, arXiv 1706.08500). The
number means something only together with the features, so it goes by their name.
"""

from __future__ import annotations

import torch
from torch import Tensor

from polyscore.errors import InputError

__all__ = ["frechet"]


def frechet(one: Tensor, other: Tensor) -> float:
    """d^2 of features (N, K) and (M, K), in float64; covariances have N - 1 below.

    Raises:
        InputError: a set of fewer than two, or sets of different widths.
    """
    if one.ndim != 2 or other.ndim != 2 or min(len(one), len(other)) < 2 or one.shape[1] != other.shape[1]:
        found = f"{tuple(one.shape)} and {tuple(other.shape)}"
        raise InputError(f"frechet: features {found}; expected at least 2 rows each, of one width")
    a, b = one.double(), other.double()
    ca, cb = (torch.cov(x.T).view(x.shape[1], x.shape[1]) for x in (a, b))
    values, vectors = torch.linalg.eigh(ca)
    root = (vectors * values.clamp_min(0).sqrt()) @ vectors.T
    inner = torch.linalg.eigvalsh(root @ cb @ root).clamp_min(0)
    spread = float(ca.trace() + cb.trace() - 2 * inner.sqrt().sum())
    return float((a.mean(0) - b.mean(0)).square().sum()) + max(spread, 0.0)  # rounding can take it below
