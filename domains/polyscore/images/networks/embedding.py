"""What a network is told beside the image: the time and the class, as one vector."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from polyscore.errors import InputError
from polyscore.networks import waves

__all__ = ["TimeAndClass"]


class TimeAndClass(nn.Module):
    """MLP(waves(t)) + table[label], (B, width), the waves with frequencies from `scale` down (`polyscore.networks.waves`).

    Label `classes` means "no class", and is used where none is given.

    Raises:
        InputError: labels that are not (B,), or not in 0..classes (checked on the CPU only: elsewhere it would wait).
    """

    def __init__(self, width: int, classes: int = 0, *, scale: float = 1000.0) -> None:
        super().__init__()
        self.width, self.classes, self.scale = width, classes, scale
        self.mlp = nn.Sequential(nn.Linear(width, width), nn.SiLU(), nn.Linear(width, width))
        self.table = nn.Embedding(classes + 1, width) if classes else None

    def forward(self, time: Tensor, label: Any = None) -> Tensor:
        out = self.mlp(waves(time, self.width // 2, scale=self.scale).to(next(self.mlp.parameters()).dtype))
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
