r"""What the networks on sets of tokens are built of: attention to a memory, and waves of a time.

    attention(x, m) = W_o sum_j softmax_j(q_i . k_j / sqrt(d)) v_j,      q = W_q x,  (k, v) = W_m m

Source: Vaswani et al. 2017, arXiv 1706.03762.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

__all__ = ["Attention", "Memory", "time_waves"]


class Memory(NamedTuple):
    """Keys and values (B, heads, M, width / heads)."""

    keys: Tensor
    values: Tensor


class Attention(nn.Module):
    """Tokens (B, N, width) read a memory (B, M, width); its keys and values can be computed once and read often."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query, self.memory, self.out = nn.Linear(width, width), nn.Linear(width, 2 * width), nn.Linear(width, width)

    def remember(self, memory: Tensor) -> Memory:
        """The keys and values of a memory."""
        return Memory(*(self._split(part) for part in self.memory(memory).chunk(2, -1)))

    def read(self, x: Tensor, memory: Memory) -> Tensor:
        """What tokens x (B, N, width) read, of the same shape."""
        found = functional.scaled_dot_product_attention(self._split(self.query(x)), memory.keys, memory.values)
        out: Tensor = self.out(found.transpose(1, 2).flatten(-2))
        return out

    def forward(self, x: Tensor, memory: Tensor) -> Tensor:
        return self.read(x, self.remember(memory))

    def _split(self, x: Tensor) -> Tensor:
        return x.view(*x.shape[:-1], self.heads, -1).transpose(1, 2)


def time_waves(t: Tensor, width: int) -> Tensor:
    """[sin(w_k t), cos(w_k t)], (B, width), of times (B,), with w_k from 1 to 1000."""
    frequency = torch.exp(torch.linspace(0, math.log(1000.0), width // 2, device=t.device, dtype=t.dtype))
    angle = t[:, None] * frequency
    return torch.cat([angle.sin(), angle.cos()], -1)
