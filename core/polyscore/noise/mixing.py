"""White noise mixed, thinned and resized so that it stays white.

Each function is a plan of `polyscore.noise.transport` or a sum of independent noises. Burgert et al. 2025, arXiv 2501.08331,
appendix; the fixed conventions (linear blend weights, end-inclusive source grid of `resize`) are theirs.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from polyscore.errors import InputError
from polyscore.noise.motion import Flow
from polyscore.noise.source import Noise
from polyscore.noise.transport import Transport

__all__ = ["average", "blend", "regaussianise", "resize", "resize_flow"]


def blend(background: Tensor, foreground: Tensor, share: float | Tensor) -> Tensor:
    """(share f + (1 - share) b) / sqrt(share^2 + (1 - share)^2): white if f and b are white and independent."""
    mixed: Tensor = torch.lerp(background, foreground, share) / (share**2 + (1 - share) ** 2) ** 0.5
    return mixed


def average(noise: Tensor, factor: int) -> Tensor:
    """Mean over squares of `factor` pixels, times `factor`: white (..., H, W) to white (..., H / factor, W / factor)."""
    if factor == 1:
        return noise
    small = F.avg_pool2d(noise.flatten(0, -4), factor) * factor
    return small.view(*noise.shape[:-2], *small.shape[-2:])


def resize(noise: Tensor, size: tuple[int, int]) -> Tensor:
    """White noise (..., H, W) to white noise of a smaller `size` (h, w): sum over the k pixels of a cell, divided by sqrt(k).

    Source column i goes to column floor(i w / (W - 1)), so the last row and column are left out.

    Raises:
        InputError: `size` is larger than the noise.
    """
    if not all(0 < small < large for small, large in zip(size, noise.shape[-2:], strict=True)):
        found = f"noise of {tuple(noise.shape[-2:])} pixels to {size}"
        raise InputError(f"resize: {found}; expected a smaller size (to enlarge, draw new noise)")
    rows, columns = (
        torch.linspace(0, small, large, device=noise.device).long() for small, large in zip(size, noise.shape[-2:], strict=True)
    )
    cells = size[0] * size[1]
    cell = torch.where((rows[:, None] < size[0]) & (columns < size[1]), rows[:, None] * size[1] + columns, cells)
    plan = Transport(torch.arange(cell.numel(), device=cell.device), cell.flatten(), sources=cell.numel(), targets=cells)
    flat = noise.reshape(1, -1, cell.numel()).transpose(1, 2)
    return plan(flat, _never).transpose(1, 2).reshape(*noise.shape[:-2], *size)


def regaussianise(image: Tensor, group: Tensor, noise: Noise) -> Tensor:
    """Make copies of white noise independent again: v = n / sqrt(k) + f - mean of f over the group, for each of k copies.

    Args:
        image: (C, H, W), equal within a group.
        group: (H, W) integers from 0; pixels of one number are copies of one source.
        noise: where f comes from.

    Returns:
        (C, H, W), white; the sum over a group divided by sqrt(k) is the source.
    """
    source = group.flatten()
    count = int(source.max()) + 1
    values = image.new_zeros(1, count, len(image))
    values[:, source] = image.flatten(1).T
    plan = Transport(source, torch.arange(len(source), device=source.device), sources=count, targets=len(source))
    return plan(values, noise)[0].T.reshape(image.shape)


def resize_flow(flow: Flow, size: tuple[int, int]) -> Flow:
    """The same motion in pixels of a grid of `size` (h, w): bilinear, each axis by its own ratio; masks by the nearest."""
    height, width = flow.size
    if size == (height, width):
        return flow

    def vectors(field: Tensor) -> Tensor:
        scale = field.new_tensor([size[1] / width, size[0] / height])[:, None, None]
        return F.interpolate(field, size, mode="bilinear", align_corners=False, antialias=min(size) < max(height, width)) * scale

    def mask(field: Tensor) -> Tensor:
        return F.interpolate(field[:, None].float(), size, mode="nearest-exact")[:, 0] > 0.5

    back, hidden, revealed = flow.backward, flow.hidden, flow.revealed
    return Flow(
        vectors(flow.forward),
        None if back is None else vectors(back),
        None if hidden is None else mask(hidden),
        None if revealed is None else mask(revealed),
    )


def _never(like: Tensor, t: object = None, u: object = None) -> Tensor:
    raise InputError("this plan needs no fresh noise")
