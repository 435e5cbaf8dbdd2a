"""ScoreNetworkA: the adjacency network of GDSS (Jo et al. 2022, arXiv 2202.02514)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from polyscore.graphs.networks.attention import AttentionLayer, Conv, powers
from polyscore.graphs.networks.dense import MLP
from polyscore.graphs.networks.pairs import Pairs

__all__ = ["ScoreNetworkA"]


class ScoreNetworkA(nn.Module):
    """A (B, N, N), symmetric, and x (B, N, F) to a symmetric (B, N, N) with zero diagonal; time is not an input.

    Powers of A, attention layers that keep all channels, and a perceptron over the channels of all layers, entry by entry.
    The number of nodes is free: `max_node_num` is kept because the published settings name it.

    Args:
        max_feat_num: F.
        max_node_num: largest graph of the data.
        nhid: width of x inside, and of the first layer's attention.
        num_layers: attention layers.
        num_linears: layers of their pair perceptrons.
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
        max_node_num: int,
        nhid: int,
        *,
        num_layers: int,
        num_linears: int,
        c_init: int,
        c_hid: int,
        c_final: int,
        adim: int,
        num_heads: int = 4,
        conv: Conv = "GCN",
    ) -> None:
        super().__init__()
        self.max_feat_num, self.max_node_num, self.nhid = max_feat_num, max_node_num, nhid
        self.num_layers, self.num_linears, self.num_heads, self.conv = num_layers, num_linears, num_heads, conv
        self.c_init, self.c_hid, self.c_final, self.adim = c_init, c_hid, c_final, adim
        channels = [c_init, *[c_hid] * (num_layers - 1), c_final]
        self.layers = nn.ModuleList(
            AttentionLayer(
                max_feat_num if i == 0 else nhid,
                nhid if i == 0 else adim,
                nhid,
                channels_in=channels[i],
                channels_out=channels[i + 1],
                linears=num_linears,
                heads=num_heads,
                conv=conv,
            )
            for i in range(num_layers)
        )
        total = sum(channels)
        self.final = MLP(total, 2 * total, 2 * total, 1)

    def forward(self, x: Tensor, adj: Tensor, mask: Tensor) -> Tensor:
        """The network's output F; `mask` (B, N) is 1 where a node exists."""
        pairs = Pairs.of(adj.shape[-1], adj.device)
        channels = [powers(adj, self.c_init, pairs)]
        for i, layer in enumerate(self.layers):
            x, made = layer(x, channels[-1], mask, pairs, nodes=i < self.num_layers - 1)  # nothing reads the last x
            channels.append(made)
        out = self.final.channels_first(torch.cat(channels).flatten(1)).view(channels[0].shape[1:])
        return pairs.matrix(out * pairs.read(mask.unsqueeze(2) * mask.unsqueeze(1)), 0.0)
