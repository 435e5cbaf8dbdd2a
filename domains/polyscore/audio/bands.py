"""What becomes of the band above the model's: a 16 kHz model says nothing of what a 48 kHz recording holds above 8 kHz.

With n the recording, L n its part that survives resampling to the model's rate and back, and e the enhanced low band,

    drop    e
    keep    e + (n - L n)
    gain    e + g (n - L n),   g(t)^2 = min(1, (P_top(e) + P(e) / 10^4) / (P_top(L n) + P(L n) / 10^4)) around t

with P the power of the low band and P_top that of its upper octave, the nearest that the model knows of. "gain" treats the
high band as this octave was treated: where the noise was removed from it, the hiss above goes, and where nothing was changed
nothing is. The gain is measured in blocks of 10 ms, smoothed over three, and interpolated; it is 0 where the low band is silent.
"""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor

from polyscore.audio.io import resample

__all__ = ["HIGH_BANDS", "HighBand", "add_high_band"]

HighBand = Literal["gain", "keep", "drop"]
HIGH_BANDS: tuple[str, ...] = get_args(HighBand)
_BLOCK_SECONDS = 0.01
_REST = 1e-4  # of the whole low band beside its upper octave, which may be empty


def add_high_band(clean: Tensor, noisy: Tensor, low: Tensor, rates: tuple[int, int], rule: HighBand) -> Tensor:
    """The enhanced low band ``clean`` (C, L) with the band above, taken from ``noisy``; ``low`` is noisy's low band.

    ``rates``: of these waves, and of the model whose band is the low one (Hz).
    """
    if rule == "drop":
        return clean
    high = noisy - low
    return clean + (high if rule == "keep" else _gain(clean, low, rates) * high)


def _gain(clean: Tensor, low: Tensor, rates: tuple[int, int]) -> Tensor:
    block = max(1, round(_BLOCK_SECONDS * rates[0]))
    after, before = (_power(_upper_octave(wave, rates), block) + _REST * _power(wave, block) for wave in (clean, low))
    gain = torch.where(before > 0, after / before.clamp_min(torch.finfo(before.dtype).tiny), 0.0).clamp_max(1.0).sqrt()
    full = torch.nn.functional.interpolate(gain[:, None], scale_factor=float(block), mode="linear")[:, 0]
    return full[..., : low.shape[-1]]


def _upper_octave(wave: Tensor, rates: tuple[int, int]) -> Tensor:
    """What ``wave`` (C, L) of the model's band loses when the rate is brought to half of the model's and back."""
    rate, half = rates[0], max(1, rates[1] // 2)
    return wave - resample(resample(wave, rate, half), half, rate, length=wave.shape[-1])


def _power(wave: Tensor, block: int) -> Tensor:
    """Mean square of each block of (C, L), weighted (1, 2, 1) / 4 with its neighbours: (C, blocks)."""
    padded = torch.nn.functional.pad(wave, (0, -wave.shape[-1] % block))
    power = padded.view(wave.shape[0], -1, block).square().mean(-1)
    left, right = torch.cat([power[:, :1], power[:, :-1]], 1), torch.cat([power[:, 1:], power[:, -1:]], 1)
    return 0.25 * left + 0.5 * power + 0.25 * right
