"""The critic of EMDM: tells real from made steps of the reverse process."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from polyscore.errors import InputError
from polyscore.robots.networks.context import Waves

__all__ = ["MotionCritic"]


class MotionCritic(nn.Module):
    """D(x_u, x_t, t): a number (B,) from two motions (B, T, F) and the later time t (B,), by convolutions along the frames.

    Args:
        features: F.
        width: channels.
        layers: residual blocks, the first two of which halve the length.

    Raises:
        InputError: a size below 1, or, when called, motions that do not fit.
    """

    def __init__(self, features: int, *, width: int = 64, layers: int = 4) -> None:
        super().__init__()
        if min(features, width, layers) < 1 or width % 2:
            raise InputError(f"MotionCritic: features {features}, width {width}, layers {layers}; expected 1 or more, width even")
        self.features, self.width, self.layers = features, width, layers
        self.time = nn.Sequential(Waves(width), nn.Linear(width, width), nn.SiLU(), nn.Linear(width, width))
        self.inputs = nn.Conv1d(2 * features, width, 3, padding=1)
        self.blocks = nn.ModuleList(nn.Conv1d(width, width, 3, padding=1) for _ in range(layers))
        self.times = nn.ModuleList(nn.Linear(width, width) for _ in range(layers))
        self.head = nn.Sequential(nn.Linear(2 * width, width), nn.SiLU(), nn.Linear(width, 1))

    def forward(self, earlier: Tensor, later: Tensor, time: Tensor) -> Tensor:
        """Logits (B,) that x_u = `earlier` is a real step from x_t = `later`."""
        if earlier.shape != later.shape or earlier.ndim != 3 or earlier.shape[2] != self.features:
            raise InputError(
                f"MotionCritic: motions {tuple(earlier.shape)} and {tuple(later.shape)}, expected twice (B, T, {self.features})"
            )
        c = F.silu(self.time(time.to(later)))
        h = self.inputs(torch.cat([earlier, later], 2).transpose(1, 2))
        for n, (block, told) in enumerate(zip(self.blocks, self.times, strict=True)):
            h = h + block(F.silu(h + told(c)[..., None]))
            h = F.avg_pool1d(h, 2) if n < 2 and h.shape[2] > 3 else h
        return self.head(torch.cat([h.mean(2), h.amax(2)], 1))[:, 0]  # type: ignore[no-any-return]
