"""Layers over clips (B, T, H, W, C) with the channels last, in space and in time by turns.

Convolution over space treats frames as a batch, convolution over time treats the pixels of a frame as the rows of a picture: both
are two-dimensional convolutions of the same memory, several times as fast as a three-dimensional one. Everything in time begins
as the identity and is left out for a clip of one frame, so pictures and clips train together (Blattmann et al. 2023, arXiv
2311.15127).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["Block", "FrameNorm", "SpaceConv", "TimeAttention", "TimeConv", "from_patches", "to_patches", "zero"]


def zero(layer: nn.Module) -> nn.Module:
    """The same layer with all parameters 0."""
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)
    return layer


def to_patches(x: Tensor, patch: int) -> Tensor:
    """(B, C, T, H, W) as (B, T, H / p, W / p, C p p)."""
    batch, channels, frames, height, width = x.shape
    x = x.reshape(batch, channels, frames, height // patch, patch, width // patch, patch)
    return x.permute(0, 2, 3, 5, 1, 4, 6).reshape(batch, frames, height // patch, width // patch, channels * patch**2)


def from_patches(x: Tensor, patch: int) -> Tensor:
    """The inverse of `to_patches`."""
    batch, frames, height, width, channels = x.shape
    x = x.reshape(batch, frames, height, width, channels // patch**2, patch, patch).permute(0, 4, 1, 2, 5, 3, 6)
    return x.reshape(batch, channels // patch**2, frames, height * patch, width * patch)


class SpaceConv(nn.Conv2d):
    """A k x k convolution of every frame."""

    def __init__(self, inputs: int, outputs: int, size: int = 3, *, stride: int = 1) -> None:
        super().__init__(inputs, outputs, size, stride=stride, padding=size // 2)

    def forward(self, x: Tensor) -> Tensor:
        out = super().forward(x.flatten(0, 1).permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        return out.reshape(*x.shape[:2], *out.shape[1:])


class FrameNorm(nn.GroupNorm):
    """Mean 0 and variance 1 over a frame and its channels, then a gain and a shift a channel: differences of places are kept."""

    def __init__(self, width: int) -> None:
        super().__init__(1, width)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.flatten(0, 1).permute(0, 3, 1, 2)).permute(0, 2, 3, 1).reshape(x.shape)


class TimeConv(nn.Conv2d):
    """A convolution over `size` neighbouring frames."""

    def __init__(self, width: int, size: int = 3) -> None:
        super().__init__(width, width, (size, 1), padding=(size // 2, 0))

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.flatten(2, 3).permute(0, 3, 1, 2)).permute(0, 2, 3, 1).reshape(x.shape)


class TimeAttention(nn.Module):
    """Attention between the frames at every place, with a learned bias for every difference of frames up to `reach`.

    Differences beyond count as `reach`, so that longer clips than those of training can be made.
    """

    def __init__(self, width: int, heads: int = 4, *, reach: int = 16) -> None:
        super().__init__()
        self.heads, self.reach = heads, reach
        self.qkv = nn.Linear(width, 3 * width)
        self.out = zero(nn.Linear(width, width))
        self.bias = nn.Parameter(torch.zeros(heads, 2 * reach + 1))

    def forward(self, x: Tensor) -> Tensor:
        batch, frames, height, breadth, width = x.shape
        qkv = self.qkv(x).view(batch, frames, height * breadth, 3, self.heads, width // self.heads)
        q, k, v = qkv.permute(3, 0, 2, 4, 1, 5).flatten(1, 2)  # (B H W, heads, T, c)
        h = F.scaled_dot_product_attention(q, k, v, attn_mask=self.between(frames, frames).to(q.dtype))
        h = h.view(batch, height * breadth, self.heads, frames, width // self.heads).permute(0, 3, 1, 2, 4)
        return self.out(h.reshape(x.shape))  # type: ignore[no-any-return]

    def between(self, queries: int, keys: int) -> Tensor:
        """The bias (heads, queries, keys) of frames 0, 1, ... to frames 0, 1, ..."""
        apart = torch.arange(keys, device=self.bias.device) - torch.arange(queries, device=self.bias.device)[:, None]
        return self.bias[:, apart.clamp(-self.reach, self.reach) + self.reach]


class Block(nn.Module):
    """Space: x + conv(silu(ada(norm(conv(silu(norm(x))))))); then time: + conv(silu(norm(x))), + attention(norm(x)).

    ada(h) = (1 + scale) h + shift, linear in the embedding (Dhariwal and Nichol 2021, arXiv 2105.05233).
    """

    def __init__(self, inputs: int, outputs: int, embedding: int, *, heads: int = 0) -> None:
        super().__init__()
        self.norm1, self.norm2, self.norm3 = FrameNorm(inputs), FrameNorm(outputs), FrameNorm(outputs)
        self.conv1, self.conv2 = SpaceConv(inputs, outputs), zero(SpaceConv(outputs, outputs))
        self.condition = nn.Linear(embedding, 2 * outputs)
        self.skip = nn.Linear(inputs, outputs) if inputs != outputs else nn.Identity()
        self.time = zero(TimeConv(outputs))
        self.norm4 = FrameNorm(outputs) if heads else None
        self.attention = TimeAttention(outputs, heads) if heads else None

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        h = self.conv1(F.silu(self.norm1(x)))
        scale, shift = self.condition(embedding)[:, None, None, None].chunk(2, -1)
        h = self.conv2(F.silu(torch.addcmul(shift, self.norm2(h), 1 + scale)))
        x = self.skip(x) + h
        if x.shape[1] == 1:
            return x
        x = x + self.time(F.silu(self.norm3(x)))
        return x if self.attention is None or self.norm4 is None else x + self.attention(self.norm4(x))
