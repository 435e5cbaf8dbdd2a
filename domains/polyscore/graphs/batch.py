"""Graphs of different sizes in dense tensors."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from polyscore.errors import InputError

__all__ = ["Graphs", "mask_of"]


def mask_of(sizes: Sequence[int] | Tensor, nodes: int, *, device: torch.device | str = "cpu") -> Tensor:
    """(B, nodes) float32: 1 for the first `sizes[b]` places of graph b, else 0."""
    counts = torch.as_tensor(sizes, device=device)
    return (torch.arange(nodes, device=device) < counts.unsqueeze(1)).float()


@dataclass(frozen=True, eq=False)
class Graphs:
    """B undirected graphs of at most N nodes.

    Attributes:
        x: (B, N, F) node features.
        adj: (B, N, N) symmetric, zero diagonal: weights or bond orders.
        mask: (B, N), 1 where a node exists; the nodes of a graph come first.

    Raises:
        InputError: shapes that do not fit.
    """

    x: Tensor
    adj: Tensor
    mask: Tensor

    def __post_init__(self) -> None:
        b, n = self.mask.shape
        if self.x.shape[:2] != (b, n) or self.adj.shape != (b, n, n):
            shapes = f"x {tuple(self.x.shape)}, adj {tuple(self.adj.shape)}, mask {tuple(self.mask.shape)}"
            raise InputError(f"Graphs: {shapes}; expected (B, N, F), (B, N, N) and (B, N)")

    def __len__(self) -> int:
        return len(self.mask)

    def __iter__(self) -> Iterator[Graphs]:
        return (self[i] for i in range(len(self)))

    def __getitem__(self, index: int | slice | Sequence[int] | Tensor) -> Graphs:
        """Some of the graphs, cut to the largest of them."""
        rows = [index] if isinstance(index, int) else index
        mask = self.mask[rows]
        n = int(mask.sum(1).max()) if len(mask) else 0
        return Graphs(self.x[rows][:, :n], self.adj[rows][:, :n, :n], mask[:, :n])

    @property
    def sizes(self) -> list[int]:
        """Nodes of every graph."""
        counts: list[int] = self.mask.sum(1).long().tolist()
        return counts

    @property
    def state(self) -> dict[str, Tensor]:
        """The mapping that processes and samplers work on."""
        return {"x": self.x, "adj": self.adj}

    def padded(self, nodes: int) -> Graphs:
        """The same graphs with room for `nodes` nodes."""
        more = nodes - self.mask.shape[1]
        return Graphs(F.pad(self.x, (0, 0, 0, more)), F.pad(self.adj, (0, more, 0, more)), F.pad(self.mask, (0, more)))

    @staticmethod
    def of(state: Mapping[str, Tensor], mask: Tensor) -> Graphs:
        """From a sampler's state."""
        return Graphs(state["x"], state["adj"], mask)

    @staticmethod
    def cat(parts: Sequence[Graphs]) -> Graphs:
        """All graphs of the parts, in order, with room for the largest."""
        n = max(part.mask.shape[1] for part in parts)
        wide = [part.padded(n) for part in parts]
        return Graphs(*(torch.cat([getattr(part, name) for part in wide]) for name in ("x", "adj", "mask")))
