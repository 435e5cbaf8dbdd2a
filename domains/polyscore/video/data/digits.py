"""Moving digits: one or two painted digits that glide, turn and bounce over a plain ground; everything about them is known."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from polyscore.errors import InputError
from polyscore.training.draws import generator_of
from polyscore.video.data.glyphs import distance, paths
from polyscore.video.data.layers import Clips, affine, folded, layered, pulled

__all__ = ["MovingDigits"]


@dataclass(frozen=True)
class MovingDigits:
    """Clips of handwritten-like digits in colour, after Srivastava et al. 2015 (arXiv 1502.04681), from painted strokes.

    Each digit starts anywhere, moves at a speed uniform in `speed`, along a line or a bend, and bounces at the borders.

    Args:
        frames: T.
        size: (H, W) in pixels.
        digits: least and most digits of a clip.
        height: least and most height of a digit, in pixels.
        speed: least and most speed, in pixels a frame.
        bend: a digit's heading turns by up to this many degrees a frame, in either sense.
        spin: a digit turns about itself by up to this many degrees a frame.
        reach: pixels up to this far from the pen move with the digit too, uniform a clip: the flow of coarse estimates and drawn
            regions. 0: the flow of the drawn pixels alone.

    Raises:
        InputError: ranges that are empty, or digits larger than the frame.
    """

    frames: int = 8
    size: tuple[int, int] = (32, 32)
    digits: tuple[int, int] = (1, 2)
    height: tuple[float, float] = (11.0, 16.0)
    speed: tuple[float, float] = (0.0, 2.0)
    bend: float = 15.0
    spin: float = 0.0
    reach: tuple[float, float] = (0.0, 5.0)

    def __post_init__(self) -> None:
        object.__setattr__(self, "size", (int(self.size[0]), int(self.size[1])))
        for name in ("digits", "height", "speed", "reach"):
            low, high = getattr(self, name)
            if not 0 <= low <= high:
                raise InputError(f"MovingDigits: {name} is {(low, high)}; expected two numbers, 0 or more and rising")
        if self.frames < 2 or self.digits[0] < 1 or not 4 <= self.height[1] <= min(self.size):
            found = f"{self.frames} frames of {self.size}, {self.digits} digits of height {self.height}"
            raise InputError(f"MovingDigits: {found}; expected 2 frames or more, a digit or more, heights from 4 to the frame's")

    def __call__(self, seeds: Sequence[int]) -> Clips:
        """Clips (B, 3, T, H, W)."""
        draws = torch.stack([torch.rand(_SHARED + self.digits[1] * _EACH, generator=generator_of(seed)) for seed in seeds])
        shared, each = draws[:, :_SHARED], draws[:, _SHARED:].view(len(seeds), self.digits[1], _EACH)
        count = self.digits[0] + (shared[:, 0] * (self.digits[1] - self.digits[0] + 1)).long()
        exists = torch.arange(self.digits[1]) < count[:, None]
        height, pen = _between(self.height, each[..., 0]), 0.13 + 0.06 * each[..., 1]
        centre = self._tracks(each, height)
        angle = torch.deg2rad(20 * (each[..., 2] - 0.5))[..., None] + self._turning(each[..., 3], self.spin)
        places = affine(centre, height[..., None].expand(-1, -1, self.frames), angle)
        path = _jittered(each)[:, :, None].expand(-1, -1, self.frames, -1, -1)
        away = distance(path.flatten(0, 2), pulled(places.flatten(0, 2), self.size))
        away = away.view(len(seeds), self.digits[1], self.frames, *self.size)
        pixels = (away - pen[..., None, None, None] / 2) * height[..., None, None, None]
        exists_ = exists[..., None, None, None]
        reach = _between(self.reach, shared[:, 1])[:, None, None, None, None]
        ground = (0.3 * shared[:, 2:5] - 1)[:, None]
        colours = torch.cat([ground, _bright(each[..., 4], each[..., 5])], 1)[..., None, None, None]
        still = affine(torch.zeros(2), torch.ones(()), torch.zeros(())).expand(len(seeds), 1, self.frames, 2, 3)
        nan = torch.where(exists, 0.0, torch.nan)[..., None, None]
        half = height[..., None, None] / 2
        boxes = torch.cat([centre - half, centre + half], -1) + nan
        return layered(
            colours.expand(-1, -1, -1, self.frames, *self.size),
            (0.5 - pixels).clamp(0, 1) * exists_,
            (pixels <= reach) & exists_,
            torch.cat([still, places], 1),
            boxes,
        )

    def _tracks(self, each: Tensor, height: Tensor) -> Tensor:
        """Centres (B, K, T, 2): a path of constant speed, reflected where half a digit would leave the frame."""
        speed, heading = _between(self.speed, each[..., 6]), 2 * math.pi * each[..., 7]
        heading = heading[..., None] + self._turning(each[..., 8], self.bend)
        velocity = speed[..., None, None] * torch.stack([heading.cos(), heading.sin()], -1)
        moved = torch.cat([torch.zeros_like(velocity[..., :1, :]), velocity[..., :-1, :].cumsum(-2)], -2)
        low = 0.55 * height[..., None]
        high = torch.tensor([self.size[1] - 1.0, self.size[0] - 1.0]) - low
        start = low + (high - low) * each[..., 9:11]
        return folded(start[..., None, :] + moved, low[..., None, :], high[..., None, :])

    def _turning(self, draw: Tensor, most: float) -> Tensor:
        return torch.deg2rad(most * (2 * draw - 1))[..., None] * torch.arange(self.frames)


_SHARED, _EACH = 5, 18


def _between(span: tuple[float, float], share: Tensor) -> Tensor:
    return span[0] + (span[1] - span[0]) * share


def _jittered(each: Tensor) -> Tensor:
    """Paths (B, K, S + 1, 2) of the drawn digits, each with a hand of its own: width, slant and a wave along the pen."""
    path = paths()[(each[..., 11] * 10).long()]
    x, y = path.unbind(-1)
    width, slant = 0.8 + 0.35 * each[..., 12, None], 0.35 * (each[..., 13, None] - 0.5)
    along = torch.linspace(0, 2 * math.pi, path.shape[-2])
    wave = 0.06 * (each[..., 14, None] - 0.5) * torch.sin(along + 6.3 * each[..., 15, None])
    lift = 0.06 * (each[..., 16, None] - 0.5) * torch.sin(along + 6.3 * each[..., 17, None])
    return torch.stack([width * x + slant * y + wave, y + lift], -1)


def _bright(hue: Tensor, pale: Tensor) -> Tensor:
    """A light colour (..., 3) in [-1, 1]."""
    phases = torch.tensor([0.0, 1 / 3, 2 / 3])
    wheel = 0.5 + 0.5 * torch.cos(2 * math.pi * (hue[..., None] - phases))
    return 1 - 1.4 * (1 - 0.7 * pale[..., None]) * (1 - wheel)
