"""Graph multi-head attention of GDSS, all channels at once (Jo et al. 2022, arXiv 2202.02514; Baek et al. 2021, GMT).

Channel c of C adjacency channels A_c:

    Q, K, V = GCN_q(x, A_c), GCN_k(x, A_c), GCN_v(x, A_c)          (`conv="MLP"`: Q and K are perceptrons of x)
    M_c = mean over heads of tanh(Q_h K_h^T / sqrt(width of V)),    symmetrised

A layer turns x and the A_c into tanh(mask(MLP(V_1..V_C))) and mask(B + B^T), B = MLP(M_1..M_C, A_1..A_C) entry by entry.

The three convolutions of a channel see one matrix, and (A x) W is cheaper than A (x W) for narrow x: one product A x a channel
serves all. Channels come first everywhere, so that an entry-by-entry perceptron is one matrix product over all pairs of all
graphs.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor, nn

from polyscore.errors import InputError
from polyscore.graphs.networks.dense import MLP, DenseGCN, normalised
from polyscore.graphs.networks.pairs import Pairs

__all__ = ["AttentionLayer", "Conv", "powers"]

Conv = Literal["GCN", "MLP"]


def powers(adj: Tensor, count: int, pairs: Pairs) -> Tensor:
    """The channels A, A^2, ..., A^count of (B, N, N), as pairs (count, B, P)."""
    channels, power = [pairs.read(adj)], adj
    for _ in range(count - 1):
        power = power @ adj
        channels.append(pairs.read(power))
    return torch.stack(channels)


class _Channel(nn.Module):
    """The weights of one channel, under the original's names."""

    def __init__(self, features: int, attention: int, width: int, conv: Conv) -> None:
        super().__init__()

        def make() -> nn.Module:
            if conv == "GCN":
                return DenseGCN(features, attention)
            return MLP(features, 2 * attention, attention, activation=torch.tanh_)

        self.gnn_q, self.gnn_k = make(), make()
        self.gnn_v = DenseGCN(features, width)


class AttentionLayer(nn.Module):
    """One layer: (x, channels of A) to (x, channels of A).

    Args:
        features: width of x.
        attention: width of Q and K, all heads together.
        width: width of V and of the x that comes out.
        channels_in: number of adjacency channels.
        channels_out: number of those that come out.
        linears: layers of the pair perceptron.
        heads: attention heads.
        conv: how Q and K are made.

    Raises:
        InputError: an unknown `conv`, or heads that do not divide the attention width.
    """

    def __init__(
        self,
        features: int,
        attention: int,
        width: int,
        *,
        channels_in: int,
        channels_out: int,
        linears: int,
        heads: int = 4,
        conv: Conv = "GCN",
    ) -> None:
        super().__init__()
        if conv not in ("GCN", "MLP") or attention % heads:
            raise InputError(f"AttentionLayer: conv {conv!r}, {heads} heads of {attention}; expected GCN or MLP and a divisor")
        self.attention, self.width, self.heads, self.conv = attention, width, heads, conv
        hidden = 2 * max(channels_in, channels_out)
        self.attn = nn.ModuleList(_Channel(features, attention, width, conv) for _ in range(channels_in))
        self.mlp = MLP(2 * channels_in, *[hidden] * (linears - 1), channels_out)
        self.multi_channel = MLP(channels_in * width, hidden, width)

    def forward(
        self, x: Tensor, adj: Tensor, mask: Tensor, pairs: Pairs, *, nodes: bool = True, edges: bool = True
    ) -> tuple[Tensor, Tensor]:
        """One layer.

        Args:
            x: (B, N, features).
            adj: (C, B, P), channels as pairs.
            mask: (B, N), 1 where a node exists.
            pairs: index tables for N nodes.
            nodes: whether the new x is wanted; else x comes back as it is.
            edges: whether the new channels are wanted; else the old come back.
        """
        kinds = [*(["gnn_q", "gnn_k"] if edges else []), *(["gnn_v"] if nodes else [])]
        made = self._convolve(x, adj, pairs, kinds)
        out = x
        if nodes:
            joined = made["gnn_v"].permute(1, 2, 0, 3).flatten(2)
            out = torch.tanh(self.multi_channel(joined) * mask.unsqueeze(-1))
        return out, self._edges(made, adj, mask, pairs) if edges else adj

    def _convolve(self, x: Tensor, adj: Tensor, pairs: Pairs, kinds: list[str]) -> dict[str, Tensor]:
        """Q, K, V (C, B, N, width) of all channels, those that are asked for."""
        made = {}
        convolved = [kind for kind in kinds if self.conv == "GCN" or kind == "gnn_v"]
        if convolved:
            layers = [[getattr(channel, kind) for channel in self.attn] for kind in convolved]
            weight = torch.cat([torch.stack([layer.weight for layer in row]) for row in layers], -1)
            bias = torch.cat([torch.stack([layer.bias for layer in row]) for row in layers], -1).unsqueeze(1)
            gathered = torch.matmul(normalised(pairs.matrix(adj, 1.0)), x)
            joint = torch.baddbmm(bias, gathered.flatten(1, 2), weight).view(len(adj), *x.shape[:2], -1)
            widths = [self.width if kind == "gnn_v" else self.attention for kind in convolved]
            made = dict(zip(convolved, torch.split(joint, widths, -1), strict=True))
        for kind in kinds:
            if kind not in made:
                made[kind] = torch.stack([getattr(channel, kind)(x) for channel in self.attn])
        return made

    def _edges(self, made: dict[str, Tensor], adj: Tensor, mask: Tensor, pairs: Pairs) -> Tensor:
        def split(z: Tensor) -> Tensor:
            return z.view(*z.shape[:3], self.heads, -1).transpose(2, 3)

        query = split(made["gnn_q"] / math.sqrt(self.width))
        maps = torch.tanh_(query @ split(made["gnn_k"]).mT).mean(2)
        entries = torch.cat([pairs.symmetric(maps), adj]).flatten(1)
        out = self.mlp.channels_first(entries)
        out = out.view(len(out), *adj.shape[1:])
        return out.mul(2 * pairs.read(mask.unsqueeze(2) * mask.unsqueeze(1)))
