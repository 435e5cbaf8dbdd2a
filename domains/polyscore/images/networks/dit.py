"""A small diffusion transformer with adaLN-Zero (Peebles and Xie 2023, arXiv 2212.09748).

An image becomes (H / p) (W / p) tokens of p x p pixels, with sine-cosine positions of two axes. A block is x + g1
attention(modulate(norm(x), s1, b1)), then x + g2 mlp(modulate(norm(x), s2, b2)), modulate(h, s, b) = (1 + s) h + b, with all six
vectors linear in the embedding and 0 at the start, so the network begins as the constant 0.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from polyscore.errors import InputError
from polyscore.images.networks.embedding import TimeAndClass
from polyscore.networks import zeroed
from polyscore.state import NONE, Given

__all__ = ["DiT"]


class _Block(nn.Module):
    def __init__(self, width: int, heads: int, expansion: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1 = nn.LayerNorm(width, elementwise_affine=False)
        self.norm2 = nn.LayerNorm(width, elementwise_affine=False)
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.mlp = nn.Sequential(nn.Linear(width, expansion * width), nn.GELU("tanh"), nn.Linear(expansion * width, width))
        self.condition = zeroed(nn.Linear(width, 6 * width))

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        s1, b1, g1, s2, b2, g2 = self.condition(embedding)[:, None].chunk(6, -1)
        batch, tokens, width = x.shape
        qkv = self.qkv(torch.addcmul(b1, self.norm1(x), 1 + s1))
        q, k, v = qkv.view(batch, tokens, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4)
        h = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(batch, tokens, width)
        x = torch.addcmul(x, g1, self.out(h))
        return torch.addcmul(x, g2, self.mlp(torch.addcmul(b2, self.norm2(x), 1 + s2)))


def _positions(height: int, breadth: int, width: int, like: Tensor) -> Tensor:
    """Sine-cosine positions (height * breadth, width): a quarter of the width each for sin and cos of row and column."""
    quarter = width // 4
    frequencies = 1e4 ** -(torch.arange(quarter, dtype=torch.float64) / quarter)
    rows, columns = torch.meshgrid(torch.arange(height).double(), torch.arange(breadth).double(), indexing="ij")
    angles = [axis.reshape(-1, 1) * frequencies for axis in (rows, columns)]
    return torch.cat([f(angle) for angle in angles for f in (torch.sin, torch.cos)], 1).to(like)


class DiT(nn.Module):
    """`network(x, time, given)`: x (B, channels, H, W), time (B,), `given.cond` labels (B,) or None; the output is shaped like x.

    Args:
        channels: of the image.
        patch: side p of a token.
        width: of the tokens; a multiple of 4 and of `heads`.
        depth: number of blocks.
        heads: of the attention.
        expansion: hidden width of the MLPs, as a multiple of `width`.
        classes: number of classes; 0 for none.

    Raises:
        InputError: a width that does not divide, or an image whose sides the patch does not divide.
    """

    def __init__(
        self,
        channels: int = 1,
        patch: int = 2,
        width: int = 96,
        *,
        depth: int = 4,
        heads: int = 4,
        expansion: int = 4,
        classes: int = 0,
    ) -> None:
        super().__init__()
        if width % heads or width % 4:
            raise InputError(f"DiT: width {width}, expected a multiple of 4 and of heads = {heads}")
        self.channels, self.patch, self.width = channels, patch, width
        self.depth, self.heads, self.expansion, self.classes = depth, heads, expansion, classes
        self.embedding = TimeAndClass(width, classes)
        self.first = nn.Linear(channels * patch**2, width)
        self.blocks = nn.ModuleList(_Block(width, heads, expansion) for _ in range(depth))
        self.last_norm = nn.LayerNorm(width, elementwise_affine=False)
        self.last_condition = zeroed(nn.Linear(width, 2 * width))
        self.last = zeroed(nn.Linear(width, channels * patch**2))

    def forward(self, x: Tensor, time: Tensor, given: Given = NONE) -> Tensor:
        p = self.patch
        if x.ndim != 4 or x.shape[1] != self.channels or x.shape[2] % p or x.shape[3] % p:
            raise InputError(f"DiT: image {tuple(x.shape)}, expected (B, {self.channels}, H, W) with sides divisible by {p}")
        embedding = F.silu(self.embedding(time, given.cond))
        tokens = self.first(F.unfold(x, p, stride=p).mT)
        tokens = tokens + _positions(x.shape[2] // p, x.shape[3] // p, self.width, tokens)
        for block in self.blocks:
            tokens = block(tokens, embedding)
        scale, shift = self.last_condition(embedding)[:, None].chunk(2, -1)
        out = self.last(torch.addcmul(shift, self.last_norm(tokens), 1 + scale))
        return F.fold(out.mT, x.shape[2:], p, stride=p)
