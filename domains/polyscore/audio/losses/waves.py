"""A distance of waves."""

from __future__ import annotations

from torch import Tensor

from polyscore.errors import InputError

__all__ = ["half_l1"]


def half_l1(found: Tensor, clean: Tensor) -> Tensor:
    """(1/2) (1/L) sum_t |found_t - clean_t| of every pair of waves (B, L), shape (B,); SGMSE's bridge weights it with 1e-3.

    Source: Jukic, Korostik, Balam, Ginsburg 2024, arXiv 2407.16074 (Schroedinger bridge for speech enhancement).

    Raises:
        InputError: the shapes differ.
    """
    if found.shape != clean.shape:
        raise InputError(
            f"half_l1: the waves have shapes {tuple(found.shape)} and {tuple(clean.shape)}; expected equal ones (B, L)"
        )
    return 0.5 * (found - clean).abs().mean(dim=-1)
