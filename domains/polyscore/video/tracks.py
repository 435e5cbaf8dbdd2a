"""Where something stands out from a plain ground, and how fast it goes: the motion a clip shows, without an estimator of flow."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["centroids", "velocity"]


def centroids(film: Tensor, *, least: float = 0.15) -> Tensor:
    """The centre (x, y) of what differs from the ground, (B, T, 2) in pixels, of clips (B, T, C, H, W) in [0, 1].

    The ground is the median colour of the clip; a pixel weighs by how much it differs beyond `least` (mean over channels); nan
    where a frame shows nothing.
    """
    ground = film.movedim(2, -1).flatten(1, 3).median(1).values
    weight = (film - ground[:, None, :, None, None]).abs().mean(2).sub(least).clamp_min(0)
    total = weight.sum((-1, -2))
    x, y = (torch.arange(n, dtype=film.dtype, device=film.device) for n in (film.shape[-1], film.shape[-2]))
    return torch.stack([(weight.sum(-2) * x).sum(-1), (weight.sum(-1) * y).sum(-1)], -1) / total[..., None]


def velocity(track: Tensor) -> Tensor:
    """Least-squares velocity (..., 2), in pixels a frame, of tracks (..., T, 2)."""
    time = torch.arange(track.shape[-2], dtype=track.dtype, device=track.device)
    time = time - time.mean()
    return (time[:, None] * track).sum(-2) / time.square().sum()
