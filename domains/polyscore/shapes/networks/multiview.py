r"""A U-Net that denoises several views of one object together, told the words and the cameras.

A view is a picture of C channels; V of them make a state (B, V, C, H, W). Convolutions run on every view alone, in patches of 2
x 2 pixels; the attention layers run over the tokens of all V views of an object at once, which is what makes the views agree
(Shi et al. 2023, MVDream, arXiv 2308.16512). A camera enters twice: as an embedding of its angles, and as the orthographic ray
of every token, (q, d) with d the viewing direction and q the ray's nearest point to the object's middle (Gao et al. 2024, CAT3D,
arXiv 2405.10314, in the coordinates of parallel rays). Blocks are those of Ho et al. 2020 with the scale-shift conditioning of
Dhariwal and Nichol 2021 (arXiv 2105.05233): x + conv(silu((1 + scale) norm(conv(silu(norm(x)))) + shift)).

`given.cond` is a mapping with "words" (B, 3), the numbers of kind, colour and finish (a negative one: not said), and "cameras"
(B, V, 2), azimuth and elevation in degrees.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from polyscore.errors import InputError
from polyscore.networks import ResidualBlock, zeroed
from polyscore.shapes.render.cameras import Orthographic
from polyscore.state import NONE, Given

__all__ = ["MultiViewUNet"]

_HARMONICS = 4


class _Together(nn.Module):
    """Attention over the tokens of all views of an object."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.GroupNorm(8, width)
        self.place = nn.Linear(12, width)
        self.qkv = nn.Linear(width, 3 * width)
        self.out = zeroed(nn.Linear(width, width))

    def forward(self, x: Tensor, rays: Tensor, views: int) -> Tensor:
        total, width, height, breadth = x.shape
        tokens = self.norm(x).flatten(2).mT + self.place(rays)
        tokens = tokens.reshape(total // views, views * height * breadth, width)
        qkv = self.qkv(tokens).view(*tokens.shape[:2], 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4)
        h = F.scaled_dot_product_attention(qkv[0], qkv[1], qkv[2]).transpose(1, 2).reshape(total, height * breadth, width)
        more: Tensor = self.out(h)
        return x + more.mT.reshape(total, width, height, breadth)


class _Level(nn.Module):
    """A block, and attention where the level has it."""

    def __init__(self, inputs: int, outputs: int, embedding: int, heads: int) -> None:
        super().__init__()
        self.block = ResidualBlock(inputs, outputs, embedding)
        self.attention = _Together(outputs, heads) if heads else None

    def forward(self, x: Tensor, embedding: Tensor, rays: Tensor, views: int) -> Tensor:
        x = self.block(x, embedding)
        return x if self.attention is None else self.attention(x, rays, views)


class MultiViewUNet(nn.Module):
    """`network(x, time, given)`: x (B, V, channels, H, W), time (B,), `given.cond` as above; the output is shaped like x.

    Args:
        channels: of a view.
        widths: channels of each level; every level after the first halves the picture. Multiples of 8 and of `heads`.
        words: how many kinds, colours and finishes there are.
        heads: of the attention, on the coarsest level.
        embedding: width of what conditions the blocks.
        extent: what a picture's height covers in space.

    Raises:
        InputError: widths that do not divide, a state of another shape, or conditions that are missing.
    """

    def __init__(
        self,
        channels: int = 7,
        widths: Sequence[int] = (64, 96, 128),
        words: Sequence[int] = (12, 8, 3),
        *,
        heads: int = 4,
        embedding: int = 192,
        extent: float = 1.5,
    ) -> None:
        super().__init__()
        if any(width % 8 or width % heads for width in widths):
            raise InputError(f"MultiViewUNet: widths {tuple(widths)}, expected multiples of 8 and of heads = {heads}")
        self.channels, self.widths, self.words = channels, tuple(widths), tuple(words)
        self.heads, self.embedding, self.extent = heads, embedding, extent
        self.time = nn.Sequential(nn.Linear(64, embedding), nn.SiLU(), nn.Linear(embedding, embedding))
        self.angles = nn.Linear(2 * _HARMONICS + 2, embedding)
        self.tables = nn.ModuleList(nn.Embedding(count + 1, embedding) for count in self.words)
        self.first = nn.Conv2d(4 * channels + 6, self.widths[0], 3, padding=1)
        now, coarsest = self.widths[0], len(self.widths) - 1
        self.down, self.shrink = nn.ModuleList(), nn.ModuleList()
        for level, width in enumerate(self.widths):
            self.shrink.append(nn.Conv2d(now, now, 3, stride=2, padding=1) if level else nn.Identity())
            self.down.append(_Level(now, width, embedding, heads if level == coarsest else 0))
            now = width
        self.middle = _Level(now, now, embedding, heads)
        self.up, self.grow = nn.ModuleList(), nn.ModuleList()
        for level in reversed(range(len(self.widths))):
            width = self.widths[level]
            self.up.append(_Level(now + self.widths[level], width, embedding, heads if level == coarsest else 0))
            now = width
            self.grow.append(nn.Conv2d(now, now, 3, padding=1) if level else nn.Identity())
        self.finish = ResidualBlock(now + self.widths[0], self.widths[0], embedding)
        self.last_norm = nn.GroupNorm(8, self.widths[0])
        self.last = zeroed(nn.Conv2d(self.widths[0], 4 * channels, 3, padding=1))

    def forward(self, x: Tensor, time: Tensor, given: Given = NONE) -> Tensor:
        words, cameras = self._conditions(x, given.cond)
        batch, views = cameras.shape[:2]
        flat = F.pixel_unshuffle(x.flatten(0, 1), 2).contiguous(memory_format=torch.channels_last)
        height, breadth = flat.shape[-2:]
        rays = self._rays(cameras, height, breadth).to(flat)
        picture = torch.cat([flat, rays.mT.reshape(len(flat), 6, height, breadth)], 1)
        shrunk = len(self.widths) - 1
        places = _waves(self._rays(cameras, height >> shrunk, breadth >> shrunk)).to(flat)
        embedding = F.silu(self._embed(time, words, cameras))
        h = self.first(picture)
        start, stack = h, []
        for shrink, down in zip(self.shrink, self.down, strict=True):
            h = down(shrink(h), embedding, places, views)
            stack.append(h)
        h = self.middle(h, embedding, places, views)
        for level, up, grow in zip(reversed(range(len(self.widths))), self.up, self.grow, strict=True):
            h = up(torch.cat([h, stack.pop()], 1), embedding, places, views)
            h = grow(F.interpolate(h, scale_factor=2.0, mode="nearest") if level else h)
        h = self.finish(torch.cat([h, start], 1), embedding)
        out = F.pixel_shuffle(self.last(F.silu(self.last_norm(h))), 2)
        return out.reshape(batch, views, *out.shape[1:])

    def _embed(self, time: Tensor, words: Tensor, cameras: Tensor) -> Tensor:
        steps = torch.arange(32, device=time.device, dtype=torch.float64) / 31
        wave = time.double()[:, None] * 1000 * torch.exp(-math.log(1e4) * steps)
        dtype = next(self.parameters()).dtype
        total = self.time(torch.cat([wave.cos(), wave.sin()], 1).to(dtype))
        for column, table in zip(words.unbind(1), self.tables, strict=True):
            silent = table.num_embeddings - 1  # type: ignore[operator]
            total = total + table(torch.where(column < 0, silent, column))
        azimuth, elevation = torch.deg2rad(cameras.double()).unbind(-1)
        turns = azimuth[..., None] * torch.arange(1, _HARMONICS + 1, device=azimuth.device)
        angles = torch.cat([turns.cos(), turns.sin(), elevation.sin()[..., None], elevation.cos()[..., None]], -1)
        each: Tensor = total[:, None] + self.angles(angles.to(dtype))
        return each.flatten(0, 1)

    def _rays(self, cameras: Tensor, height: int, breadth: int) -> Tensor:
        """(q, d) of the tokens, (B V, height * breadth, 6)."""
        azimuth, elevation = cameras.flatten(0, 1).unbind(-1)
        rays = Orthographic.orbit(azimuth, elevation, 1.0, height=self.extent).rays((height, breadth))
        along = (rays.origins * rays.directions).sum(-1, keepdim=True)
        return torch.cat([rays.origins - along * rays.directions, rays.directions], -1).flatten(1, 2)

    def _conditions(self, x: Tensor, cond: Any) -> tuple[Tensor, Tensor]:
        if not isinstance(cond, dict) or not {"words", "cameras"} <= set(cond):
            raise InputError(f"MultiViewUNet: given.cond is {type(cond).__name__}, expected a mapping with words and cameras")
        words, cameras = cond["words"], cond["cameras"]
        least = 2 ** len(self.widths)
        if x.ndim != 5 or x.shape[2] != self.channels or x.shape[3] % least or x.shape[4] % least:
            raise InputError(
                f"MultiViewUNet: state {tuple(x.shape)}, expected (B, V, {self.channels}, H, W) with sides divisible by {least}"
            )
        if words.shape != (len(x), len(self.words)) or cameras.shape != (*x.shape[:2], 2):
            raise InputError(
                f"MultiViewUNet: words {tuple(words.shape)} and cameras {tuple(cameras.shape)} for {len(x)} objects of "
                f"{x.shape[1]} views; expected ({len(x)}, {len(self.words)}) and ({len(x)}, {x.shape[1]}, 2)"
            )
        return words.to(x.device), cameras.to(x.device)


def _waves(rays: Tensor) -> Tensor:
    """Rays and their double frequency: (..., 12)."""
    return torch.cat([torch.sin(math.pi * rays), torch.cos(math.pi * rays)], -1)
