r"""Clips made of layers: what moves where, known exactly.

Layer k stands in frame t where the affine map A_k(t) puts its own coordinates q: p = A_k(t) q in pixels (x to the right, y down).
Layer 0 is the ground and covers everything; later layers lie over earlier ones. A pixel p of frame t that shows layer k moves by

    F = A_k(t+1) A_k(t)^-1 p - p,

is hidden where frame t + 1 shows another layer at p + F, and a pixel of frame t + 1 is revealed where frame t showed another
layer at its origin: the conventions of `polyscore.noise.Flow`, here for a batch of clips.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from polyscore.noise import Flow
from polyscore.video.motion.frames import grid

__all__ = ["ClipSource", "Clips", "affine", "folded", "layered", "pulled"]


class Clips(NamedTuple):
    """A batch of clips and the truth about them.

    Attributes:
        film: (B, C, T, H, W) in [-1, 1].
        forward, backward: (B, T - 1, 2, H, W), pixels a frame.
        hidden, revealed: (B, T - 1, H, W) bool.
        tracks: (B, K, T, 2), the centre (x, y) of every layer but the ground; nan for layers that a clip has not.
        boxes: (B, K, T, 4), their left, top, right and bottom; nan likewise.
        paths: (B, T, 2, H, W), where the pixels of the first frame have gone by frame t, seen or not.
    """

    film: Tensor
    forward: Tensor
    backward: Tensor
    hidden: Tensor
    revealed: Tensor
    tracks: Tensor
    boxes: Tensor
    paths: Tensor

    def flow(self, index: int) -> Flow:
        """The motion of one clip."""
        return Flow(self.forward[index], self.backward[index], self.hidden[index], self.revealed[index])


class ClipSource(Protocol):
    """Makes clips from seeds: clip i depends on seed i alone."""

    @property
    def frames(self) -> int: ...

    @property
    def size(self) -> tuple[int, int]: ...

    def __call__(self, seeds: Sequence[int]) -> Clips: ...


def affine(centre: Tensor, scale: Tensor, angle: Tensor) -> Tensor:
    """p = centre + scale R(angle) q as matrices (..., 2, 3), for centres (..., 2), scales and angles (...) in radians."""
    c, s = scale * angle.cos(), scale * angle.sin()
    return torch.stack([torch.stack([c, -s], -1), torch.stack([s, c], -1), centre], -1)


def pulled(places: Tensor, size: tuple[int, int]) -> Tensor:
    """The own coordinates (..., H W, 2) of every pixel, for maps (..., 2, 3)."""
    inverse = torch.linalg.inv(places[..., :2])
    pixels = grid(size).to(places).flatten(1).mT
    own: Tensor = (pixels - places[..., None, :, 2]) @ inverse.mT
    return own


def layered(colours: Tensor, cover: Tensor, owned: Tensor, places: Tensor, boxes: Tensor) -> Clips:
    """Clips of layers over each other.

    Args:
        colours: (B, L, C, T, H, W) in [-1, 1], layer 0 the ground.
        cover: (B, L - 1, T, H, W) in [0, 1], how much of a pixel each layer over the ground covers.
        owned: (B, L - 1, T, H, W) bool, the pixels that move with it.
        places: (B, L, T, 2, 3), the maps A_k(t).
        boxes: (B, L - 1, T, 4).
    """
    film = colours[:, 0]
    shown = torch.zeros(film[:, 0].shape, dtype=torch.int64)
    for k in range(cover.shape[1]):
        film = torch.lerp(film, colours[:, k + 1], cover[:, k, None])
        shown = torch.where(owned[:, k], k + 1, shown)
    maps = torch.cat([places, places.new_tensor([0.0, 0.0, 1.0]).expand(*places.shape[:3], 1, 3)], -2)
    back = torch.linalg.inv(maps)
    forward, hidden = _step((maps[:, :, 1:] @ back[:, :, :-1])[..., :2, :], shown[:, :-1], shown[:, 1:])
    backward, revealed = _step((maps[:, :, :-1] @ back[:, :, 1:])[..., :2, :], shown[:, 1:], shown[:, :-1])
    paths, _ = _step((maps @ back[:, :, :1])[..., :2, :], shown[:, :1].expand_as(shown), shown)
    tracks = (boxes[..., :2] + boxes[..., 2:]) / 2
    return Clips(film, forward, backward, hidden, revealed, tracks, boxes, paths)


def folded(centre: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """Positions reflected at the walls `low` and `high`: the path of a ball."""
    span = (high - low).clamp_min(1e-6)
    wave = torch.remainder(centre - low, 2 * span)
    return low + torch.minimum(wave, 2 * span - wave)


def _step(maps: Tensor, now: Tensor, then: Tensor) -> tuple[Tensor, Tensor]:
    """Displacement (B, T, 2, H, W) by maps (B, L, T, 2, 3) of the layer shown (B, T, H, W), and where it finds another one."""
    batch, frames, height, width = now.shape
    index = now.flatten(2)[..., None].expand(-1, -1, -1, 6)
    of_pixel = maps.flatten(3).transpose(1, 2).gather(2, index).view(batch, frames, height, width, 2, 3)
    here = grid((height, width)).to(maps)
    x, y = here[0, ..., None], here[1, ..., None]
    place = (of_pixel[..., 0] * x + of_pixel[..., 1] * y + of_pixel[..., 2]).movedim(-1, 2)
    column, row = (place + 0.5).floor().unbind(2)
    inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
    cell = (row.clamp(0, height - 1) * width + column.clamp(0, width - 1)).long()
    other = then.flatten(2).gather(2, cell.flatten(2)).view_as(now)
    return place - here, inside & (other != now)
