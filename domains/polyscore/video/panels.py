"""Pictures of motion and noise: the flow as colours, the noise as grey to colour, side by side with the film."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from polyscore.films import Film
from polyscore.noise import Flow
from polyscore.pictures import pixels

__all__ = ["flow_colours", "noise_colours", "panel", "wheel"]


def flow_colours(flow: Tensor, largest: float | None = None) -> Tensor:
    """Flow (T, 2, H, W) as (T, 3, H, W): the angle is the hue, the speed the strength of the colour; still parts are white.

    `largest` is the speed of full colour, in pixels; None takes the 99th percentile of the clip.
    """
    x, y = flow[:, 0], flow[:, 1]
    speed = (x.square() + y.square()).sqrt()
    top = largest or float(speed.flatten()[:: max(1, speed.numel() // 100_000)].quantile(0.99).clamp_min(1e-6))
    hue = torch.atan2(y, x) / (2 * math.pi)
    strength = (speed / top).clamp(max=1)
    phases = torch.tensor([0.0, 1 / 3, 2 / 3]).view(1, 3, 1, 1)
    wheel = 0.5 + 0.5 * torch.cos(2 * math.pi * (hue[:, None] - phases))
    return 1 - strength[:, None] * (1 - wheel)


def wheel(size: int) -> Tensor:
    """The key to `flow_colours`, (3, size, size): the colour of every direction, stronger outwards, on white."""
    y, x = torch.meshgrid(*[torch.linspace(-1, 1, size)] * 2, indexing="ij")
    return torch.where(_disc(size), flow_colours(torch.stack([x, y])[None], 1.0)[0], 1.0)


def _disc(size: int) -> Tensor:
    square = torch.linspace(-1, 1, size).square()
    return square[:, None] + square <= 1


def noise_colours(noise: Tensor) -> Tensor:
    """Noise (T, C, H, W) as (T, 3, H, W): the first three channels (or one, as grey), -2.5..2.5 on 0..1."""
    shown = noise[:, :3] if noise.shape[1] >= 3 else noise[:, :1].expand(-1, 3, -1, -1)
    return (shown / 5 + 0.5).clamp(0, 1)


def panel(flow: Flow, noise: Tensor, *, film: Tensor | None = None, result: Tensor | None = None, width: int = 320) -> Film:
    """Frames (T, h, w, 3) of bytes: the film (if there is one), the flow and its wheel, the noise (T, C, H, W), the result.

    Noise and result of fewer frames than the motion (latents) are held until their next frame.
    """
    frames = len(flow) + 1
    colours = flow_colours(flow.forward)
    parts = [torch.cat([colours, colours[-1:]])]
    if film is not None:
        parts.insert(0, film)
    parts.append(noise_colours(noise))
    if result is not None:
        parts.append(result.clamp(0, 1))
    height = max(2, round(width * flow.size[0] / flow.size[1] / 2) * 2)
    shown = []
    for part in parts:
        held = torch.linspace(0, len(part) - 1, frames).floor().long() if len(part) != frames else torch.arange(frames)
        mode = "nearest" if part.shape[2] < height else "area"
        shown.append(F.interpolate(part[held], (height, width), mode=mode))
    side = min(height, width) // 5
    corner = shown[0 if film is None else 1][:, :, 4 : 4 + side, 4 : 4 + side]
    corner.copy_(torch.where(_disc(side), wheel(side), corner))
    if len(shown) % 2:
        shown.append(torch.ones_like(shown[0]))
    rows = [torch.cat(pair, 3) for pair in zip(shown[::2], shown[1::2], strict=True)]
    return np.ascontiguousarray(pixels(torch.cat(rows, 2)))
