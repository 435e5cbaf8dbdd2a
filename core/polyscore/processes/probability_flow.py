r"""Affine maps of (x, x0, y), and the probability flow as one of them.

dx/dt = a' x0 + b' y + s' eps = (s'/s) x + (a' - a s'/s) x0 + (b' - b s'/s) y, the ODE whose marginals are those of the process
(Song et al. 2021, arXiv 2011.13456). Its coefficients at many times come from one call, in float64.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import torch
from torch import Tensor

from polyscore.processes.gaussian import GaussianProcess

__all__ = ["Affine", "Factor", "affine", "probability_flow"]

Factor: TypeAlias = "float | Tensor"
Affine: TypeAlias = tuple[Factor, Factor, Factor]


def affine(coefs: Affine, x: Tensor, x0: Tensor, y: Any = None) -> Tensor:
    """cx x + cd x0 + cy y; coefficients are floats, or tensors for per-frequency processes."""
    cx, cd, cy = coefs
    out = torch.add(cx * x, x0, alpha=cd) if isinstance(cd, float) else cx * x + cd * x0
    return out if y is None else out + cy * y


def probability_flow(process: GaussianProcess, times: Sequence[float], like: Tensor) -> list[Affine]:
    """The coefficients of dx/dt at each time, in the precision and on the device of `like` where they are tensors."""
    t = torch.tensor(list(times), dtype=torch.float64)
    (a, b, s), rates = process.coefs_of(t), process.rates(t)
    rate = rates.ds / s
    rows = torch.stack((rate, rates.da - a * rate, rates.db - b * rate), 1)
    if rows.ndim == 2:
        return [(cx, cd, cy) for cx, cd, cy in rows.tolist()]
    return [(row[0], row[1], row[2]) for row in rows.to(like.device, like.real.dtype)]
