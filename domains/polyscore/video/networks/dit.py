"""A diffusion transformer of clips: attention within frames and between frames by turns, with adaLN-Zero.

A clip becomes T (H / p) (W / p) tokens of p x p pixels. A block is x + g1 attention(modulate(norm(x), s1, b1)), then x + g2
mlp(modulate(norm(x), s2, b2)), modulate(h, s, b) = (1 + s) h + b with all six vectors linear in the embedding and 0 at the start
(Peebles and Xie 2023, arXiv 2212.09748). Even blocks attend within a frame, odd blocks between the frames at one place (Latte's
interleaved variant: Ma et al. 2024, arXiv 2401.03048), with a learned bias for the difference of frames.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from polyscore.errors import InputError
from polyscore.state import NONE, Given
from polyscore.video.networks.blocks import TimeAttention, from_patches, to_patches, zero
from polyscore.video.networks.told import Told, picture_channels

__all__ = ["SpaceAttention", "VideoDiT"]


class SpaceAttention(nn.Module):
    """Attention between the places of every frame, x (B, T, H, W, C)."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        batch, frames, height, breadth, width = x.shape
        qkv = self.qkv(x).view(batch * frames, height * breadth, 3, self.heads, width // self.heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)
        h = F.scaled_dot_product_attention(q, k, v).transpose(1, 2)
        return self.out(h.reshape(x.shape))  # type: ignore[no-any-return]


class _Block(nn.Module):
    def __init__(self, width: int, attention: nn.Module, expansion: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width, elementwise_affine=False)
        self.norm2 = nn.LayerNorm(width, elementwise_affine=False)
        self.attention = attention
        self.mlp = nn.Sequential(nn.Linear(width, expansion * width), nn.GELU("tanh"), nn.Linear(expansion * width, width))
        self.condition = zero(nn.Linear(width, 6 * width))

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        s1, b1, g1, s2, b2, g2 = self.condition(embedding)[:, None, None, None].chunk(6, -1)
        x = torch.addcmul(x, g1, self.attention(torch.addcmul(b1, self.norm1(x), 1 + s1)))
        return torch.addcmul(x, g2, self.mlp(torch.addcmul(b2, self.norm2(x), 1 + s2)))


class VideoDiT(nn.Module):
    """`network(x, time, given)` as of `VideoUNet`; the sides of a frame must be multiples of the patch.

    A clip of one frame is a picture: the blocks between frames are left out. `width` 384, `depth` 12, `heads` 6 and `patch` 2 are
    Latte-S's sizes (about 33 M parameters).

    Args:
        channels: of the clip.
        picture: channels of the picture it is conditioned on; 0 for none.
        patch: side p of a token.
        width: of the tokens; a multiple of 4 and of `heads`.
        depth: number of blocks, half of them within frames and half between.
        heads: of the attention.
        expansion: hidden width of the MLPs, as a multiple of `width`.
        cues: names of scalar conditions.

    Raises:
        InputError: a width that does not divide, or frames whose sides the patch does not divide.
    """

    def __init__(
        self,
        channels: int = 3,
        picture: int = 4,
        patch: int = 2,
        *,
        width: int = 96,
        depth: int = 6,
        heads: int = 4,
        expansion: int = 4,
        cues: tuple[str, ...] = ("strength",),
    ) -> None:
        super().__init__()
        if width % heads or width % 4:
            raise InputError(f"VideoDiT: width {width}, expected a multiple of 4 and of heads = {heads}")
        self.channels, self.picture, self.patch, self.width = channels, picture, patch, width
        self.depth, self.heads, self.expansion, self.cues = depth, heads, expansion, tuple(cues)
        self.told = Told(width, self.cues)
        self.first = nn.Linear((channels + picture) * patch**2, width)
        kinds = [SpaceAttention if k % 2 == 0 else TimeAttention for k in range(depth)]
        self.blocks = nn.ModuleList(_Block(width, kind(width, heads), expansion) for kind in kinds)
        for part in self.blocks.modules():  # adaLN-Zero makes a block the identity; its attention need not begin at 0 as well
            if isinstance(part, TimeAttention) and isinstance(part.out, nn.Linear):
                part.out.reset_parameters()
        self.last_norm = nn.LayerNorm(width, elementwise_affine=False)
        self.last_condition = zero(nn.Linear(width, 2 * width))
        self.last = zero(nn.Linear(width, channels * patch**2))

    def forward(self, x: Tensor, time: Tensor, given: Given = NONE) -> Tensor:
        p = self.patch
        if x.ndim != 5 or x.shape[1] != self.channels or x.shape[3] % p or x.shape[4] % p:
            raise InputError(f"VideoDiT: clip {tuple(x.shape)}, expected (B, {self.channels}, T, H, W), sides divisible by {p}")
        embedding = F.silu(self.told(time, given.cond))
        picture = picture_channels(given.cond, self.picture, x)
        tokens = self.first(to_patches(x if picture is None else torch.cat([x, picture], 1), p))
        tokens = tokens + _positions(tokens)
        for number, block in enumerate(self.blocks):
            if number % 2 == 0 or x.shape[2] > 1:
                tokens = block(tokens, embedding)
        scale, shift = self.last_condition(embedding)[:, None, None, None].chunk(2, -1)
        return from_patches(self.last(torch.addcmul(shift, self.last_norm(tokens), 1 + scale)), p)


def _positions(tokens: Tensor) -> Tensor:
    """Sine-cosine positions (H, W, width): a quarter of the width each for sin and cos of row and column."""
    height, breadth, width = tokens.shape[2:]
    frequencies = 1e4 ** -(torch.arange(width // 4, dtype=torch.float64) / (width // 4))
    rows, columns = torch.meshgrid(torch.arange(height).double(), torch.arange(breadth).double(), indexing="ij")
    angles = [axis[..., None] * frequencies for axis in (rows, columns)]
    return torch.cat([f(angle) for angle in angles for f in (torch.sin, torch.cos)], -1).to(tokens)
