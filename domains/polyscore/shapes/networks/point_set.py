r"""A denoiser of coloured clouds as sets: points read and write a few latent vectors, through which they see each other.

A token is a point; in each block the latents gather from the tokens by attention, think among themselves, and the tokens read
them:

    z <- z + attention(z, x),   z <- z + attention(z, z),   z <- z + feed(z),   x <- x + attention(x, z),   x <- x + feed(x).

The cost is linear in the number of points, the answer equivariant under their order, and since a softmax is a mean, clouds of
more points than in training see the same latents. Times of place and colour and the labels scale and shift every normalised
token.

Sources: Lee et al. 2019 (Set Transformer: inducing points), arXiv 1810.00825; Jabri et al. 2023 (RIN), arXiv 2212.11972; Nichol
et al. 2022 (Point-E: a transformer on points), arXiv 2212.08751.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from polyscore.errors import InputError
from polyscore.shapes.networks.attention import Attention, time_waves

__all__ = ["PointSetNetwork"]

_OCTAVES = 4


class PointSetNetwork(nn.Module):
    """(places (B, N, 3), colours (B, N, 3), their times (B,), (B,), labels (B, L)) -> (B, N, 6).

    Args:
        labels: the number of classes of each label; one more means "not said".
        width: of tokens and latents.
        heads: of attention.
        blocks: of reading and writing.
        latents: how many.

    Raises:
        InputError: sizes below 1, or a width that the heads do not divide.
    """

    def __init__(
        self, labels: tuple[int, ...] = (12, 8), width: int = 96, *, heads: int = 4, blocks: int = 4, latents: int = 32
    ) -> None:
        super().__init__()
        if min(width, heads, blocks, latents, *labels, 1) < 1 or width % heads or width % 2:
            raise InputError(
                f"PointSetNetwork: labels {labels}, width {width}, heads {heads}, blocks {blocks}, latents {latents}; expected "
                "positive numbers, width even and a multiple of heads"
            )
        self.labels, self.width, self.heads, self.blocks, self.latents = tuple(labels), width, heads, blocks, latents
        self.embed = nn.Linear(6 * _OCTAVES + 6, width)
        self.start = nn.Parameter(torch.randn(latents, width) / math.sqrt(width))
        self.words = nn.ModuleList([nn.Embedding(count + 1, width) for count in labels])
        self.times = nn.Sequential(nn.Linear(2 * width, width), nn.SiLU(), nn.Linear(width, width))
        self.layers = nn.ModuleList([_Block(width, heads) for _ in range(blocks)])
        self.norm = nn.LayerNorm(width, elementwise_affine=False)
        self.modulate = nn.Linear(width, 2 * width)
        self.out = nn.Linear(width, 6)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(self, xyz: Tensor, rgb: Tensor, t_xyz: Tensor, t_rgb: Tensor, labels: Tensor) -> Tensor:
        waves = xyz[..., None] * (2.0 ** torch.arange(_OCTAVES, device=xyz.device, dtype=xyz.dtype))
        token = self.embed(torch.cat([xyz, rgb, waves.sin().flatten(-2), waves.cos().flatten(-2)], -1))
        time = self.times(torch.cat([time_waves(t.to(xyz), self.width) for t in (t_xyz, t_rgb)], -1))
        context = time + sum(table(labels[:, k]) for k, table in enumerate(self.words))
        z = self.start + context[:, None]
        for layer in self.layers:
            token, z = layer(token, z, functional.silu(context))
        scale, shift = self.modulate(functional.silu(context))[:, None].chunk(2, -1)
        out: Tensor = self.out(self.norm(token) * (1 + scale) + shift)
        return out


class _Block(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.gather, self.think, self.read = (Attention(width, heads) for _ in range(3))
        self.ponder, self.feed = (
            nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width)) for _ in range(2)
        )
        self.norms = nn.ModuleList([nn.LayerNorm(width) for _ in range(4)])
        self.plain = nn.LayerNorm(width, elementwise_affine=False)
        self.modulate = nn.Linear(width, 4 * width)

    def forward(self, x: Tensor, z: Tensor, context: Tensor) -> tuple[Tensor, Tensor]:
        scale, shift, scale2, shift2 = self.modulate(context)[:, None].chunk(4, -1)
        seen = self.plain(x) * (1 + scale) + shift
        z = z + self.gather(self.norms[0](z), seen)
        thought = self.norms[1](z)
        z = z + self.think(thought, thought)
        z = z + self.ponder(self.norms[2](z))
        x = x + self.read(seen, self.norms[3](z))
        return x + self.feed(self.plain(x) * (1 + scale2) + shift2), z
