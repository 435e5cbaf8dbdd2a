"""Several draws of one recording's clean speech: their mean, and where they differ, that is where the model invented.

With K waves x_k ~ p(x | y) and S_k their short-time Fourier transforms,

    mean       (1/K) sum x_k                                     the estimate of least mean squared error
    variance   1/(K-1) sum |S_k - S|^2,  S = (1/K) sum S_k       per bin, mean over channels
    doubt      variance / (variance + |S|^2)                     0: all draws agree, 1: nothing but invention

Nothing but the sums is kept, so K costs no memory.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from polyscore.audio.spectrogram_plot import complex_spectrogram
from polyscore.errors import InputError

__all__ = ["Posterior", "summarise"]


@dataclass(frozen=True)
class Posterior:
    """Summary of draws.

    Attributes:
        mean: wave (C, L).
        variance: (F, columns), F from 0 Hz to half of the rate, on the grid of `spectrogram_plot.power_db`.
        doubt: (F, columns), share of the variance in the power, 0 to 1; 0 where there is silence.
    """

    mean: Tensor
    variance: Tensor
    doubt: Tensor


def summarise(draws: Iterable[Tensor], sample_rate: int) -> Posterior:
    """Mean, variance and doubt of waves (C, L) of one shape.

    Raises:
        InputError: fewer than two draws, or of different shapes.
    """
    count, wave, total, power = 0, torch.empty(0), torch.empty(0), torch.empty(0)
    for draw in draws:
        spec = complex_spectrogram(draw, sample_rate)
        if count == 0:
            wave, total, power = draw.clone(), spec.to(torch.complex128), spec.abs().double().square()
        elif draw.shape != wave.shape:
            raise InputError(f"summarise: draws of shapes {tuple(wave.shape)} and {tuple(draw.shape)}; expected one shape")
        else:
            wave, total, power = wave + draw, total + spec, power + spec.abs().double().square()
        count += 1
    if count < 2:
        raise InputError(f"summarise: {count} draws; expected at least 2")
    center = (total / count).abs().square()
    variance = ((power - count * center) / (count - 1)).clamp_min(0).mean(0)
    doubt = variance / (variance + center.mean(0)).clamp_min(torch.finfo(variance.dtype).tiny)
    return Posterior(wave / count, variance.float(), doubt.float())
