"""From a picture and a few arrows to a flow, by a model of flow maps: the first stage of Motion-I2V.

The model draws maps P_t (2, H, W), where the pixels of the first frame are in frame t relative to where they began. The flow of
frame t to t + 1 is P_{t+1} - P_t carried along P_t to frame t (`polyscore.video.networks.splat`), with what nothing reaches
filled from its neighbours.

Source: Shi et al. 2024, arXiv 2401.15977.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from polyscore.errors import InputError
from polyscore.hub import Pretrained
from polyscore.noise import Flow, NoiseLike
from polyscore.samplers import Heun, sample
from polyscore.state import Given
from polyscore.video.data.flow_maps import arrow_map
from polyscore.video.motion import Arrow
from polyscore.video.networks.splat import splat

__all__ = ["FlowPainter", "flow_of_maps"]


class FlowPainter(Pretrained):
    """Draws flows that follow arrows over a picture.

    Args:
        denoiser: of maps (B, 2, T, H, W) in units of `scale` pixels, with a `process`; `given.cond["picture"]` (B, 7, H, W) is
            the picture, ones, and the arrows.
        shape: (T, H, W) of the maps it was trained on.
        scale: pixels that become 1.
    """

    def __init__(self, denoiser: nn.Module, shape: Sequence[int], *, scale: float = 8.0) -> None:
        super().__init__()
        if len(shape) != 3 or min(shape) < 1 or scale <= 0:
            raise InputError(f"FlowPainter: shape {tuple(shape)}, scale {scale}; expected (T, H, W) and a positive number")
        self.denoiser, self.shape, self.scale = denoiser, tuple(int(n) for n in shape), scale

    @torch.no_grad()
    def maps(
        self, first: Tensor, arrows: Sequence[Arrow], *, steps: int = 8, sampler: Any = None, noise: NoiseLike = 0
    ) -> Tensor:
        """Maps (T, 2, H, W) in pixels for a picture (3, H, W) in [0, 1] and arrows in its pixels.

        Raises:
            InputError: a picture of another shape.
        """
        frames, height, width = self.shape
        if first.ndim != 3 or first.shape[0] != 3:
            raise InputError(f"FlowPainter: picture of shape {tuple(first.shape)}; expected (3, height, width)")
        device = next(self.parameters()).device
        ratio = torch.tensor([width / first.shape[2], height / first.shape[1]], dtype=torch.float64)
        feet = torch.tensor([[a.x, a.y] for a in arrows], dtype=torch.float64).view(-1, 2) * ratio
        moves = torch.tensor([[a.to_x - a.x, a.to_y - a.y] for a in arrows]).view(-1, 2) * ratio.float()
        small = F.interpolate(first[None], (height, width), mode="bilinear", align_corners=False, antialias=True) * 2 - 1
        drawn = arrow_map(feet, moves, (height, width), self.scale)[None]
        picture = torch.cat([small, torch.ones_like(small[:, :1]), drawn], 1).to(device)
        like = torch.empty(1, 2, frames, height, width, device=device)
        given = Given(cond={"picture": picture})
        process: Any = self.denoiser.process
        found: Tensor = sample(sampler or Heun(), self.denoiser, process, like, steps=steps, given=given, noise=noise)
        return found[0].transpose(0, 1) * self.scale

    def flow(self, first: Tensor, arrows: Sequence[Arrow], **settings: Any) -> Flow:
        """The flow of T frames (settings: those of `maps`)."""
        return flow_of_maps(self.maps(first, arrows, **settings))


def flow_of_maps(maps: Tensor) -> Flow:
    """The frame-to-frame flow of maps (T, 2, H, W), the first of which counts as 0."""
    maps = maps - maps[:1]
    steps, weight = splat(maps[1:] - maps[:-1], maps[:-1])
    return Flow(_filled(steps, weight))


def _filled(values: Tensor, weight: Tensor) -> Tensor:
    """Splatted values (N, C, H, W) with pixels of weight (N, 1, H, W) under 1/4 grown over from their neighbours."""
    known = (weight > 0.25).to(values)
    out = values * known
    for _ in range(max(values.shape[-2:])):
        if bool((known > 0).all()):
            break
        near = F.avg_pool2d(known, 3, 1, 1)
        grown = F.avg_pool2d(out, 3, 1, 1) / near.clamp_min(1e-6)
        out = torch.where(known > 0, out, grown * (near > 0))
        known = torch.where(known > 0, known, (near > 0).to(known))
    return out
