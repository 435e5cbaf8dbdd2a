"""Numbers such as the time as waves of many lengths, which a network tells apart more easily than the number.

    [cos(w_k v), sin(w_k v)],    w_k from `scale` down to `scale` / 1e4 geometrically, k = 0 .. half - 1

Source: Vaswani et al. 2017, arXiv 1706.03762.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

__all__ = ["waves"]


def waves(value: Tensor, half: int, *, scale: float = 1.0) -> Tensor:
    """Of v (B,), (B, 2 half), float64: the cosines, then the sines. Angles of 1000 radians leave float32 three digits."""
    steps = torch.arange(half, device=value.device, dtype=torch.float64) / max(half - 1, 1)
    angles = value.double()[:, None] * scale * torch.exp(-math.log(1e4) * steps)
    return torch.cat([angles.cos(), angles.sin()], 1)
