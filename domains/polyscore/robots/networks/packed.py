r"""`ScoreGPT` for acting on a CPU: the same numbers to rounding, in less than half the time.

One action is a few tokens and three passes over all weights, so that its time is that of products of a dozen rows with large
matrices, and of calls that do hardly anything. Here

    query, key, value   are one product
    weights             are laid out once for oneDNN, whose product of twelve rows is twice as fast as that of torch's default
    GELU                is part of the product before it
    the last block      goes on with the tokens that are read, those of actions
    modules             are not called; a block is eight operations

Where oneDNN is absent, or on another device, the products are torch's own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from polyscore.robots.networks.hold_last import HoldLast
from polyscore.robots.networks.score_gpt import ScoreGPT
from polyscore.state import Given

__all__ = ["PackedGPT", "packed"]

Rows: TypeAlias = Callable[[Tensor], Tensor]

_ROWS = 16  # of a product, for which the layout is chosen: a window has about so many tokens


def packed(network: nn.Module) -> nn.Module:
    """The network for acting: `PackedGPT` of a `ScoreGPT`, also within `HoldLast`; others as they are."""
    if isinstance(network, ScoreGPT):
        return PackedGPT(network)
    if isinstance(network, HoldLast) and isinstance(network.network, ScoreGPT):
        return HoldLast(PackedGPT(network.network), network.observed)
    return network


class PackedGPT(nn.Module):
    """What `network` computes in evaluation, without gradients, with the weights that it has when this is made.

    Args:
        network: which.
    """

    def __init__(self, network: ScoreGPT) -> None:
        super().__init__()
        self.network = network
        self.state, self.action, self.window, self.goals = network.state, network.action, network.window, network.goals
        whole, read = slice(None), slice(2 + network.goals, None, 2)
        last = network.layers - 1
        self._blocks = [_block(block, network.heads, read if i == last else whole) for i, block in enumerate(network.blocks)]

    @torch.no_grad()
    def forward(self, x: Tensor, time: Tensor, given: Given) -> Tensor:
        """F (B, t, A)."""
        h = self.network.tokens(x, time, given)
        for block in self._blocks:
            h = block(h)
        return self.network.head(h)


def _block(block: Any, heads: int, kept: slice) -> Rows:
    """The block, whose outputs are those of the tokens `kept`."""
    attention = block.attn
    three = (attention.query, attention.key, attention.value)
    mixes = _linear(torch.cat([part.weight for part in three]), torch.cat([part.bias for part in three]))
    after = _linear(attention.proj.weight, attention.proj.bias)
    up, down = (_linear(block.mlp[i].weight, block.mlp[i].bias, gelu=i == 0) for i in (0, 2))
    first, second = _norm(block.ln1), _norm(block.ln2)

    def run(h: Tensor) -> Tensor:
        batch, length, width = h.shape
        q, k, v = mixes(first(h)).view(batch, length, 3, heads, -1).permute(2, 0, 3, 1, 4).unbind(0)
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        h = h[:, kept] + after(mixed.transpose(1, 2)[:, kept].reshape(batch, -1, width))
        return h + down(up(second(h)))

    return run


def _norm(layer: nn.LayerNorm) -> Rows:
    shape, eps, weight, bias = list(layer.normalized_shape), layer.eps, layer.weight.detach(), layer.bias.detach()
    return lambda h: F.layer_norm(h, shape, weight, bias, eps)


def _linear(weight: Tensor, bias: Tensor, *, gelu: bool = False) -> Rows:
    """W x + b, or its GELU, for rows x."""
    weight, bias = weight.detach(), bias.detach()
    known = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    if known and weight.device.type == "cpu" and weight.dtype == torch.float32:
        product, layout = torch.ops.mkldnn._linear_pointwise, torch.ops.mkldnn._reorder_linear_weight(weight, _ROWS)
        after: tuple[str, list[float], str] = ("gelu", [], "none") if gelu else ("none", [], "")
        return lambda h: product(h, layout, bias, *after)
    return (lambda h: F.gelu(F.linear(h, weight, bias))) if gelu else (lambda h: F.linear(h, weight, bias))
