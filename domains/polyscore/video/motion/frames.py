"""Pixels of a frame: their places, values between them, and which one a place falls on."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

__all__ = ["along", "grid", "nearest", "sample", "stays"]


def grid(size: tuple[int, int]) -> Tensor:
    """(x, y) of every pixel, (2, H, W), float32."""
    y, x = (torch.arange(n, dtype=torch.float32) for n in size)
    return torch.stack(torch.meshgrid(x, y, indexing="xy"))


def sample(field: Tensor, place: Tensor) -> Tensor:
    """Bilinear values of `field` (T, C, H, W) at pixels `place` (T, 2, H, W), held at the border."""
    scale = field.new_tensor([max(field.shape[3] - 1, 1), max(field.shape[2] - 1, 1)])[:, None, None]
    return F.grid_sample(field, (place * 2 / scale - 1).movedim(1, -1), align_corners=True, padding_mode="border")


def nearest(place: Tensor, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Flat index of the pixel that a place (2, H, W) falls on, clipped to the frame, and whether it lies in the frame."""
    x, y = (place + 0.5).floor()
    inside = (x >= 0) & (x < size[1]) & (y >= 0) & (y < size[0])
    return (y.clamp(0, size[0] - 1) * size[1] + x.clamp(0, size[1] - 1)).long(), inside


def along(film: Tensor, flow: Tensor) -> Tensor:
    """`film` (T, C, H, W) at p + flow(p), (T, 2, H, W): the next frames brought back, if `flow` leads to them."""
    return sample(film, grid((flow.shape[2], flow.shape[3])).to(flow) + flow)


def stays(flow: Tensor) -> Tensor:
    """(T, H, W): whether p + flow(p) lies within the frame."""
    place = grid((flow.shape[2], flow.shape[3])).to(flow) + flow
    limit = flow.new_tensor([flow.shape[3] - 1, flow.shape[2] - 1])[:, None, None]
    return ((place >= 0) & (place <= limit)).all(1)
