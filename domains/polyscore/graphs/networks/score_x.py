"""ScoreNetworkX and ScoreNetworkX_GMH: the node networks of GDSS (Jo et al. 2022, arXiv 2202.02514)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from polyscore.graphs.networks.attention import AttentionLayer, Conv, powers
from polyscore.graphs.networks.dense import MLP, DenseGCN, normalised, with_unit_diagonal
from polyscore.graphs.networks.pairs import Pairs

__all__ = ["ScoreNetworkX", "ScoreNetworkXGMH"]


class ScoreNetworkX(nn.Module):
    """x_(k+1) = tanh(GCN(x_k, A)); a perceptron of [x_0 .. x_depth] gives (B, N, F); time is not an input.

    Args:
        max_feat_num: F.
        depth: convolutions.
        nhid: their width.
    """

    def __init__(self, max_feat_num: int, depth: int, nhid: int) -> None:
        super().__init__()
        self.max_feat_num, self.depth, self.nhid = max_feat_num, depth, nhid
        self.layers = nn.ModuleList(DenseGCN(nhid if i else max_feat_num, nhid) for i in range(depth))
        total = max_feat_num + depth * nhid
        self.final = MLP(total, 2 * total, 2 * total, max_feat_num)

    def forward(self, x: Tensor, adj: Tensor, mask: Tensor) -> Tensor:
        """The network's output F; `mask` (B, N) is 1 where a node exists."""
        a, seen = normalised(with_unit_diagonal(adj)), [x]
        for layer in self.layers:
            seen.append(torch.tanh(layer(seen[-1], a)))
        out: Tensor = self.final(torch.cat(seen, -1)) * mask.unsqueeze(-1)
        return out


class ScoreNetworkXGMH(nn.Module):
    """The same with attention layers in place of convolutions; x takes one more tanh after each (the ZINC model, version 2).

    Args:
        max_feat_num: F.
        depth: attention layers.
        nhid: width of x inside, and of the first layer's attention.
        num_linears: layers of the pair perceptrons.
        c_init: powers of A.
        c_hid: channels between layers.
        c_final: channels of the last layer.
        adim: attention width of all layers but the first.
        num_heads: attention heads.
        conv: how queries and keys are made, "GCN" or "MLP".
    """

    def __init__(
        self,
        max_feat_num: int,
        depth: int,
        nhid: int,
        *,
        num_linears: int,
        c_init: int,
        c_hid: int,
        c_final: int,
        adim: int,
        num_heads: int = 4,
        conv: Conv = "GCN",
    ) -> None:
        super().__init__()
        self.max_feat_num, self.depth, self.nhid = max_feat_num, depth, nhid
        self.num_linears, self.num_heads, self.conv = num_linears, num_heads, conv
        self.c_init, self.c_hid, self.c_final, self.adim = c_init, c_hid, c_final, adim
        channels = [c_init, *[c_hid] * (depth - 1), c_final]
        self.layers = nn.ModuleList(
            AttentionLayer(
                nhid if i else max_feat_num,
                adim if i else nhid,
                nhid,
                channels_in=channels[i],
                channels_out=channels[i + 1],
                linears=num_linears,
                heads=num_heads,
                conv=conv,
            )
            for i in range(depth)
        )
        total = max_feat_num + depth * nhid
        self.final = MLP(total, 2 * total, 2 * total, max_feat_num)

    def forward(self, x: Tensor, adj: Tensor, mask: Tensor) -> Tensor:
        """The network's output F; `mask` (B, N) is 1 where a node exists."""
        pairs = Pairs.of(adj.shape[-1], adj.device)
        channels, seen = powers(adj, self.c_init, pairs), [x]
        for i, layer in enumerate(self.layers):
            made, channels = layer(seen[-1], channels, mask, pairs, edges=i < self.depth - 1)  # nothing reads the last edges
            seen.append(torch.tanh(made))
        out: Tensor = self.final(torch.cat(seen, -1)) * mask.unsqueeze(-1)
        return out
