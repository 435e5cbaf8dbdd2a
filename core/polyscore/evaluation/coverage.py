r"""Quality and variety apart: precision, recall, density, coverage.

With r_k(z) the distance from z to its k-th nearest neighbour within its own set (N real x, M drawn y),

    precision   share of y inside some real ball     |y - x_i| <= r_k(x_i)
    recall      share of x inside some drawn ball
    density     mean over y of (number of real balls y lies in) / k
    coverage    share of real balls that hold a drawn sample

For equal laws, whatever they are, density tends to 1 and coverage to 1 - (N-1)...(N-k) / ((M+N-1)...(M+N-k))
(`expected_coverage`).

Sources: Kynkaanniemi et al. 2019, arXiv 1904.06991; Naeem et al. 2020 (PRDC), arXiv 2002.09797.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from polyscore.errors import InputError
from polyscore.evaluation.distances import checked

__all__ = ["PRDC", "expected_coverage", "prdc"]


@dataclass(frozen=True)
class PRDC:
    """Precision, recall, density and coverage."""

    precision: float
    recall: float
    density: float
    coverage: float


def prdc(real: Tensor, drawn: Tensor, k: int = 5) -> PRDC:
    """Of features (N, K) and (M, K).

    Raises:
        InputError: not more samples than k on a side.
    """
    if k < 1:
        raise InputError(f"prdc: k is {k}; expected at least 1")
    x, y = checked(real, drawn, k + 1)
    exact = "donot_use_mm_for_euclid_dist"
    own, theirs = (torch.cdist(v, v, compute_mode=exact).kthvalue(k + 1, dim=1).values for v in (x, y))
    across = torch.cdist(x, y, compute_mode=exact)
    inside = across <= own[:, None]
    return PRDC(
        precision=float(inside.any(0).double().mean()),
        recall=float((across <= theirs).any(1).double().mean()),
        density=float(inside.double().sum(0).mean() / k),
        coverage=float(inside.any(1).double().mean()),
    )


def expected_coverage(real: int, drawn: int, k: int = 5) -> float:
    """E coverage of two sets of one continuous law."""
    share = 1.0
    for j in range(1, k + 1):
        share *= (real - j) / (drawn + real - j)
    return 1 - share
