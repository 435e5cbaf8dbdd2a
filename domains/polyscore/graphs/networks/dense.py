"""Dense graph convolutions, and perceptrons over channels that come first.

    A'  = A with ones on the diagonal,   d_i = max(sum_j A'_ij, 1)^(-1/2),
    GCN(x, A) = (d A' d) x W + b         (Kipf and Welling 2017, arXiv 1609.02907)

The diagonal is overwritten, whatever it was. Weights are (in, out), as in torch-geometric.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["MLP", "DenseGCN", "normalised", "with_unit_diagonal"]


def with_unit_diagonal(adj: Tensor) -> Tensor:
    """A copy of (..., N, N) with ones on the diagonal."""
    out = adj.clone()
    out.diagonal(dim1=-2, dim2=-1).fill_(1.0)
    return out


def normalised(adj: Tensor) -> Tensor:
    """d A' d of a matrix (..., N, N) whose diagonal is 1 already."""
    d = adj.sum(-1).clamp(min=1).rsqrt()
    return d.unsqueeze(-1) * adj * d.unsqueeze(-2)


class DenseGCN(nn.Module):
    """One convolution; `forward(x, a)` takes the normalised matrix, so that several convolutions share it.

    The bias also lands on nodes that do not exist; whoever calls masks.
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        bound = math.sqrt(6 / (in_channels + out_channels))
        self.weight = nn.Parameter(torch.empty(in_channels, out_channels).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.zeros(out_channels))

    def forward(self, x: Tensor, a: Tensor) -> Tensor:
        """(B, N, in) to (B, N, out)."""
        return torch.matmul(a, x) @ self.weight + self.bias


class MLP(nn.Module):
    """Linear layers with an activation between them: `widths` in, hidden..., out."""

    def __init__(self, *widths: int, activation: Callable[[Tensor], Tensor] = F.elu_) -> None:
        super().__init__()
        self.linears = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(widths))
        self.activation = activation

    def forward(self, x: Tensor) -> Tensor:
        """(..., in) to (..., out)."""
        *hidden, last = self.linears
        for linear in hidden:
            x = self.activation(linear(x))
        out: Tensor = last(x)
        return out

    def channels_first(self, x: Tensor) -> Tensor:
        """The same on (in, M), where every layer is one matrix product and channels are joined without a copy per row."""
        *hidden, last = (layer for layer in self.linears if isinstance(layer, nn.Linear))
        for layer in hidden:
            x = self.activation(torch.addmm(layer.bias.unsqueeze(1), layer.weight, x))
        return torch.addmm(last.bias.unsqueeze(1), last.weight, x)
