"""The loss that compares a predicted spectrogram with the clean one: in spectrogram, magnitude, wave and what metrics hear.

With X^ the prediction and X the clean spectrogram, both compressed and divided by the codec's factor, and x^ and x the
waves,

    loss = mean |X^ - X|^2 + w_m mean (|X^| - |X|)^2 + w_x mean |x^ - x|
         + w_c (1 - C(x^, x)) + w_d 10 log10(d + 0.001) + w_p PESQ(x^, x),

    d = |x^ - a x|^2 / |a x|^2,    a = <x^, x> / |x|^2.

The magnitude term keeps the loss from shrinking what it cannot place in phase; the term on waves looks through the
codec; C is the correlation of third-octave envelopes that ESTOI takes, and PESQ the one of `polyscore.audio.losses`. The term
in w_d is the negative SI-SDR in dB; it stops to count above 30 dB and is left out where the clean wave is silent.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from polyscore.audio.codec import SpectrogramCodec
from polyscore.audio.losses import SEGMENT, PesqLoss, band_correlation, third_octaves
from polyscore.denoisers import Denoiser
from polyscore.noise import NoiseLike
from polyscore.state import NONE, Given, State, Time
from polyscore.training.objectives import X0Loss

__all__ = ["Reconstruction", "pesq_loss"]


@dataclass(frozen=True)
class Reconstruction(X0Loss):
    """Data prediction by the loss of the module docstring; `weight` w(t) multiplies all of it.

    As an objective it noises the data, asks the denoiser for x0 and compares; `compare` alone serves predictors.
    `codec` and `sample_rate` are those of the enhancer.
    """

    magnitude_weight: float = 0.25
    wave_weight: float = 0.1
    correlation_weight: float = 0.0
    distortion_weight: float = 0.0
    pesq_weight: float = 0.0
    codec: SpectrogramCodec = SpectrogramCodec()
    sample_rate: int = 16000

    def __call__(self, denoiser: Denoiser, process: Any, x0: State, *, t: Time, given: Given = NONE, noise: NoiseLike = 0) -> Any:
        """The loss of every sample, (B, 1), for spectrograms x0 (B, 1, F, T) and times (B,)."""
        assert isinstance(x0, Tensor)
        assert isinstance(t, Tensor)
        found = denoiser(process.perturb(x0, t, given=given, noise=noise).x, t, given).x0
        loss = self.compare(found[:, 0], x0[:, 0])[0]
        return (self.weight(process, t).to(loss) * loss)[:, None]

    def compare(self, found: Tensor, target: Tensor, clean: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """The loss (B,) of predicted spectrograms (B, F, T), and their waves (B, L).

        `clean` (B, L) are the waves of `target`; without them it is decoded, to a whole number of hops.
        """
        length = (target.shape[-1] - 1) * self.codec.hop if clean is None else clean.shape[-1]
        clean = self.codec.decode(target, length) if clean is None else clean
        wave = self.codec.decode(found, length)
        unit = self.codec.factor if self.codec.transform != "none" else 1.0
        found, target = found / unit, target / unit
        entries = _power(found - target) + self.magnitude_weight * (_size(found) - _size(target)).square()
        loss = entries.mean(dim=(1, 2)) + self.wave_weight * (wave - clean).abs().mean(dim=1)
        if self.correlation_weight:
            loss = loss + self.correlation_weight * (1 - self._correlation(wave, clean))
        if self.distortion_weight:
            loss = loss + self.distortion_weight * _distortion(wave, clean)
        if self.pesq_weight:
            loss = loss + self.pesq_weight * pesq_loss(self.sample_rate)(wave, clean)
        return loss, wave

    def _correlation(self, wave: Tensor, clean: Tensor) -> Tensor:
        powers = [_power(self.codec.stft(signal)) for signal in (wave, clean)]
        bands = _bands(self.codec.bins, self.sample_rate, wave.device)
        return band_correlation(powers[0], powers[1], bands, frames=round(SEGMENT * self.sample_rate / self.codec.hop))


@lru_cache(maxsize=4)
def pesq_loss(rate: int) -> PesqLoss:
    """The loss at `rate` Hz; its tables are made once."""
    with torch.inference_mode(False):
        return PesqLoss(rate)


@lru_cache(maxsize=8)
def _bands(bins: int, rate: int, device: torch.device) -> Tensor:
    with torch.inference_mode(False):
        return third_octaves(bins, rate).to(device)


def _distortion(found: Tensor, clean: Tensor) -> Tensor:
    """10 log10(d + 0.001) of waves (B, L), in dB; 0 where `clean` is silent or nothing of it is found."""
    energy = clean.square().sum(dim=1, keepdim=True)
    target = (found * clean).sum(dim=1, keepdim=True) / energy.clamp_min(1e-8) * clean
    part = target.square().sum(dim=1)
    ratio = (found - target).square().sum(dim=1) / part.clamp_min(1e-8)
    return torch.where(part > 1e-6, 10 * torch.log10(ratio + 1e-3), torch.zeros_like(ratio))


def _power(spec: Tensor) -> Tensor:
    """|S|^2, whose gradient is finite at 0."""
    return spec.real.square() + spec.imag.square()


def _size(spec: Tensor) -> Tensor:
    return (_power(spec) + 1e-10).sqrt()
