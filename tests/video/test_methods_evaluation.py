"""The evaluation package on clips: clips that stand still are another law."""

from __future__ import annotations

import torch
from tests.evaluation_cells import Record, evaluate
from torch import Tensor

from polyscore.video.data import MovingDigits


def numbers(film: Tensor) -> Tensor:
    """Mean, contrast, and mean change from frame to frame, of clips (B, C, T, H, W)."""
    change = film.diff(dim=2).abs().flatten(1).mean(1)
    return torch.stack([film.flatten(1).mean(1), film.flatten(1).std(1), change], 1)


def test_clips_that_stand_still_are_told(record_property: Record) -> None:
    g = torch.Generator().manual_seed(0)
    film = MovingDigits(frames=6, size=(16, 16), digits=(1, 1))(range(400)).film
    film = film[numbers(film)[:, 2] > 0.005][:200]
    still = film[::2, :, :1].expand(-1, -1, 6, -1, -1) + 0.001 * torch.randn(film[::2].shape, generator=g)
    evaluate(numbers(film), numbers(still), ["light", "contrast", "change"], record_property, expected="change")
