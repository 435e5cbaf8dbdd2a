"""U-Nets that are shown where things go: by flow maps, or by boxes of tracks."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from polyscore.errors import InputError
from polyscore.video.networks.blocks import FrameNorm, TimeAttention
from polyscore.video.networks.splat import splat
from polyscore.video.networks.unet import VideoUNet

__all__ = ["BoxAttention", "BoxUNet", "FlowUNet", "MotionAttention"]


class MotionAttention(TimeAttention):
    """Attention in time to the T frames and to frame 0 carried along a flow to each of frames 1 to T - 1: 2 T - 1 keys.

    The carried features of frame 0 lie where their content is expected, so one step of attention reaches along the motion
    (motion-augmented temporal attention of Motion-I2V: Shi et al. 2024, arXiv 2401.15977). They have biases of their own.
    """

    def __init__(self, width: int, heads: int = 4, *, reach: int = 16) -> None:
        super().__init__(width, heads, reach=reach)
        self.carried = nn.Parameter(torch.zeros(heads, 2 * reach + 1))

    def forward(self, x: Tensor, flow: Tensor | None = None) -> Tensor:
        """x (B, T, H, W, C); `flow` (B, T, 2, H, W), frame 0 to frame t in pixels of x; None: plain attention."""
        if flow is None or x.shape[1] == 1:
            return super().forward(x)
        batch, frames, height, breadth, width = x.shape
        first = x[:, :1].expand(-1, frames - 1, -1, -1, -1).flatten(0, 1).movedim(-1, 1)
        moved, _ = splat(first, flow[:, 1:].flatten(0, 1).to(x))
        tokens = torch.cat([x, moved.movedim(1, -1).reshape(batch, frames - 1, height, breadth, width)], 1)
        qkv = self.qkv(tokens).view(batch, 2 * frames - 1, height * breadth, 3, self.heads, width // self.heads)
        q, k, v = qkv.permute(3, 0, 2, 4, 1, 5).flatten(1, 2)
        apart = torch.arange(1, frames, device=x.device) - torch.arange(frames, device=x.device)[:, None]
        carried = self.carried[:, apart.clamp(-self.reach, self.reach) + self.reach]
        bias = torch.cat([self.between(frames, frames), carried], -1).to(q.dtype)
        h = F.scaled_dot_product_attention(q[:, :, :frames], k, v, attn_mask=bias)
        h = h.view(batch, height * breadth, self.heads, frames, width // self.heads).permute(0, 3, 1, 2, 4)
        return self.out(h.reshape(x.shape))  # type: ignore[no-any-return]


class BoxAttention(nn.Module):
    """x + tanh(gate) attention of the places of each frame to themselves and to the boxes of that frame; the gate begins at 0.

    A box (left, top, right, bottom) in [0, 1] becomes a token by Fourier features, frequencies 2^0 pi ... 2^(n-1) pi, and an MLP;
    a learned token stands for a box that is not there. Gated self-attention of GLIGEN (Li et al. 2023, arXiv 2301.07093), on
    tracks: TrackDiffusion (Li et al. 2023, arXiv 2312.00651).
    """

    def __init__(self, width: int, heads: int = 4, *, waves: int = 6) -> None:
        super().__init__()
        self.heads, self.waves = heads, waves
        self.norm = nn.LayerNorm(width)
        self.token = nn.Sequential(nn.Linear(8 * waves, width), nn.SiLU(), nn.Linear(width, width))
        self.absent = nn.Parameter(torch.zeros(width))
        self.place = nn.Linear(4 * waves, width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.gate = nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor, boxes: Tensor) -> Tensor:
        """x (B, T, H, W, C), boxes (B, K, T, 4), nan for boxes that are not there."""
        height, breadth = x.shape[2:4]
        there = ~boxes.isnan().any(-1, keepdim=True)
        found = torch.where(there, self.token(self._waves(boxes.nan_to_num(0.0)).to(x)), self.absent)
        tokens = found.transpose(1, 2).flatten(0, 1)  # (B T, K, C)
        y, z = ((torch.arange(n, device=x.device) + 0.5) / n for n in (height, breadth))
        places = torch.stack(torch.meshgrid(z, y, indexing="xy"), -1).flatten(0, 1)
        seen = self.norm(x).flatten(2, 3).flatten(0, 1) + self.place(self._waves(places).to(x))
        both = torch.cat([seen, tokens], 1)
        q, k, v = self.qkv(both).view(*both.shape[:2], 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        h = F.scaled_dot_product_attention(q[:, :, : height * breadth], k, v).transpose(1, 2)
        return x + torch.tanh(self.gate) * self.out(h.reshape(x.shape))  # type: ignore[no-any-return]

    def _waves(self, numbers: Tensor) -> Tensor:
        angles = numbers[..., None] * (math.pi * 2.0 ** torch.arange(self.waves, device=numbers.device))
        return torch.cat([angles.cos(), angles.sin()], -1).flatten(-2)


class FlowUNet(VideoUNet):
    """`VideoUNet` whose middle attends along `given.cond["flow"]` (B, T, 2, H, W), frame 0 to frame t in pixels of the clip.

    Without a flow it is a `VideoUNet`.
    """

    def __init__(self, channels: int = 3, picture: int = 4, width: int = 32, **settings: Any) -> None:
        super().__init__(channels, picture, width, **settings)
        self.settings = settings
        inner = width * self.multipliers[-1]
        self.inner_norm, self.inner = FrameNorm(inner), MotionAttention(inner, self.heads or 1)

    def inside(self, h: Tensor, cond: Any) -> Tensor:
        flow = None if cond is None else cond.get("flow")
        if flow is None or h.shape[1] == 1:
            return h
        step = self.patch * 2 ** (len(self.multipliers) - 1)
        wanted = (h.shape[0], h.shape[1], 2, h.shape[2] * step, h.shape[3] * step)
        if tuple(flow.shape) != wanted:
            raise InputError(f"FlowUNet: cond['flow'] has shape {tuple(flow.shape)}; expected {wanted}")
        small = F.avg_pool2d(flow.flatten(0, 1), step) / step
        return h + self.inner(self.inner_norm(h), small.view(*flow.shape[:2], *small.shape[1:]))  # type: ignore[no-any-return]


class BoxUNet(VideoUNet):
    """`VideoUNet` whose middle attends to `given.cond["boxes"]` (B, K, T, 4), in pixels of the clip, nan for none."""

    def __init__(self, channels: int = 3, picture: int = 4, width: int = 32, **settings: Any) -> None:
        super().__init__(channels, picture, width, **settings)
        self.settings = settings
        self.inner = BoxAttention(width * self.multipliers[-1], self.heads or 1)

    def inside(self, h: Tensor, cond: Any) -> Tensor:
        boxes = None if cond is None else cond.get("boxes")
        if boxes is None:
            return h
        if boxes.ndim != 4 or boxes.shape[0] != h.shape[0] or boxes.shape[2:] != (h.shape[1], 4):
            wanted = f"({h.shape[0]}, boxes, {h.shape[1]}, 4)"
            raise InputError(f"BoxUNet: cond['boxes'] has shape {tuple(boxes.shape)}; expected {wanted}")
        step = self.patch * 2 ** (len(self.multipliers) - 1)
        size = torch.tensor([h.shape[3] * step, h.shape[2] * step] * 2, device=h.device)
        return self.inner(h, boxes / size)  # type: ignore[no-any-return]
