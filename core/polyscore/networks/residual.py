"""The residual block of diffusion U-Nets, told its condition by scale and shift.

    x + conv(silu((1 + scale) norm(conv(silu(norm(x)))) + shift)),      (scale, shift) linear in the embedding

The last convolution starts at 0: a block begins as its skip.

Sources: Ho et al. 2020, arXiv 2006.11239; Dhariwal and Nichol 2021 (scale and shift), arXiv 2105.05233.
"""

from __future__ import annotations

from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["ResidualBlock", "zeroed"]

Layer = TypeVar("Layer", bound=nn.Module)


def zeroed(layer: Layer) -> Layer:
    """The layer with all its parameters 0."""
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)
    return layer


class ResidualBlock(nn.Module):
    """(B, inputs, H, W) and an embedding (B, embedding) to (B, outputs, H, W).

    Args:
        inputs, outputs: channels, multiples of 8.
        embedding: width of the condition.
    """

    def __init__(self, inputs: int, outputs: int, embedding: int) -> None:
        super().__init__()
        self.norm1 = nn.GroupNorm(8, inputs)
        self.conv1 = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.condition = nn.Linear(embedding, 2 * outputs)
        self.norm2 = nn.GroupNorm(8, outputs)
        self.conv2 = zeroed(nn.Conv2d(outputs, outputs, 3, padding=1))
        self.skip = nn.Conv2d(inputs, outputs, 1) if inputs != outputs else nn.Identity()

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        h = self.conv1(F.silu(self.norm1(x)))
        scale, shift = self.condition(embedding)[:, :, None, None].chunk(2, 1)
        h = self.conv2(F.silu(torch.addcmul(shift, self.norm2(h), 1 + scale)))
        return self.skip(x) + h  # type: ignore[no-any-return]
