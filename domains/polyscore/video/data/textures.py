r"""Textured shapes over a textured ground, all of them moving: nothing is plain, everything is known.

A texture is a sum of waves in a layer's own coordinates, c(q) = sum_j a_j cos(w_j . q + phi_j) per colour, so it is exact at
every place and moves with its layer without interpolation. A shape is a superellipse, |x / a|^n + |y / b|^n <= 1.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from polyscore.errors import InputError
from polyscore.training.draws import generator_of
from polyscore.video.data.layers import Clips, affine, folded, layered, pulled

__all__ = ["Textures"]

_WAVES = 6
_EACH = 12 + 9 * _WAVES


@dataclass(frozen=True)
class Textures:
    """Clips of up to `shapes` textured shapes that glide, turn, grow and bounce over a ground that pans, zooms and turns.

    Args:
        frames: T.
        size: (H, W) in pixels.
        shapes: most shapes of a clip; there may be none.
        radius: least and most half-width of a shape, in pixels.
        speed: fastest, in pixels a frame; of the ground, half of it.
        spin: fastest, in degrees a frame; of the ground, a third of it.
        growth: largest relative change of size a frame, either way; of the ground, half of it.
        wave: least and most length of the texture's waves, in pixels.

    Raises:
        InputError: ranges that are empty, or shapes larger than the frame.
    """

    frames: int = 8
    size: tuple[int, int] = (32, 32)
    shapes: int = 2
    radius: tuple[float, float] = (5.0, 9.0)
    speed: float = 2.0
    spin: float = 6.0
    growth: float = 0.02
    wave: tuple[float, float] = (6.0, 24.0)

    def __post_init__(self) -> None:
        object.__setattr__(self, "size", (int(self.size[0]), int(self.size[1])))
        if self.frames < 2 or self.shapes < 0 or not 0 < self.radius[0] <= self.radius[1] <= min(self.size) / 2:
            found = f"{self.frames} frames of {self.size}, {self.shapes} shapes of radius {self.radius}"
            raise InputError(f"Textures: {found}; expected 2 frames or more, rising radii up to half the frame")
        if not 1 < self.wave[0] <= self.wave[1] or min(self.speed, self.spin, self.growth) < 0:
            raise InputError(f"Textures: waves {self.wave}, expected rising lengths above a pixel; no negative speeds")

    def __call__(self, seeds: Sequence[int]) -> Clips:
        """Clips (B, 3, T, H, W)."""
        layers = self.shapes + 1
        draws = torch.stack([torch.rand(1 + layers * _EACH, generator=generator_of(seed)) for seed in seeds])
        each = draws[:, 1:].view(len(seeds), layers, _EACH)
        exists = torch.arange(self.shapes) < (draws[:, :1] * (self.shapes + 1)).long()
        share = torch.ones(layers, 1)
        share[0] = 0.5
        radius = self.radius[0] + (self.radius[1] - self.radius[0]) * each[..., 0]
        centre = self._centres(each, radius, share)
        time = torch.arange(self.frames)
        spin = self.spin * torch.where(share == 0.5, 1 / 3, 1.0) * (2 * each[..., 1, None] - 1)
        angle = torch.deg2rad(spin) * time + 2 * math.pi * each[..., 2, None]
        growth = torch.log1p(self.growth * share * (2 * each[..., 3, None] - 1)) * (time - (self.frames - 1) / 2)
        places = affine(centre, growth.exp(), angle)
        own = pulled(places, self.size).view(*places.shape[:3], *self.size, 2)  # (B, L, T, H, W, 2), in pixels of the layer
        level, edge = self._shape(own[:, 1:], each[:, 1:], radius[:, 1:])
        shown = exists[..., None, None, None]
        spread = (radius[:, 1:, None] * growth[:, 1:].exp())[..., None]
        nan = torch.where(exists, 0.0, torch.nan)[..., None, None]
        boxes = torch.cat([centre[:, 1:] - spread, centre[:, 1:] + spread], -1) + nan
        return layered(self._texture(own, each), (0.5 - edge).clamp(0, 1) * shown, (level <= 1) & shown, places, boxes)

    def _centres(self, each: Tensor, radius: Tensor, share: Tensor) -> Tensor:
        heading = 2 * math.pi * each[..., 4]
        velocity = (self.speed * share[:, 0] * each[..., 5])[..., None] * torch.stack([heading.cos(), heading.sin()], -1)
        frame = torch.tensor([self.size[1] - 1.0, self.size[0] - 1.0])
        low = 0.5 * radius[..., None].expand(-1, -1, 2)
        start = low + (frame - 2 * low) * each[..., 6:8]
        path = start[..., None, :] + velocity[..., None, :] * torch.arange(self.frames)[:, None]
        walls = folded(path, low[..., None, :], (frame - low)[..., None, :])
        return torch.where(torch.arange(path.shape[1])[:, None, None] == 0, path, walls)  # the ground has no walls

    def _shape(self, own: Tensor, each: Tensor, radius: Tensor) -> tuple[Tensor, Tensor]:
        """The superellipse's level, 1 on its border, and about the distance to it in pixels."""
        flat, power = 0.6 + 0.4 * each[..., 8], 1.5 + 3 * each[..., 9]
        half = torch.stack([radius, radius * flat], -1)[..., None, None, None, :]
        n = power[..., None, None, None]
        level = (own.abs() / half).pow(n[..., None]).sum(-1).pow(1 / n)
        return level, (level - 1) * half[..., 0] * flat[..., None, None, None]

    def _texture(self, own: Tensor, each: Tensor) -> Tensor:
        """Colours (B, L, 3, T, H, W) in (-1, 1)."""
        waves = each[..., 12:].reshape(*each.shape[:2], _WAVES, 9)
        length = self.wave[0] * (self.wave[1] / self.wave[0]) ** waves[..., 0]
        turn = 2 * math.pi * waves[..., 1]
        vector = (2 * math.pi / length)[..., None] * torch.stack([turn.cos(), turn.sin()], -1)
        batch, layers = own.shape[:2]
        phase = own.flatten(2, 4) @ vector.mT + 2 * math.pi * waves[..., 2][:, :, None]
        height = (waves[..., 3:6] - 0.5) * torch.sqrt(length / self.wave[1])[..., None]
        tint = 1.2 * (each[..., 9:12] - 0.5)
        colour = (phase.cos() @ height * 1.2 + tint[:, :, None]).tanh()
        out: Tensor = colour.view(batch, layers, self.frames, *self.size, 3).movedim(-1, 2)
        return out
