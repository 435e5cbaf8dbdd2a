r"""A small transformer of token grids: V voices of L positions, one vector a position.

The cells of a position are read together and predicted together,

    h_l = sum_v E_v[x_(v, l)] + sum_c F_c[row_c(l)],      logits_(v, l) = W_v norm(blocks(h))_l,

where E is a table a voice (the concatenation of V small embeddings and a linear map, written as one) and F a table a condition
row (position in bar, fermata, key, ...), whose entry 0 means "not known". A block is

    h <- h + attention(norm(h)),      h <- h + W relu(U norm(h))^2

with rotary positions and without biases in its matrices. Attention sees the whole window in both directions. The network is not
told the time: in masked diffusion the best prediction does not depend on it (Zheng et al. 2025, arXiv 2409.02908).

Sources: Su et al. 2021 (RoFormer), arXiv 2104.09864; So et al. 2021 (squared ReLU, Primer), arXiv 2109.08668; Gal and Ghahramani
2016 (dropout of whole channels), arXiv 1512.05287.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from polyscore.errors import InputError
from polyscore.state import NONE, Given

__all__ = ["GridTransformer"]


class GridTransformer(nn.Module):
    """Logits of every cell of a grid.

    Args:
        voices: V.
        classes: N, the categories of a cell without MASK, which is category N.
        conditions: name and number of values of each condition row; value 0 means "not known".
        width: of the vector of a position, a multiple of twice the number of heads.
        layers: number of blocks.
        heads: attention heads.
        expand: width of a block's hidden layer as a multiple of `width`.
        base: of the rotary angles; wave lengths run from 2 pi to 2 pi base positions.
        dropout: of the channels of embeddings and of what a block adds.

    Raises:
        InputError: sizes that do not fit.
    """

    def __init__(
        self,
        voices: int,
        classes: int,
        conditions: Mapping[str, int],
        *,
        width: int = 192,
        layers: int = 4,
        heads: int = 6,
        expand: int = 4,
        base: float = 1000.0,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        if min(voices, classes, layers, heads, expand, *conditions.values()) < 1 or width % (2 * heads):
            found = f"{voices} voices, {classes} classes, conditions {dict(conditions)}, width {width}, {heads} heads"
            raise InputError(f"GridTransformer: {found}; expected positive numbers, and a width that 2 heads divide")
        self.voices, self.classes, self.conditions = voices, classes, dict(conditions)
        self.width, self.layers, self.heads, self.expand = width, layers, heads, expand
        self.base, self.dropout = base, dropout
        self.tokens = nn.Embedding(voices * (classes + 1), width)
        self.rows = nn.ModuleDict({name: nn.Embedding(size, width) for name, size in conditions.items()})
        self.drop = _Drop(dropout)
        self.blocks = nn.ModuleList(_Block(width, heads, expand, dropout) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, voices * classes)
        for table in (self.tokens, *self.rows.values()):
            nn.init.normal_(table.weight, std=0.02)  # type: ignore[arg-type]

    def forward(self, x: Tensor, time: Tensor | None = None, given: Given = NONE) -> Tensor:
        """Logits (B, V, L, N).

        Args:
            x: grid (B, V, L), int64, MASK is N.
            time: not read.
            given: `cond` may hold rows of conditions by name, each int64 (B, L) or (1, L); a row that is absent is not known.

        Raises:
            InputError: another number of voices, or a condition that the network does not have.
        """
        if x.ndim != 3 or x.shape[1] != self.voices:
            raise InputError(f"GridTransformer: a state {tuple(x.shape)}, expected (B, {self.voices}, L)")
        first = (self.classes + 1) * torch.arange(self.voices, device=x.device).unsqueeze(1)
        h = self.tokens(x + first).sum(1) + self._conditions(given.cond, x)
        turn = _angles(x.shape[2], self.width // self.heads, self.base, h)
        h = self.drop(h)
        for block in self.blocks:
            h = block(h, turn)
        logits: Tensor = self.head(self.norm(h))
        return logits.view(*logits.shape[:2], self.voices, self.classes).transpose(1, 2)

    def _conditions(self, cond: Any, x: Tensor) -> Tensor:
        found: Mapping[str, Tensor] = {} if cond is None else cond
        unknown = sorted(set(found) - set(self.conditions))
        if unknown:
            raise InputError(f"GridTransformer: conditions {unknown}, expected some of {list(self.conditions)}")
        nothing = x.new_zeros(1, x.shape[2])
        total = x.new_zeros((), dtype=self.head.weight.dtype)
        for name, table in self.rows.items():
            total = total + table(found.get(name, nothing))
        return total


class _Drop(nn.Module):
    """Dropout of whole channels, the same at every position of a window: its random numbers cost nothing."""

    def __init__(self, share: float) -> None:
        super().__init__()
        self.share = share

    def forward(self, h: Tensor) -> Tensor:
        if not self.training or self.share == 0:
            return h
        return h * functional.dropout(h.new_ones(h.shape[0], 1, h.shape[2]), self.share)


class _Block(nn.Module):
    """Attention and a layer of squared ReLU, each on normalised input and added."""

    def __init__(self, width: int, heads: int, expand: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.before, self.between = nn.LayerNorm(width), nn.LayerNorm(width)
        self.query, self.key, self.value = (nn.Linear(width, width, bias=False) for _ in range(3))
        self.out = nn.Linear(width, width, bias=False)
        self.up, self.down = nn.Linear(width, expand * width, bias=False), nn.Linear(expand * width, width, bias=False)
        self.drop = _Drop(dropout)

    def forward(self, h: Tensor, turn: tuple[Tensor, Tensor]) -> Tensor:
        x = self.before(h)
        q, k, v = (part(x).unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in (self.query, self.key, self.value))
        # Windows are short: written out, a step of training takes half the time of torch's fused attention on a CPU.
        shares = (_turned(q, turn) @ _turned(k, turn).mT * q.shape[-1] ** -0.5).softmax(-1).to(v.dtype)
        mixed = shares @ v
        h = h + self.drop(self.out(mixed.transpose(1, 2).flatten(2)))
        added: Tensor = h + self.drop(self.down(functional.relu(self.up(self.between(h))).square()))
        return added


def _angles(length: int, width: int, base: float, like: Tensor) -> tuple[Tensor, Tensor]:
    """cos and sin of l base^(-i / (width / 2)), each (L, width / 2), of `like`'s device."""
    place = torch.arange(length, dtype=torch.float64)
    speed = base ** (-torch.arange(width // 2, dtype=torch.float64) / (width // 2))
    angle = place.unsqueeze(1) * speed
    return angle.cos().to(like), angle.sin().to(like)


def _turned(x: Tensor, turn: tuple[Tensor, Tensor]) -> Tensor:
    """Pairs (x_i, x_(i + width / 2)) turned by their angles; x (B, heads, L, width)."""
    cos, sin = (part.to(x.dtype) for part in turn)
    a, b = x.chunk(2, -1)
    return torch.cat([a * cos - b * sin, a * sin + b * cos], -1)
