"""Losses on spectrograms beside the plain distances.

`band_correlation` is the heart of ESTOI as a differentiable score. With E (J, T) the magnitudes of J third-octave bands
of one signal, e and s the same N consecutive frames (0.384 s) of two signals, every row of a segment
is brought to zero mean and unit norm over time, then every column over the bands, and

    score = mean over segments of (1/N) sum_jn e_jn s_jn,

which is at most 1. Because of the row normalisation a weak band counts as much as a strong one: what a distance of
spectrograms hardly sees, the loss of faint consonants and of the recording's own colour, costs as much as the loss of vowels.

Differences from the metric: the frame is the codec's (8 ms instead of 12.8 ms at 16 kHz, no resampling to 10 kHz), and instead of
cutting silent frames out, segments without speech are left out.

Source: Jensen, Taal 2016, An algorithm for predicting the intelligibility of speech masked by modulated noise maskers
(ESTOI); as a training goal, Fu, Wang, Tsao, Lu, Kawai 2018, arXiv 1709.03658.
"""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["band_correlation", "third_octaves"]

SEGMENT = 0.384  # s, the analysis window of ESTOI
SILENT = 1e-3  # a segment this far (30 dB) below the loudest holds too little speech


def third_octaves(bins: int, rate: float, *, lowest: float = 150.0, bands: int = 15) -> Tensor:
    """Which of `bins` frequencies from 0 to rate/2 belong to which third of an octave, (bands, bins) of zeros and ones.

    Band j is centred at lowest 2^(j/3) Hz; bands beyond rate/2 are left out, and every band has at least one frequency.
    """
    frequency = torch.linspace(0, rate / 2, bins, dtype=torch.float64)
    centres = lowest * 2 ** (torch.arange(bands, dtype=torch.float64) / 3)
    edges = torch.stack([centres * 2 ** (-1 / 6), centres * 2 ** (1 / 6)])
    edges = edges[:, edges[1] < rate / 2]
    low, high = ((edge[:, None] - frequency).abs().argmin(dim=1) for edge in edges)
    index = torch.arange(bins)
    inside: Tensor = (index >= low[:, None]) & (index < torch.maximum(high, low + 1)[:, None])
    return inside.float()


def band_correlation(found: Tensor, clean: Tensor, bands: Tensor, *, frames: int, stride: int = 8) -> Tensor:
    """Mean correlation of two power spectrograms (B, F, T), shape (B,); 1 where `clean` has no segment of speech.

    Args:
        found: powers |S|^2 of the estimate.
        clean: powers of the target.
        bands: (J, F), from `third_octaves`.
        frames: length N of a segment; shorter spectrograms are one segment.
        stride: frames from one segment to the next.
    """
    frames = min(frames, clean.shape[-1])
    segments = [(bands @ power).clamp_min(1e-12).sqrt().unfold(-1, frames, stride) for power in (found, clean)]  # (B, J, S, N)
    energy = segments[1].square().sum(dim=(1, 3))
    speech = (energy > SILENT * energy.amax(dim=1, keepdim=True)) & (energy > 1e-6)
    estimate, target = (_unit(_unit(segment, 3), 1) for segment in segments)
    score = (estimate * target).sum(dim=(1, 3)) / frames
    count = speech.sum(dim=1)
    mean = (score * speech).sum(dim=1) / count.clamp_min(1)
    return torch.where(count > 0, mean, torch.ones_like(mean))


def _unit(x: Tensor, axis: int) -> Tensor:
    centred = x - x.mean(dim=axis, keepdim=True)
    return centred / (centred.square().sum(dim=axis, keepdim=True) + 1e-10).sqrt()
