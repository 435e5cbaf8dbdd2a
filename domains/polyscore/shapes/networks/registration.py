r"""The network of DiffusionReg: point features, one round of attention between two clouds, and a least-squares motion.

1. Every point of a cloud is described by its neighbours inside a ball: for each, its own position, the offset and the point-pair
   features (10 channels), through 1x1 convolutions, the maximum over neighbours, 1x1 convolutions, and a unit norm (RPM-Net).
2. A transformer reads one cloud and rewrites the other, both ways, and what it says is added to the features (DCP).
3. Features F, G (N, C), (M, C) give soft correspondences c_i = sum_j softmax_j(F G^T / sqrt(C))_ij y_j, and the answer is the
   rigid motion that minimises sum_i |c_i - R x_i - t|^2.

Features see absolute positions, so the clouds' frame matters: sources are centred, targets have their origin near their middle.

Sources: Jiang et al. 2023 (DiffusionReg), arXiv 2310.17359; Wang and Solomon 2019 (Deep Closest Point), arXiv 1905.03304; Yew and
Lee 2020 (RPM-Net), arXiv 2003.13479.
"""

from __future__ import annotations

import math
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from polyscore.errors import InputError
from polyscore.lie import motion, nearest_rotation
from polyscore.shapes.ops import ball_query, point_pairs

__all__ = ["PointFeatures", "RegistrationNetwork"]

_GROUPS = 8


class RegistrationNetwork(nn.Module):
    """(source, its normals, target, its normals) -> the motion (B, 4, 4) that takes the source onto the target.

    Args:
        width: channels of a point's feature.
        heads: of attention.
        hidden: width of the feed-forward layers.
        blocks: encoder and decoder layers.
        neighbours: points looked at inside the ball.
        radius: of the ball, in the clouds' unit.

    Raises:
        InputError: a width that heads and groups (8) do not divide, or sizes below 1.
    """

    def __init__(
        self, width: int = 96, heads: int = 4, hidden: int = 256, *, blocks: int = 1, neighbours: int = 64, radius: float = 0.3
    ) -> None:
        super().__init__()
        if min(width, heads, hidden, blocks, neighbours) < 1 or radius <= 0 or width % heads or width % _GROUPS:
            raise InputError(
                f"RegistrationNetwork: width {width}, heads {heads}, hidden {hidden}, blocks {blocks}, neighbours {neighbours}, "
                f"radius {radius}; expected positive numbers, width a multiple of heads and of {_GROUPS}"
            )
        self.width, self.heads, self.hidden, self.blocks = width, heads, hidden, blocks
        self.neighbours, self.radius = neighbours, radius
        self.embedding = PointFeatures(width, neighbours, radius)
        self.encoder = _Stack(width, heads, hidden, blocks, cross=0)
        self.decoder = _Stack(width, heads, hidden, blocks, cross=1)

    def embed(self, points: Tensor, normals: Tensor) -> Tensor:
        """Features (B, N, width) of a cloud; those of a target that stands still need be computed once."""
        features: Tensor = self.embedding(points, normals)
        return features

    def match(self, source: Tensor, target: Tensor, f: Tensor, g: Tensor) -> Tensor:
        """The motion (B, 4, 4) of clouds (B, N, 3), (B, M, 3) with features (B, N, width), (B, M, width)."""
        f, g = f + self.decoder(f, self.encoder(g)), g + self.decoder(g, self.encoder(f))
        weights = (f @ g.mT / math.sqrt(self.width)).softmax(-1)
        match = weights @ target
        here, there = source.mean(-2, keepdim=True), match.mean(-2, keepdim=True)
        R = nearest_rotation((match - there).mT @ (source - here))
        return motion(R, (there - here @ R.mT)[..., 0, :])

    def forward(self, source: Tensor, source_normals: Tensor, target: Tensor, target_normals: Tensor) -> Tensor:
        """Clouds (B, N, 3) and (B, M, 3) with unit normals of the same shapes; the motion (B, 4, 4) from source to target."""
        return self.match(source, target, self.embed(source, source_normals), self.embed(target, target_normals))


class PointFeatures(nn.Module):
    """Unit features (B, N, width) of points (B, N, 3) with normals (B, N, 3): RPM-Net's early fusion."""

    def __init__(self, width: int, neighbours: int, radius: float) -> None:
        super().__init__()
        self.width, self.neighbours, self.radius = width, neighbours, radius
        self.before = _layers(nn.Conv2d, (10, width, width, 2 * width), normalised_last=True)
        self.after = _layers(nn.Conv1d, (2 * width, 2 * width, width, width), normalised_last=False)

    def forward(self, points: Tensor, normals: Tensor) -> Tensor:
        offset, pairs = point_pairs(points, normals, ball_query(points, self.neighbours, self.radius))
        own = points[..., None, :].expand_as(offset)
        x = self.before(torch.cat([own, offset, pairs], -1).permute(0, 3, 2, 1)).amax(2)
        return functional.normalize(self.after(x).mT, dim=-1)


def _layers(convolution: type[nn.Conv1d | nn.Conv2d], widths: tuple[int, ...], *, normalised_last: bool) -> nn.Sequential:
    """1x1 convolutions, each followed by group norm and ReLU (the last one where told so)."""
    layers: list[nn.Module] = []
    for before, after in pairwise(widths):
        layers += [convolution(before, after, 1), nn.GroupNorm(_GROUPS, after), nn.ReLU()]
    return nn.Sequential(*(layers if normalised_last else layers[:-2]))


class _Norm(nn.Module):
    """a (x - mean) / (std + 1e-6) + b with the unbiased std: not `nn.LayerNorm`, which has sqrt(variance + eps)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.scale, self.shift = nn.Parameter(torch.ones(width)), nn.Parameter(torch.zeros(width))

    def forward(self, x: Tensor) -> Tensor:
        return self.scale * (x - x.mean(-1, keepdim=True)) / (x.std(-1, keepdim=True) + 1e-6) + self.shift


class _Attention(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query, self.key, self.value, self.out = (nn.Linear(width, width) for _ in range(4))

    def forward(self, x: Tensor, memory: Tensor) -> Tensor:
        q, k, v = (
            layer(part).unflatten(-1, (self.heads, -1)).transpose(-3, -2)
            for layer, part in ((self.query, x), (self.key, memory), (self.value, memory))
        )
        mixed = functional.scaled_dot_product_attention(q, k, v)
        out: Tensor = self.out(mixed.transpose(-3, -2).flatten(-2))
        return out


class _Block(nn.Module):
    """Pre-norm self-attention, `cross` attentions to a memory, feed-forward."""

    def __init__(self, width: int, heads: int, hidden: int, cross: int) -> None:
        super().__init__()
        self.attention = _Attention(width, heads)
        self.cross = nn.ModuleList([_Attention(width, heads) for _ in range(cross)])
        self.feed = nn.Sequential(nn.Linear(width, hidden), nn.ReLU(), nn.Linear(hidden, width))
        self.norms = nn.ModuleList([_Norm(width) for _ in range(2 + cross)])

    def forward(self, x: Tensor, memory: Tensor | None) -> Tensor:
        first, *middle, last = self.norms
        y = first(x)
        x = x + self.attention(y, y)
        for attention, norm in zip(self.cross, middle, strict=True):
            x = x + attention(norm(x), memory)
        out: Tensor = x + self.feed(last(x))
        return out


class _Stack(nn.Module):
    def __init__(self, width: int, heads: int, hidden: int, blocks: int, cross: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList([_Block(width, heads, hidden, cross) for _ in range(blocks)])
        self.norm = _Norm(width)

    def forward(self, x: Tensor, memory: Tensor | None = None) -> Tensor:
        for layer in self.layers:
            x = layer(x, memory)
        out: Tensor = self.norm(x)
        return out
