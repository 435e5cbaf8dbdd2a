"""MOOD's regressor of one property of a noisy graph (Lee et al. 2023, arXiv 2206.07632)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from polyscore.graphs.networks.dense import DenseGCN, normalised, with_unit_diagonal

__all__ = ["PropertyRegressor"]


class PropertyRegressor(nn.Module):
    """x (B, N, F), A (B, N, N) to a number in [0, 1] per graph, (B,).

        h_(k+1) = tanh(GCN(lin_k(h_k), A)) mask,   c = [x, h_1 .. h_depth],
        g = tanh(sum over nodes of sigmoid(W_s c + b_s) tanh(W_t c + b_t)),   out = sigmoid(lin(relu(lin(g))))

    The published models sum over all `max_node_num` places, and their gates have biases, so places without a node count. A
    smaller graph is extended by such places here: the number does not depend on how a batch is cut.

    Args:
        max_node_num: N of training.
        max_feat_num: F.
        depth: convolutions.
        nhid: their width.
        dropout: in the last perceptron.
    """

    def __init__(self, max_node_num: int, max_feat_num: int, depth: int, nhid: int, *, dropout: float = 0.0) -> None:
        super().__init__()
        self.max_node_num, self.max_feat_num, self.depth = max_node_num, max_feat_num, depth
        self.nhid, self.dropout = nhid, dropout
        self.linears = nn.ModuleList(nn.Linear(nhid if i else max_feat_num, nhid) for i in range(depth))
        self.convs = nn.ModuleList(DenseGCN(nhid, nhid) for _ in range(depth))
        total = max_feat_num + depth * nhid
        self.sigmoid_linear = nn.Sequential(nn.Linear(total, nhid), nn.Sigmoid())
        self.tanh_linear = nn.Sequential(nn.Linear(total, nhid), nn.Tanh())
        self.final_linear = nn.Sequential(
            nn.Linear(nhid, nhid), nn.ReLU(), nn.Dropout(dropout), nn.Linear(nhid, 1), nn.Sigmoid()
        )

    def forward(self, x: Tensor, adj: Tensor, mask: Tensor) -> Tensor:
        """The property, (B,); `mask` (B, N) is 1 where a node exists."""
        a, h, seen = normalised(with_unit_diagonal(adj)), x, [x]
        for linear, conv in zip(self.linears, self.convs, strict=True):
            h = torch.tanh(conv(linear(h), a)) * mask.unsqueeze(-1)
            seen.append(h)
        c = torch.cat(seen, -1)
        gated = (self.sigmoid_linear(c) * self.tanh_linear(c)).sum(1)
        empty = c.new_zeros(1, c.shape[-1])
        missing = self.max_node_num - x.shape[1]
        gated = gated + missing * self.sigmoid_linear(empty) * self.tanh_linear(empty)
        out: Tensor = self.final_linear(torch.tanh(gated)).squeeze(-1)
        return out
