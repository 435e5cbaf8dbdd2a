"""What a network is told beside the image: the time and the class, as one vector."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from polyscore.errors import InputError

__all__ = ["TimeAndClass"]


class TimeAndClass(nn.Module):
    """MLP([cos(w_k t), sin(w_k t)]) + table[label], (B, width).

    The frequencies w_k fall from `scale` to `scale` / 1e4 geometrically (Vaswani et al. 2017, arXiv 1706.03762). Label `classes`
    means "no class", and is used where none is given.

    Raises:
        InputError: labels that are not (B,), or not in 0..classes (checked on the CPU only: elsewhere it would wait).
    """

    def __init__(self, width: int, classes: int = 0, *, scale: float = 1000.0) -> None:
        super().__init__()
        self.width, self.classes, self.scale = width, classes, scale
        self.mlp = nn.Sequential(nn.Linear(width, width), nn.SiLU(), nn.Linear(width, width))
        self.table = nn.Embedding(classes + 1, width) if classes else None

    def forward(self, time: Tensor, label: Any = None) -> Tensor:
        half = self.width // 2
        steps = torch.arange(half, device=time.device, dtype=torch.float64) / max(half - 1, 1)
        angles = time.double()[:, None] * self.scale * torch.exp(-math.log(1e4) * steps)
        out = self.mlp(torch.cat([angles.cos(), angles.sin()], 1).to(next(self.mlp.parameters()).dtype))
        return out if self.table is None else out + self.table(self._labels(label, time))  # type: ignore[no-any-return]

    def _labels(self, label: Any, time: Tensor) -> Tensor:
        if label is None:
            return torch.full((len(time),), self.classes, device=time.device)
        if not isinstance(label, Tensor) or label.shape != time.shape or label.is_floating_point():
            found = f"{label.dtype} {tuple(label.shape)}" if isinstance(label, Tensor) else type(label).__name__
        elif label.is_cpu and not torch.compiler.is_compiling() and bool(((label < 0) | (label > self.classes)).any()):
            found = f"values from {int(label.min())} to {int(label.max())}"
        else:
            return label.to(time.device)
        raise InputError(
            f"labels: {found}, expected whole numbers ({len(time)},) from 0 to {self.classes}, {self.classes} for no class"
        )
