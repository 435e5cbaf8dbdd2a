"""The evaluation package on sounds: what a telephone leaves of them is another law."""

from __future__ import annotations

import torch
from tests.evaluation_cells import Record, evaluate
from torch import Tensor

from polyscore.inverse import BandLimit, MagnitudeSTFT


def tones(count: int) -> Tensor:
    """A tenth of a second of harmonics of 100 to 250 Hz, and noise, (count, 1600)."""
    g = torch.Generator().manual_seed(0)
    t, pitch = torch.arange(1600) / 16000, 100 + 150 * torch.rand(count, 1, generator=g)
    fall = 0.5 + torch.rand(count, 1, generator=g)
    voiced = sum(torch.sin(2 * torch.pi * k * pitch * t) / k**fall for k in range(1, 30))
    return voiced + 0.05 * torch.randn(count, 1600, generator=g)


def bands(waves: Tensor) -> Tensor:
    """Mean log power of eight bands, (B, 8)."""
    power = MagnitudeSTFT(256, 64)(waves).square().mean(-1)[:, 1:]
    return (power.view(len(waves), 8, -1).mean(-1) + 1e-6).log()


def test_a_band_that_is_missing_is_found(record_property: Record) -> None:
    waves = tones(400)
    names = [f"band {i}" for i in range(8)]
    evaluate(bands(waves), bands(BandLimit(7 / 8)(waves)), names, record_property, expected="band 7")
