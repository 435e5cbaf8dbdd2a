r"""Planar walkers: a kinematic toy of human motion with four gaits, whose standing foot never slides.

A walker has a root (its hip), two thighs and two shanks of length 1/2. With phase p(k) = p_0 + w k at frame k, amplitude A and
bend B,

    hips     h_L = B / 2 + A sin p,   h_R = B / 2 + A sin(p + d)        d = pi, or 0 when it sways
    knees    k_L = B + 2 A max(cos p, 0),   k_R likewise                (bent further while the leg swings forward)
    feet     root + (sin h, -cos h) / 2 + (sin(h - k), -cos(h - k)) / 2

The root's height puts the lower foot on the ground, and its way is such that this foot stands still. Gaits: walk, walk backward
(time runs the other way), walk crouched (B = 1), and sway (both legs alike). Phase, speed and amplitude are drawn at random.

A motion is (T, 6): x and height of the root, h_L, h_R, k_L, k_R; metres and radians.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from polyscore.errors import InputError

__all__ = ["GAITS", "FEATURES", "Walkers", "feet", "gait_of", "slide", "walk"]

GAITS = ("walk", "backward", "crouched", "sway")
FEATURES = 6
_LIMB = 0.5


def walk(gaits: Tensor, frames: int, generator: torch.Generator) -> Tensor:
    """Motions (B, T, 6) of gaits (B,), numbers of `GAITS`."""
    count = len(gaits)

    def uniform(low: float, high: float) -> Tensor:
        return low + (high - low) * torch.rand(count, 1, generator=generator)

    phase = uniform(0, 2 * torch.pi) + uniform(0.45, 0.6) * torch.arange(frames)
    size = uniform(0.4, 0.55)
    bend = 0.1 + 0.9 * (gaits[:, None] == 2)
    other = phase + torch.pi * (gaits[:, None] != 3)
    hips = torch.stack([bend / 2 + size * p.sin() for p in (phase, other)], -1)
    knees = torch.stack([bend + 2 * size * p.cos().clamp(min=0) for p in (phase, other)], -1)
    motion = torch.cat([torch.zeros(count, frames, 2), hips, knees], -1)
    low = feet(motion)
    motion[..., 1] = -low[..., 1].amin(-1)
    standing = low[..., 1].argmin(-1)[:, :-1, None]
    moved = low[:, 1:, :, 0].gather(2, standing) - low[:, :-1, :, 0].gather(2, standing)
    motion[:, 1:, 0] = -moved[..., 0].cumsum(1)
    back = motion.flip(1) - motion[:, -1:, :1] * torch.eye(FEATURES)[0]
    return torch.where(gaits[:, None, None] == 1, back, motion)


def feet(motion: Tensor) -> Tensor:
    """Places (..., T, 2 feet, 2) of the feet."""
    hips, knees = motion[..., 2:4], motion[..., 4:6]
    shanks = hips - knees
    way = torch.stack([hips.sin() + shanks.sin(), -(hips.cos() + shanks.cos())], -1)
    return motion[..., None, :2] + _LIMB * way


def slide(motion: Tensor) -> Tensor:
    """How far the foot that moves less goes along the ground from frame to frame, squared, (..., T - 1); 0 for a `walk`."""
    return feet(motion)[..., 0].diff(dim=-2).square().amin(-1)


def gait_of(motion: Tensor) -> Tensor:
    """The gait (B,) a motion (B, T, 6) is nearest to: by its knees, by whether its legs go together, by where it goes."""
    hips = motion[..., 2:4] - motion[..., 2:4].mean(-2, keepdim=True)
    together = (hips[..., 0] * hips[..., 1]).sum(-1) > 0
    crouched = motion[..., 4:6].mean((-2, -1)) > 0.85
    backward = motion[..., -1, 0] < motion[..., 0, 0]
    gait = torch.where(backward, 1, 0)
    gait = torch.where(crouched, 2, gait)
    return torch.where(together, 3, gait)


class Walkers(Dataset[Tensor]):
    """Random walkers, all gaits alike often; motion i depends on (seed, i) alone.

    Raises:
        InputError: sizes below 1, or fewer than 4 frames.
    """

    def __init__(self, count: int = 8192, frames: int = 16, *, seed: int = 0) -> None:
        if count < 1 or frames < 4:
            raise InputError(f"Walkers: {count} motions of {frames} frames; expected 1 or more of at least 4")
        self.count, self.frames, self.seed = count, frames, seed
        generator = torch.Generator().manual_seed(seed)
        self.gaits = torch.arange(count) % len(GAITS)
        self.motions = walk(self.gaits, frames, generator)

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> Tensor:
        return self.motions[index]

    def loader(self, batch_size: int, *, seed: int = 0) -> DataLoader[Any]:
        """Shuffled batches (B, T, 6)."""
        return DataLoader(self, batch_size, shuffle=True, generator=torch.Generator().manual_seed(seed), drop_last=True)
