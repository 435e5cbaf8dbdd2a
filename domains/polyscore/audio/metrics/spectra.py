"""Distances of spectra in dB.

With P_ft the power of frame t at frequency f, in dB and at least 100 dB under the clean signal's largest,

    LSD      mean over t of the root of the mean over f of (P_ft(e) - P_ft(s))^2
    log-mel  mean over t and b of |P_bt(e) - P_bt(s)|, P_bt the power in 64 bands of the mel scale, frames of 64 ms every 16 ms

A gain of g dB gives exactly |g| in both where nothing is floored. The mel scale is Slaney's: 66.7 Hz a step below 1000 Hz, above
27 steps for a factor of 6.4; a band is a triangle between the centres of its neighbours, of unit area.

Sources: Gray, Markel 1976, Distance measures for speech processing; Slaney 1998, Auditory toolbox.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from polyscore.audio.metrics.shapes import check_equal

__all__ = ["log_mel", "lsd", "mel_bands"]

DEPTH = 1e-10
BANDS = 64


def lsd(estimate: Tensor, clean: Tensor, *, n_fft: int = 512, hop: int = 128) -> Tensor:
    """Log-spectral distance in dB.

    Raises:
        InputError: the shapes differ.
    """
    check_equal(estimate, clean)
    difference = _decibels(*(_power(wave, n_fft, hop) for wave in (estimate, clean)))
    return difference.square().mean(dim=1).sqrt().mean(dim=1).reshape(clean.shape[:-1])


def log_mel(estimate: Tensor, clean: Tensor, rate: int) -> Tensor:
    """Mean distance in dB of log mel spectra of waves at `rate` Hz.

    Raises:
        InputError: the shapes differ.
    """
    check_equal(estimate, clean)
    n_fft = 2 * round(0.032 * rate)
    bands = mel_bands(BANDS, n_fft, rate).to(clean)
    difference = _decibels(*(bands @ _power(wave, n_fft, max(n_fft // 4, 1)) for wave in (estimate, clean)))
    return difference.abs().mean(dim=(1, 2)).reshape(clean.shape[:-1])


def mel_bands(count: int, n_fft: int, rate: float) -> Tensor:
    """Weights (count, n_fft // 2 + 1), float64, of mel bands from 0 to rate / 2 Hz."""
    top = rate / 2
    mel_top = 15 + 27 * math.log(top / 1000) / math.log(6.4) if top > 1000 else top * 0.015
    mel = torch.linspace(0, mel_top, count + 2, dtype=torch.float64)
    edges = torch.where(mel < 15, mel / 0.015, 1000 * torch.exp((mel - 15) * math.log(6.4) / 27))
    frequency = torch.arange(n_fft // 2 + 1, dtype=torch.float64) * rate / n_fft
    low, centre, high = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    rise, fall = (frequency - low) / (centre - low), (high - frequency) / (high - centre)
    return torch.minimum(rise, fall).clamp_min(0) * 2 / (high - low)


def _power(wave: Tensor, n_fft: int, hop: int) -> Tensor:
    flat = wave.reshape(-1, wave.shape[-1])
    flat = torch.nn.functional.pad(flat, (0, max(n_fft - flat.shape[-1], 0)))
    window = torch.hann_window(n_fft, dtype=wave.dtype, device=wave.device)
    return torch.stft(flat, n_fft, hop, window=window, center=False, return_complex=True).abs().square()


def _decibels(first: Tensor, second: Tensor) -> Tensor:
    floor = (second.amax(dim=(1, 2), keepdim=True) * DEPTH).clamp_min(torch.finfo(second.dtype).tiny)
    return 10 * torch.log10(first.maximum(floor) / second.maximum(floor))
