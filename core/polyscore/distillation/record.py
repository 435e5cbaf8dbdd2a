"""What a distillation did: the strip of clean views the model asked for, and the size of the gradient by noise level."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from polyscore.distillation.loss import Distilled

__all__ = ["Record"]


@dataclass
class Record:
    """Collects `Distilled` steps; keeps every `every`-th clean view (the first of its batch) for the strip."""

    every: int = 25
    views: list[Tensor] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    norms: list[float] = field(default_factory=list)
    steps: int = 0

    def add(self, result: Distilled) -> None:
        """Note one step."""
        if self.steps % self.every == 0:
            self.views.append(result.x0[0].detach().cpu())
        self.times.extend(result.t.tolist())
        self.norms.extend(result.norm.tolist())
        self.steps += 1

    def strip(self, most: int = 16) -> Tensor:
        """At most `most` clean views, evenly over the run, side by side: (C, H, W n) for images (C, H, W)."""
        pick = torch.linspace(0, len(self.views) - 1, min(most, len(self.views))).round().long().tolist()
        return torch.cat([self.views[i] for i in pick], dim=-1)

    def norm_by_time(self, bins: int = 10) -> list[tuple[float, float, int]]:
        """(centre of the interval of t, mean |grad| there, number of samples), for intervals that were met."""
        rows = []
        for k in range(bins):
            inside = [n for t, n in zip(self.times, self.norms, strict=True) if k / bins < t <= (k + 1) / bins]
            if inside:
                rows.append(((k + 0.5) / bins, sum(inside) / len(inside), len(inside)))
        return rows
