"""What becomes of the band above the model's: a 16 kHz model says nothing of what a 48 kHz recording holds above 8 kHz.

With n the recording, L n its part that survives resampling to the model's rate and back, and e the enhanced low band,

    drop    e
    keep    e + (n - L n)
    gain    e + g (n - L n),   g(t) = min(1, rms of e / rms of L n) around t

"gain" treats the high band as loudly as the low band was treated: between words, where the noise was removed, the hiss
above goes with it, and where nothing was changed nothing is. The gain is measured in blocks of 10 ms, smoothed over
three, and interpolated; it is 0 where the low band is silent.
"""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor

__all__ = ["HIGH_BANDS", "HighBand", "add_high_band"]

HighBand = Literal["gain", "keep", "drop"]
HIGH_BANDS: tuple[str, ...] = get_args(HighBand)
_BLOCK_SECONDS = 0.01


def add_high_band(clean: Tensor, noisy: Tensor, low: Tensor, sample_rate: int, rule: HighBand) -> Tensor:
    """The enhanced low band ``clean`` (C, L) with the band above, taken from ``noisy``; ``low`` is noisy's low band."""
    if rule == "drop":
        return clean
    high = noisy - low
    return clean + (high if rule == "keep" else _gain(clean, low, sample_rate) * high)


def _gain(clean: Tensor, low: Tensor, sample_rate: int) -> Tensor:
    length = low.shape[-1]
    block = max(1, round(_BLOCK_SECONDS * sample_rate))
    after, before = (_power(wave, block) for wave in (clean, low))
    gain = torch.where(before > 0, after / before.clamp_min(torch.finfo(before.dtype).tiny), 0.0).clamp_max(1.0).sqrt()
    full = torch.nn.functional.interpolate(gain[:, None], scale_factor=float(block), mode="linear")[:, 0]
    return full[..., :length]


def _power(wave: Tensor, block: int) -> Tensor:
    """Mean square of each block of (C, L), weighted (1, 2, 1) / 4 with its neighbours: (C, blocks)."""
    padded = torch.nn.functional.pad(wave, (0, -wave.shape[-1] % block))
    power = padded.view(wave.shape[0], -1, block).square().mean(-1)
    left, right = torch.cat([power[:, :1], power[:, :-1]], 1), torch.cat([power[:, 1:], power[:, -1:]], 1)
    return 0.25 * left + 0.5 * power + 0.25 * right
