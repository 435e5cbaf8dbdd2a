r"""A network that matches the points of two clouds by what no rigid motion changes, and the nearer they lie the more by place.

1. An anchor is described by its nearest neighbours: point-pair features (n.d/|d|, m.d/|d|, n.m, |d|) through a small network, the
   maximum and the mean over neighbours.
2. Anchors of one cloud attend to each other; the logits have a bias that is linear in e_ij, the cosines of the pair times radial
   functions of its distance, and what is read holds the mean of e_ij beside the mean of the values. Then they attend to the other
   cloud's. Nothing here changes under a motion of either cloud.
3. With the features f_i, g_j and the source moved by the present state H_t, the logit of a match is

       l_ij = a(t) f_i . g_j - b(t) |H_t x_i - y_j|^2,    a, b > 0 functions of t,

   so that at t = 1 a match is a matter of shape alone, and near t = 0 the pose tells alike parts of an object apart.

Sources: Drost et al. 2010 (point-pair features); Qin et al. 2022 (GeoTransformer: attention with invariant pair embeddings),
arXiv 2202.06688; Yew and Lee 2020 (RPM-Net: annealed distances), arXiv 2003.13479; Jiang et al. 2023 (DiffusionReg), arXiv
2310.17359.
"""

from __future__ import annotations

import math
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from polyscore.errors import InputError
from polyscore.shapes.ops import gather, knn

__all__ = ["MatchingNetwork"]

_WAVES = 6  # radial functions of a distance
_NEAR = 0.2  # the size of a neighbourhood
_FAR = 2.0  # the distance at which the last one sits: the target's diameter in the network's unit


class MatchingNetwork(nn.Module):
    """Clouds with normals -> features of their anchors -> logits of matches.

    Args:
        width: channels of a feature.
        heads: of attention.
        blocks: rounds of attention within and between the clouds.
        neighbours: that describe an anchor.
        source_anchors: the first points of the source, which are matched.
        target_anchors: the first points of the target, to which they are.

    Raises:
        InputError: sizes below 1, or a width that the heads do not divide.
    """

    def __init__(
        self,
        width: int = 64,
        heads: int = 4,
        blocks: int = 2,
        *,
        neighbours: int = 24,
        source_anchors: int = 128,
        target_anchors: int = 160,
    ) -> None:
        super().__init__()
        if min(width, heads, blocks, neighbours, source_anchors, target_anchors) < 1 or width % heads:
            raise InputError(
                f"MatchingNetwork: width {width}, heads {heads}, blocks {blocks}, neighbours {neighbours}, anchors "
                f"{source_anchors} and {target_anchors}; expected positive numbers, width a multiple of heads"
            )
        self.width, self.heads, self.blocks, self.neighbours = width, heads, blocks, neighbours
        self.source_anchors, self.target_anchors = source_anchors, target_anchors
        self.local = _dense(5, width // 2, width)
        self.described = _dense(2 * width + 4 * _WAVES, width, width)
        self.between = nn.Linear(4 * _WAVES, heads * blocks)
        self.layers = nn.ModuleList([_Round(width, heads) for _ in range(blocks)])
        self.out = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, width))
        self.time = nn.Sequential(nn.Linear(3, 16), nn.SiLU(), nn.Linear(16, 2))

    def embed(self, source: Tensor, source_normals: Tensor, target: Tensor, target_normals: Tensor) -> tuple[Tensor, Tensor]:
        """Features f (B, n, width), g (B, m, width) of the anchors of clouds (B, N, 3), (B, M, 3) with unit normals."""
        f, f_pairs = self._alone(source, source_normals, self.source_anchors)
        g, g_pairs = self._alone(target, target_normals, self.target_anchors)
        biases = (self.between(pairs).permute(0, 3, 1, 2).chunk(self.blocks, 1) for pairs in (f_pairs, g_pairs))
        for layer, here, there in zip(self.layers, *biases, strict=True):
            f, g = layer(f, (here, f_pairs), g, (there, g_pairs))
        return self.out(f), self.out(g)

    def logits(self, moved: Tensor, target: Tensor, f: Tensor, g: Tensor, t: Tensor) -> Tensor:
        """l (B, n, m) of the moved source's anchors (B, n, 3), the target's (B, m, 3), and times (B,)."""
        angle = math.pi * t.to(f)[:, None]
        feature, place = functional.softplus(self.time(torch.cat([t.to(f)[:, None], angle.cos(), angle.sin()], -1))).unbind(-1)
        square = torch.cdist(moved, target).square()
        return feature[:, None, None] * (f @ g.mT) / math.sqrt(self.width) * 4 - place[:, None, None] * square

    def _alone(self, points: Tensor, normals: Tensor, anchors: int) -> tuple[Tensor, Tensor]:
        """A first feature (B, n, width) of each anchor, and what is fixed of each pair (B, n, n, 4 waves)."""
        x, n = points[:, :anchors], normals[:, :anchors]
        with torch.no_grad():
            index = knn(points, x, min(self.neighbours + 1, points.shape[1]))[1][..., 1:]
            offset, other = gather(points, index) - x[..., None, :], gather(normals, index)
            own = n[..., None, :]
            sides = [_dot(own, offset) / _NEAR, _dot(other, offset) / _NEAR, _dot(own, other)]
            near = torch.stack([*sides, (own - other).norm(dim=-1), offset.norm(dim=-1) / _NEAR], -1)
            offset = x[:, None] - x[:, :, None]
            length = offset.norm(dim=-1)
            unit = offset / length.clamp(min=1e-9)[..., None]
            cosines = [torch.ones_like(length), _dot(n[:, :, None], unit), _dot(n[:, None], unit), n @ n.mT]
            waves = torch.linspace(0, _FAR, _WAVES, device=x.device, dtype=x.dtype)
            radial = torch.exp(-0.5 * ((length[..., None] - waves) * ((_WAVES - 1) / _FAR)).square())
            pairs = (radial[..., None] * torch.stack(cosines, -1)[..., None, :]).flatten(-2)
        local = self.local(near)
        return self.described(torch.cat([local.amax(-2), local.mean(-2), pairs.mean(-2)], -1)), pairs


def _dot(a: Tensor, b: Tensor) -> Tensor:
    return (a * b).sum(-1)


def _dense(*widths: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for before, after in pairwise(widths):
        layers += [nn.Linear(before, after), nn.ReLU()]
    return nn.Sequential(*layers)


class _Within(nn.Module):
    """x + W [sum_j p_ij v_j, sum_j p_ij e_ij]: attention within one cloud that also reads the fixed e_ij of its pairs."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.LayerNorm(width)
        self.inner = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width + heads * 4 * _WAVES, width)

    def forward(self, x: Tensor, bias: Tensor, pairs: Tensor) -> Tensor:
        q, k, v = (part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in self.inner(self.norm(x)).chunk(3, -1))
        share = (q @ k.mT / math.sqrt(q.shape[-1]) + bias).softmax(-1)  # (B, heads, n, n)
        read = (share.transpose(1, 2) @ pairs).flatten(-2)  # of anchor i, over its pairs
        out: Tensor = x + self.out(torch.cat([(share @ v).transpose(1, 2).flatten(-2), read], -1))
        return out


class _Across(nn.Module):
    """x + attention to the other cloud."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.LayerNorm(width)
        self.query, self.memory, self.out = nn.Linear(width, width), nn.Linear(width, 2 * width), nn.Linear(width, width)

    def forward(self, x: Tensor, memory: Tensor) -> Tensor:
        parts = (self.query(self.norm(x)), *self.memory(self.norm(memory)).chunk(2, -1))
        q, k, v = (part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in parts)
        mixed = functional.scaled_dot_product_attention(q, k, v)
        out: Tensor = x + self.out(mixed.transpose(1, 2).flatten(-2))
        return out


class _Round(nn.Module):
    """Attention within each cloud, then to the other one, then each anchor alone; both clouds by the same weights."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.within, self.across = _Within(width, heads), _Across(width, heads)
        self.feed = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, 2 * width), nn.ReLU(), nn.Linear(2 * width, width))

    def forward(
        self, f: Tensor, here: tuple[Tensor, Tensor], g: Tensor, there: tuple[Tensor, Tensor]
    ) -> tuple[Tensor, Tensor]:
        f, g = self.within(f, *here), self.within(g, *there)
        f, g = self.across(f, g), self.across(g, f)
        return f + self.feed(f), g + self.feed(g)
