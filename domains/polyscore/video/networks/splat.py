r"""Forward warping: what is at p goes to p + F(p), shared among the four pixels around, and pixels are averages of what they get.

    out(q) = sum_p w(q - p - F(p)) f(p) / sum_p w(q - p - F(p)),    w(d) = max(0, 1 - |d_x|) max(0, 1 - |d_y|),

0 where nothing arrives: "average splatting" (Niklaus and Liu 2020, arXiv 2003.05534).
"""

from __future__ import annotations

import torch
from torch import Tensor

from polyscore.video.motion.frames import grid

__all__ = ["splat"]


def splat(values: Tensor, flow: Tensor) -> tuple[Tensor, Tensor]:
    """`values` (N, C, H, W) carried along `flow` (N, 2, H, W) in pixels, and the weight that arrived, (N, 1, H, W)."""
    count, channels, height, width = values.shape
    place = grid((height, width)).to(flow) + flow
    corner = place.floor()
    part = place - corner
    with_one = torch.cat([values, torch.ones_like(values[:, :1])], 1).flatten(2).transpose(1, 2)  # (N, H W, C + 1)
    out = with_one.new_zeros(count * height * width, channels + 1)
    base = torch.arange(count, device=flow.device).view(-1, 1, 1) * (height * width)
    for dx in (0, 1):
        for dy in (0, 1):
            x, y = corner[:, 0] + dx, corner[:, 1] + dy
            share = (part[:, 0] if dx else 1 - part[:, 0]) * (part[:, 1] if dy else 1 - part[:, 1])
            inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
            cell = base + y.clamp(0, height - 1).long() * width + x.clamp(0, width - 1).long()
            weight = (share * inside).flatten(1)[..., None].to(with_one.dtype)
            out = out.index_add(0, cell.flatten(), (with_one * weight).flatten(0, 1))
    summed = out.view(count, height, width, channels + 1).movedim(-1, 1)
    total = summed[:, -1:]
    return summed[:, :-1] / total.clamp_min(1e-6), total
