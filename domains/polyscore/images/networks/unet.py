"""A small U-Net with residual blocks, attention at the coarsest level, and class conditioning.

The layout is that of Ho et al. 2020 (arXiv 2006.11239) with the scale-shift conditioning of Dhariwal and Nichol 2021 (arXiv
2105.05233): a block computes x + conv(silu((1 + scale) norm(conv(silu(norm(x)))) + shift)) with (scale, shift) linear in the
embedding. The last convolution of every block and of the network starts at 0: a block begins as its skip, the network as the
constant 0.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from polyscore.errors import InputError
from polyscore.images.networks.embedding import TimeAndClass
from polyscore.networks import ResidualBlock, zeroed
from polyscore.state import NONE, Given

__all__ = ["UNet"]


class _Attention(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.GroupNorm(8, width)
        self.qkv = nn.Conv2d(width, 3 * width, 1)
        self.out = zeroed(nn.Conv2d(width, width, 1))

    def forward(self, x: Tensor) -> Tensor:
        batch, width, height, breadth = x.shape
        qkv = self.qkv(self.norm(x)).view(batch, 3, self.heads, width // self.heads, height * breadth).transpose(-1, -2)
        h = F.scaled_dot_product_attention(qkv[:, 0], qkv[:, 1], qkv[:, 2])
        return x + self.out(h.transpose(-1, -2).reshape(batch, width, height, breadth))  # type: ignore[no-any-return]


class UNet(nn.Module):
    """`network(x, time, given)`: x (B, channels, H, W), time (B,), `given.cond` labels (B,) or None; the output is shaped like x.

    Args:
        channels: of the image.
        width: channels of the finest level; a multiple of 8.
        multipliers: width of each level as a multiple of `width`; every level after the first halves the image.
        blocks: residual blocks a level on the way down (one more on the way up).
        classes: number of classes; 0 for none.
        heads: of the attention at the coarsest level; 0 leaves it out.

    Raises:
        InputError: a width that is no multiple of 8 and of `heads`, or an image whose sides the levels do not divide.
    """

    def __init__(
        self,
        channels: int = 1,
        width: int = 32,
        multipliers: Sequence[int] = (1, 2),
        *,
        blocks: int = 1,
        classes: int = 0,
        heads: int = 4,
    ) -> None:
        super().__init__()
        if width < 8 or width % 8 or (heads and width % heads):
            raise InputError(f"UNet: width {width}, expected a multiple of 8 and of heads = {heads}")
        self.channels, self.width, self.multipliers = channels, width, tuple(multipliers)
        self.blocks, self.classes, self.heads = blocks, classes, heads
        size = 4 * width
        self.embedding = TimeAndClass(size, classes)
        self.first = nn.Conv2d(channels, width, 3, padding=1)
        widths = [width * m for m in self.multipliers]
        self.down, self.up = nn.ModuleList(), nn.ModuleList()
        stack, now = [width], width
        for level, level_width in enumerate(widths):
            if level:
                self.down.append(nn.Conv2d(now, now, 3, stride=2, padding=1))
                stack.append(now)
            for _ in range(blocks):
                self.down.append(ResidualBlock(now, level_width, size))
                now = level_width
                stack.append(now)
        self.middle1 = ResidualBlock(now, now, size)
        self.attention = _Attention(now, heads) if heads else nn.Identity()
        self.middle2 = ResidualBlock(now, now, size)
        for level, level_width in reversed(list(enumerate(widths))):
            for _ in range(blocks + 1):
                self.up.append(ResidualBlock(now + stack.pop(), level_width, size))
                now = level_width
            if level:
                self.up.append(nn.Conv2d(now, now, 3, padding=1))
        self.last_norm = nn.GroupNorm(8, now)
        self.last = zeroed(nn.Conv2d(now, channels, 3, padding=1))

    def forward(self, x: Tensor, time: Tensor, given: Given = NONE) -> Tensor:
        least = 2 ** (len(self.multipliers) - 1)
        if x.ndim != 4 or x.shape[1] != self.channels or x.shape[2] % least or x.shape[3] % least:
            raise InputError(f"UNet: image {tuple(x.shape)}, expected (B, {self.channels}, H, W) with sides divisible by {least}")
        embedding = F.silu(self.embedding(time, given.cond))
        h = self.first(x)
        stack = [h]
        for layer in self.down:
            h = layer(h, embedding) if isinstance(layer, ResidualBlock) else layer(h)
            stack.append(h)
        h = self.middle2(self.attention(self.middle1(h, embedding)), embedding)
        for layer in self.up:
            h = layer(torch.cat([h, stack.pop()], 1), embedding) if isinstance(layer, ResidualBlock) else layer(_double(h))
        return self.last(F.silu(self.last_norm(h)))  # type: ignore[no-any-return]


def _double(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2.0, mode="nearest")
