r"""GETMusic's network: a RoFormer over columns of fourteen cells.

    cell     e_(r, l) = E[x_(r, l)] + S[source_(r, l)] + time(t)                    96 wide
    column   h_l = enter(norm(e_(1, l), ..., e_(14, l)))                            1344 -> 768
    layers   h <- norm(h + attention(h)),   h <- norm(h + W gelu(U h))              12 of them, post-norm
    cell     o_(r, l) = part r of leave(h_l),   logits_(r, l) = E o_(r, l) + b      768 -> 1344, E tied

Queries and keys are turned by l 10000^(-2i/64) in interleaved pairs (x_(2i), x_(2i+1)). time(t) is a small network of cos and sin
of t 10000^(-i/64) of the raw index t. Beyond 512 columns a column attends to those at most 255 away. EMPTY is the table's zero
row; neither it nor MASK is ever predicted.

The logits are an object that makes the rows it is asked for: of 7,168 cells and 11,879 tokens only what is revealed is computed.

Sources: Lv et al. 2023 (GETMusic), arXiv 2305.10841; Su et al. 2021 (RoFormer), arXiv 2104.09864.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from polyscore.errors import InputError
from polyscore.state import NONE, Given

__all__ = ["CellLogits", "GetRoformer"]

_TIME = 128  # width of the time's sinusoid
_EPS = 1e-12


@dataclass(frozen=True, eq=False)
class CellLogits:
    """Logits of cells on request.

    Args:
        cells: (B, R, L, D) outputs of the cells.
        weight, bias: of the tokens that can be predicted, (N - 1, D) and (N - 1,); EMPTY, the last category, cannot.
    """

    cells: Tensor
    weight: Tensor
    bias: Tensor

    def rows(self, cells: Tensor) -> Tensor:
        """(M, N) logits of the cells with these flat places."""
        made = functional.linear(self.cells.flatten(0, -2).index_select(0, cells), self.weight, self.bias)
        return functional.pad(made, (0, 1), value=-torch.inf)


class GetRoformer(nn.Module):
    """Logits of the cells of a GETScore grid.

    Args:
        tokens: size of the vocabulary without EMPTY and MASK, which are the next two numbers.
        rows: cells of a column.
        embedding: width of a cell.
        width: of a column, a multiple of twice the number of heads.
        layers, heads, hidden: of the encoder.
        dropout: of embeddings, attention and layers.
        reach: columns up to which attention sees all; beyond, those less than half of it away.

    Raises:
        InputError: sizes that do not fit.
    """

    def __init__(
        self,
        tokens: int = 11879,
        *,
        rows: int = 14,
        embedding: int = 96,
        width: int = 768,
        layers: int = 12,
        heads: int = 12,
        hidden: int = 3072,
        dropout: float = 0.1,
        reach: int = 512,
    ) -> None:
        super().__init__()
        if min(tokens, rows, embedding, layers, heads, hidden, reach) < 1 or width % (2 * heads):
            found = f"{tokens} tokens, {rows} rows, {layers} layers of width {width} with {heads} heads"
            raise InputError(f"GetRoformer: {found}; expected positive numbers, and a width that 2 heads divide")
        self.tokens, self.rows, self.embedding, self.width, self.reach = tokens, rows, embedding, width, reach
        self.layers, self.heads, self.hidden, self.dropout = layers, heads, hidden, dropout
        self.table = nn.Embedding(tokens + 2, embedding, padding_idx=tokens)
        self.sources = nn.Embedding(2, embedding)
        self.time = _two(_TIME, embedding, embedding)
        self.norm = nn.LayerNorm(rows * embedding, eps=_EPS)
        self.drop = nn.Dropout(dropout)
        self.enter = _two(rows * embedding, width, width)
        self.blocks = nn.ModuleList(_Block(width, heads, hidden, dropout) for _ in range(layers))
        self.leave = _two(width, rows * embedding, rows * embedding)
        self.bias = nn.Parameter(torch.zeros(tokens + 2))
        self.apply(_initialise)

    def forward(self, x: Tensor, time: Tensor | None = None, given: Given = NONE) -> CellLogits:
        """Logits of N = `tokens` + 1 categories (EMPTY, the last, with probability 0).

        Args:
            x: grid (B, rows, L), int64; EMPTY is `tokens`, MASK `tokens` + 1.
            time: (B,), the index 0..99 of the diffusion step; None is 0.
            given: `cond["source"]` (B, rows, L) or (rows, L), 1 where a cell is given and 0 where it is content.

        Raises:
            InputError: another number of rows, or an unknown condition.
        """
        if x.ndim != 3 or x.shape[1] != self.rows:
            raise InputError(f"GetRoformer: a state {tuple(x.shape)}, expected (B, {self.rows}, L)")
        cond: Mapping[str, Tensor] = given.cond or {}
        if set(cond) - {"source"}:
            raise InputError(f"GetRoformer: conditions {sorted(cond)}, expected 'source' at most")
        source = cond.get("source", x.new_zeros(())).long().expand(x.shape)
        t = torch.zeros(len(x), device=x.device) if time is None else time.expand(len(x))
        cells = self.table(x) + self.sources(source) + self.time(_sinusoid(t, self.bias))[:, None, None]
        h = self.enter(self.drop(self.norm(cells.transpose(1, 2).flatten(2))))
        turn, near = _turns(x.shape[2], self.width // self.heads, h), self._near(x.shape[2], h)
        for block in self.blocks:
            h = block(h, turn, near)
        out = self.leave(h).unflatten(-1, (self.rows, self.embedding)).transpose(1, 2)
        return CellLogits(out, self.table.weight[: self.tokens], self.bias[: self.tokens])

    def _near(self, length: int, like: Tensor) -> Tensor | None:
        """(L, L) bool: who attends to whom; None: everybody."""
        if self.training or length <= self.reach:
            return None
        place = torch.arange(length, device=like.device)
        return (place[:, None] - place[None]).abs() < self.reach // 2


class _Block(nn.Module):
    """Attention and a layer of gelu, each added and normalised afterwards."""

    def __init__(self, width: int, heads: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.query, self.key, self.value, self.out = (nn.Linear(width, width) for _ in range(4))
        self.up, self.down = nn.Linear(width, hidden), nn.Linear(hidden, width)
        self.between, self.after = nn.LayerNorm(width, eps=_EPS), nn.LayerNorm(width, eps=_EPS)
        self.drop = nn.Dropout(dropout)

    def forward(self, h: Tensor, turn: tuple[Tensor, Tensor], near: Tensor | None) -> Tensor:
        q, k, v = (part(h).unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in (self.query, self.key, self.value))
        p = self.dropout if self.training else 0.0
        mixed = functional.scaled_dot_product_attention(_turned(q, turn), _turned(k, turn), v, attn_mask=near, dropout_p=p)
        h = self.between(h + self.drop(self.out(mixed.transpose(1, 2).flatten(2))))
        added: Tensor = self.after(h + self.drop(self.down(functional.gelu(self.up(h)))))
        return added


def _two(into: int, between: int, out: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(into, between), nn.SiLU(), nn.Linear(between, out))


def _initialise(module: Any) -> None:
    if isinstance(module, (nn.Linear, nn.Embedding)):
        nn.init.normal_(module.weight, std=0.02)
        if isinstance(module, nn.Linear):
            nn.init.zeros_(module.bias)
        elif module.padding_idx is not None:
            with torch.no_grad():
                module.weight[module.padding_idx] = 0


def _sinusoid(t: Tensor, like: Tensor) -> Tensor:
    """(B, 128): cos, then sin, of t 10000^(-i / 64)."""
    speed = torch.exp(-math.log(10000) * torch.arange(_TIME // 2, device=t.device) / (_TIME // 2))
    angle = t.float()[:, None] * speed
    return torch.cat([angle.cos(), angle.sin()], 1).to(like)


def _turns(length: int, width: int, like: Tensor) -> tuple[Tensor, Tensor]:
    """cos and sin of l 10000^(-2i / width), each (L, width / 2)."""
    speed = 10000 ** (-torch.arange(0, width, 2, dtype=torch.float64) / width)
    angle = torch.arange(length, dtype=torch.float64)[:, None] * speed
    return angle.cos().to(like), angle.sin().to(like)


def _turned(x: Tensor, turn: tuple[Tensor, Tensor]) -> Tensor:
    """Pairs (x_(2i), x_(2i + 1)) turned by their angles; x (B, heads, L, width)."""
    cos, sin = turn
    a, b = x[..., 0::2], x[..., 1::2]
    return torch.stack([a * cos - b * sin, b * cos + a * sin], -1).flatten(-2)
