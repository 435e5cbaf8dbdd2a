r"""PVCNN2, the network of PVD: PointNet++ whose points also look at their surroundings through a coarse grid of voxels.

Going down, a point-voxel convolution adds to each point's own layer what a 3-D convolution of the voxelised features says at
its place; then farthest points gather balls of neighbours. Going up, features are interpolated from the three nearest points
and joined with those of the same level. The time's embedding is joined at every level.

    levels        voxels (width, times, cells)    down: points, radius, neighbours, widths       up: widths, voxels
    0             32, 2, 32^3                     1024, 0.1, 32, (32, 64)                        (128, 128, 64),  64, 2, 32^3
    1             64, 1, 16^3 (attention)         256, 0.2, 32, (64, 128)                        (256, 128),     128, 2, 16^3
    2             128, 1, 8^3                     64, 0.4, 32, (128, 256)                        (256, 256),     256, 3, 8^3
    3                                             16, 0.8, 32, (256, 256, 512) (attention)       (256, 256),     256, 3, 8^3

Sources: Zhou, Du and Wu 2021 (PVD), arXiv 2104.03670; Liu et al. 2019 (Point-Voxel CNN), arXiv 1907.03739; Qi et al. 2017
(PointNet++), arXiv 1706.02413.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from polyscore.errors import InputError
from polyscore.shapes.ops import farthest_points, gather
from polyscore.shapes.ops.voxels import ball_around, devoxelise, interpolate, voxel_coordinates, voxelise
from polyscore.state import NONE, Given

__all__ = ["PUBLISHED", "PVCNN2", "Level"]

_GROUPS = 8


@dataclass(frozen=True)
class Level:
    """A level of the network.

    Attributes:
        voxels: (width, convolutions, cells along an axis) on the way down, or None.
        points, radius, neighbours: of the balls gathered.
        widths: of the layers on them.
        up: widths of the layers on the way up.
        up_voxels: as `voxels`, on the way up.
        attention: in the first point-voxel convolution on the way down.
    """

    voxels: tuple[int, int, int] | None
    points: int
    radius: float
    neighbours: int
    widths: tuple[int, ...]
    up: tuple[int, ...]
    up_voxels: tuple[int, int, int]
    attention: bool = False


PUBLISHED = (
    Level((32, 2, 32), 1024, 0.1, 32, (32, 64), (128, 128, 64), (64, 2, 32)),
    Level((64, 1, 16), 256, 0.2, 32, (64, 128), (256, 128), (128, 2, 16), attention=True),
    Level((128, 1, 8), 64, 0.4, 32, (128, 256), (256, 256), (256, 3, 8)),
    Level(None, 16, 0.8, 32, (256, 256, 512), (256, 256), (256, 3, 8)),
)
"""The levels of PVD: 27.6 million parameters. Its tables say three convolutions at levels 1 and 2; its code builds one."""


class PVCNN2(nn.Module):
    """(points (B, N, 3), time (B,), given) -> (B, N, 3); `given.cond` are labels (B,) where the network knows classes.

    Args:
        levels: from fine to coarse, by default the published ones; N is at least the points of the first.
        embedding: width of the time's embedding.
        dropout: after the first convolution of each pair, and before the answer.
        classes: labels 0 to classes - 1, and `classes` for "not said"; 0 for a network without, as published.

    Raises:
        InputError: no levels, or widths that 8 does not divide.
    """

    def __init__(
        self, levels: Sequence[Level] | None = None, embedding: int = 64, *, dropout: float = 0.1, classes: int = 0
    ) -> None:
        super().__init__()
        levels = PUBLISHED if levels is None else levels
        widths = [w for level in levels for w in (*level.widths, *level.up, level.up_voxels[0], *(level.voxels or ())[:1])]
        if not levels or any(w % _GROUPS for w in widths) or embedding < 4 or embedding % 2 or classes < 0:
            raise InputError(
                f"PVCNN2: widths {widths}, embedding {embedding}, classes {classes}; expected multiples of {_GROUPS}"
            )
        self.levels, self.embedding, self.dropout, self.classes = tuple(levels), embedding, dropout, classes
        self.time = nn.Sequential(nn.Linear(embedding, embedding), nn.LeakyReLU(0.1), nn.Linear(embedding, embedding))
        self.label = nn.Embedding(classes + 1, embedding) if classes else None
        self.down, self.gathered, self.up, self.risen = (nn.ModuleList() for _ in range(4))
        width, skips = 3, [0]
        for i, level in enumerate(self.levels):
            extra = embedding if i else 0
            if level.voxels is not None:
                self.down.append(_voxel_stack(width + extra, level.voxels, dropout, attention=level.attention))
                width, extra = level.voxels[0], 0
            else:
                self.down.append(nn.ModuleList())
            self.gathered.append(_layers(nn.Conv2d, width + extra + 3, level.widths))
            width = level.widths[-1]
            skips.append(width)
        self.middle = _Attention(width)
        for level, skip in zip(reversed(self.levels), reversed(skips[:-1]), strict=True):
            self.up.append(_layers(nn.Conv1d, width + skip + embedding, level.up))
            self.risen.append(_voxel_stack(level.up[-1], level.up_voxels, dropout, attention=False))
            width = level.up_voxels[0]
        self.out = nn.Sequential(_layers(nn.Conv1d, width, (128,)), nn.Dropout(dropout), nn.Conv1d(128, 3, 1))

    def forward(self, x: Tensor, t: Tensor, given: Given = NONE) -> Tensor:
        if x.shape[1] < self.levels[0].points:
            raise InputError(f"PVCNN2: clouds of {x.shape[1]} points; expected {self.levels[0].points} or more")
        time = self.time(_embedded(t.to(x), self.embedding))
        if self.label is not None:
            time = time + self.label(torch.full_like(t, self.classes, dtype=torch.long) if given.cond is None else given.cond)
        time = time[:, :, None]
        places, features = [x], [x.mT]
        f = x.mT
        for i, (level, voxels, layers) in enumerate(zip(self.levels, self.down, self.gathered, strict=True)):
            at = places[-1]
            if i:
                f = _joined(f, time)
            f = _through(voxels, f, at)
            centres = gather(at, farthest_points(at, level.points)[:, None])[:, 0]
            index = ball_around(at, centres, level.neighbours, level.radius)
            near = torch.cat([gather(at, index) - centres[:, :, None], gather(f.mT, index)], -1)
            f = layers(near.permute(0, 3, 1, 2)).amax(-1)
            places.append(centres)
            features.append(f)
        f = self.middle(f)
        for i, (layers, voxels) in enumerate(zip(self.up, self.risen, strict=True)):
            finer = len(self.levels) - 1 - i
            f = interpolate(_joined(f, time), places[finer + 1], places[finer])
            if finer:  # the points themselves are not joined at the end
                f = torch.cat([f, features[finer]], 1)
            f = _through(voxels, layers(f), places[finer])
        out: Tensor = self.out(f)
        return out.mT


def _through(voxels: Any, f: Tensor, x: Tensor) -> Tensor:
    for part in voxels:
        f = part(f, x)
    return f


def _embedded(t: Tensor, width: int) -> Tensor:
    half = width // 2
    rate = torch.exp(torch.arange(half, device=t.device, dtype=t.dtype) * (-math.log(10000) / (half - 1)))
    return torch.cat([(t[:, None] * rate).sin(), (t[:, None] * rate).cos()], -1)


def _joined(f: Tensor, time: Tensor) -> Tensor:
    return torch.cat([f, time.expand(-1, -1, f.shape[-1])], 1)


def _layers(kind: type[nn.Conv1d | nn.Conv2d], before: int, widths: Sequence[int]) -> nn.Sequential:
    parts: list[nn.Module] = []
    for width in widths:
        parts += [kind(before, width, 1), nn.GroupNorm(_GROUPS, width), nn.SiLU()]
        before = width
    return nn.Sequential(*parts)


def _voxel_stack(before: int, voxels: tuple[int, int, int], dropout: float, *, attention: bool) -> nn.ModuleList:
    width, count, cells = voxels
    return nn.ModuleList(
        [
            _PointVoxel(width if i else before, width, cells, dropout, _Attention(width) if attention and not i else nn.SiLU())
            for i in range(count)
        ]
    )


class _PointVoxel(nn.Module):
    """layer(f_i) + (two convolutions of the voxelised f) at x_i."""

    def __init__(self, before: int, width: int, cells: int, dropout: float, last: nn.Module) -> None:
        super().__init__()
        self.cells = cells
        self.voxels = nn.Sequential(
            nn.Conv3d(before, width, 3, padding=1),
            nn.GroupNorm(_GROUPS, width),
            nn.SiLU(),
            nn.Dropout(dropout),
            nn.Conv3d(width, width, 3, padding=1),
            nn.GroupNorm(_GROUPS, width),
            last,
        )
        self.gate = nn.Sequential(
            nn.Linear(width, width // 8, bias=False), nn.ReLU(), nn.Linear(width // 8, width, bias=False), nn.Sigmoid()
        )
        self.points = _layers(nn.Conv1d, before, (width,))

    def forward(self, f: Tensor, x: Tensor) -> Tensor:
        place = voxel_coordinates(x.detach(), self.cells)
        grid = self.voxels(voxelise(f, place, self.cells))
        grid = grid * self.gate(grid.mean((2, 3, 4)))[..., None, None, None]
        out: Tensor = devoxelise(grid, place) + self.points(f)
        return out


class _Attention(nn.Module):
    """silu(norm(x + W softmax(q k^T) v)) over all places of x (B, C, ...); logits are not divided by sqrt(C), as published."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.query, self.key, self.value, self.out = (nn.Linear(width, width) for _ in range(4))
        self.norm = nn.GroupNorm(_GROUPS, width)

    def forward(self, x: Tensor) -> Tensor:
        token = x.flatten(2).mT
        share = (self.query(token) @ self.key(token).mT).softmax(-1)
        mixed = self.out(share @ self.value(token)).mT.reshape(x.shape)
        out: Tensor = nn.functional.silu(self.norm(x + mixed))
        return out
