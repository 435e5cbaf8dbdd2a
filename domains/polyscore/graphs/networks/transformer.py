r"""A graph transformer over nodes and unordered pairs of nodes, told the noise level.

Nodes h (B, N, d) and pairs e (B, P, c), P = N (N - 1) / 2. With h and e normalised and, by the condition,
scaled and shifted, a layer is

    h_i <- h_i + W [sum_j softmax_j(q_i k_j / sqrt(d / H) + b_ij) v_j,   sum_j g_ij w_j,   sum_j e_ij],    b, g = linear(e)
    h_i <- h_i + MLP(h_i)
    e_ij <- e_ij + MLP(e_ij + u_i + u_j + p_i p_j + U [sum_k f_ik f_kj / n]),                  u, p = linear(h), f = linear(e)

The softmax asks who matters, the two sums count: a softmax forgets degrees, and valence is a degree. The sum over k, an option,
looks at walks of two edges: nodes alike in all they see, as those of two communities are, differ in what they share. A pair is
held once and its update is symmetric in i and j, so what comes out is symmetric, and permuting nodes permutes it.

Source: Vaswani et al. 2017, arXiv 1706.03762; pairs as in Hussain et al. 2022 (EGT), arXiv 2108.03348, and Vignac et al. 2023
(DiGress), arXiv 2209.14734; walks: Maron et al. 2019, arXiv 1905.11136.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from polyscore.errors import InputError
from polyscore.graphs.networks.pairs import Pairs

__all__ = ["GraphTransformer"]


class GraphTransformer(nn.Module):
    """Features of nodes and pairs to outputs of nodes and pairs.

    Args:
        nodes: features of a node that come in.
        pairs: features of a pair that come in.
        conditions: numbers that describe the graph as a whole, such as noise levels.
        nodes_out: outputs of a node.
        pairs_out: outputs of a pair.
        width: d.
        pair_width: c.
        heads: H, attention heads.
        layers: how many layers.
        walks: channels of the sum over walks of two edges; 0 leaves it out.

    Raises:
        InputError: heads that do not divide the width.
    """

    def __init__(
        self,
        nodes: int,
        pairs: int,
        conditions: int,
        *,
        nodes_out: int,
        pairs_out: int,
        width: int = 64,
        pair_width: int = 32,
        heads: int = 4,
        layers: int = 4,
        walks: int = 0,
    ) -> None:
        super().__init__()
        if width % heads:
            raise InputError(f"GraphTransformer: {heads} heads of width {width}; expected a divisor")
        self.nodes, self.pairs, self.conditions, self.nodes_out, self.pairs_out = nodes, pairs, conditions, nodes_out, pairs_out
        self.width, self.pair_width, self.heads, self.layers, self.walks = width, pair_width, heads, layers, walks
        self.condition = nn.Sequential(nn.Linear(conditions, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU())
        self.node_in, self.pair_in = nn.Linear(nodes, width), nn.Linear(pairs, pair_width)
        self.blocks = nn.ModuleList(_Layer(width, pair_width, heads, walks) for _ in range(layers))
        self.node_norm, self.pair_norm = nn.LayerNorm(width), nn.LayerNorm(pair_width)
        self.node_end, self.pair_end = nn.Linear(width, nodes_out), nn.Linear(pair_width, pairs_out)
        for end in (self.node_end, self.pair_end):
            nn.init.zeros_(end.weight)
            nn.init.zeros_(end.bias)

    def forward(self, nodes: Tensor, pairs: Tensor, conditions: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """The outputs, 0 where there is no node.

        Args:
            nodes: (B, N, nodes).
            pairs: (B, P, pairs), of the pairs i < j row by row (`Pairs`).
            conditions: (B, conditions).
            mask: (B, N), 1 where a node exists.

        Returns:
            (B, N, nodes_out) and (B, P, pairs_out).
        """
        table = Pairs.of(mask.shape[1], mask.device)
        there = mask.unsqueeze(-1)
        both = table.read(there * mask.unsqueeze(1)).unsqueeze(-1)
        c = self.condition(conditions).unsqueeze(1)
        h, e = self.node_in(nodes) * there, self.pair_in(pairs) * both
        nodes_of = torch.stack([table.upper // mask.shape[1], table.upper % mask.shape[1]], 1)
        ends = F.one_hot(nodes_of, mask.shape[1]).sum(1).to(h)  # (P, N), 1 at the two nodes of a pair
        for block in self.blocks:
            h, e = block(h, e, c, there, both, table, ends)
        return self.node_end(self.node_norm(h)) * there, self.pair_end(self.pair_norm(e)) * both


class _Layer(nn.Module):
    """One layer; `width` of nodes, `pairs` of pairs."""

    def __init__(self, width: int, pairs: int, heads: int, walks: int) -> None:
        super().__init__()
        self.heads, self.walks = heads, walks
        self.normal, self.normal_pairs = nn.LayerNorm(width), nn.LayerNorm(pairs)
        self.normal_mlp = nn.LayerNorm(width)
        self.levels = nn.Linear(width, 2 * width + 2 * pairs)
        self.qkvw = nn.Linear(width, 4 * width)
        self.weights = nn.Linear(pairs, 2 * heads)
        self.out = nn.Linear(2 * width + pairs, width)
        self.mlp = nn.Sequential(nn.Linear(width, 2 * width), nn.SiLU(), nn.Linear(2 * width, width))
        self.ends = nn.Linear(width, 4 * pairs, bias=False)
        self.pair_mid, self.pair_out = nn.Linear(pairs, 2 * pairs), nn.Linear(2 * pairs, pairs)
        if walks:
            self.sides, self.walked = nn.Linear(pairs, walks), nn.Linear(walks, 2 * pairs, bias=False)

    def forward(
        self, h: Tensor, e: Tensor, c: Tensor, there: Tensor, both: Tensor, table: Pairs, ends: Tensor
    ) -> tuple[Tensor, Tensor]:
        b, n, d = h.shape
        k = e.shape[-1]
        scale, shift, scale_pairs, shift_pairs = self.levels(c).split([d, d, k, k], -1)
        x = torch.addcmul(shift, self.normal(h), 1 + scale)
        y = torch.addcmul(shift_pairs, self.normal_pairs(e), 1 + scale_pairs) * both

        q, key, v, w = self.qkvw(x).view(b, n, 4, self.heads, d // self.heads).permute(2, 0, 3, 1, 4)
        bias, gate = table.matrix(self.weights(y).mT, 0.0).chunk(2, 1)
        absent = (1 - there.mT.unsqueeze(1)) * -1e9
        attention = torch.softmax(q @ key.mT / math.sqrt(d // self.heads) + bias + absent, -1)
        gate = gate * (there * there.mT).unsqueeze(1)
        seen = torch.cat([attention @ v, gate @ w], 1).transpose(1, 2).flatten(2)
        h = h + self.out(torch.cat([seen, ends.mT @ y], -1)) * there
        h = h + self.mlp(self.normal_mlp(h)) * there

        u, p = (self.ends(h) * there).chunk(2, -1)
        met = ends @ u + p.index_select(1, table.upper // n) * p.index_select(1, table.upper % n)
        if self.walks:
            sides = table.matrix((self.sides(y) * both).mT, 0.0)
            met = met + self.walked(table.read(sides @ sides).mT / there.sum(1, keepdim=True))
        return h, e + self.pair_out(F.silu(self.pair_mid(y) + met)) * both
