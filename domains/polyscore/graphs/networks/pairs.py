"""Unordered pairs of nodes: what a symmetric matrix with a dead diagonal holds, once.

A symmetric (B, N, N) becomes (B, P), P = N (N - 1) / 2. Everything GDSS's adjacency network does to a matrix is symmetric, and
no entry of a diagonal ever reaches an output (convolutions overwrite it, the result is masked), so half the work and more goes.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["Pairs"]


@dataclass(frozen=True)
class Pairs:
    """Index tables for matrices of n nodes.

    Attributes:
        nodes: n.
        upper: (P,) flat places of (i, j), i < j.
        lower: (P,) flat places of (j, i).
        place: (n * n,) which pair a flat place shows; the diagonal shows P.
    """

    nodes: int
    upper: Tensor
    lower: Tensor
    place: Tensor

    @classmethod
    def of(cls, nodes: int, device: torch.device) -> Pairs:
        """The tables for matrices of `nodes` nodes."""
        i, j = torch.triu_indices(nodes, nodes, 1, device=device)
        count = torch.arange(len(i), device=device)
        place = torch.full((nodes * nodes,), len(i), device=device)
        upper, lower = i * nodes + j, j * nodes + i
        place[upper], place[lower] = count, count
        return cls(nodes, upper, lower, place)

    def read(self, matrix: Tensor) -> Tensor:
        """(..., N, N), symmetric, to (..., P)."""
        return matrix.flatten(-2).index_select(-1, self.upper)

    def symmetric(self, matrix: Tensor) -> Tensor:
        """(M + M^T) / 2 of (..., N, N) as (..., P)."""
        flat = matrix.flatten(-2)
        return (flat.index_select(-1, self.upper) + flat.index_select(-1, self.lower)) / 2

    def matrix(self, values: Tensor, diagonal: float) -> Tensor:
        """(..., P) to the symmetric (..., N, N) with this diagonal."""
        ends = values.new_full((*values.shape[:-1], 1), diagonal)
        full = torch.cat([values, ends], -1).index_select(-1, self.place)
        return full.view(*values.shape[:-1], self.nodes, self.nodes)
