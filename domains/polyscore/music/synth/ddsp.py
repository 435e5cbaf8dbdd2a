r"""Differentiable sound: a bank of harmonic oscillators, filtered noise, a reverberation, and an instrument made of them.

Controls are given a frame, every `hop` samples, and read in between by straight lines. With phases phi_k(n) = 2 pi sum_(m <= n)
k f(m) / rate,

    harmonic(n) = A(n) sum_k c_k(n) sin phi_k(n),    sum_k c_k = 1,   c_k = 0 where k f reaches half the rate
    noise       = every frame of white noise through the linear-phase filter with the frame's magnitudes, overlapped and added
    reverb(x)   = x + h * x,    h(0) = 0

All of it has gradients, so an instrument is fitted to a recording by descent on the distance of spectrograms at several scales.

Sources: Engel, Hantrakul, Gu, Roberts 2020 (DDSP), arXiv 2001.04643; Wang, Takaki, Yamagishi 2019 (spectral distances at several
scales), arXiv 1904.12088.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from polyscore.errors import InputError
from polyscore.music.synth.timbres import Timbre

__all__ = ["FilteredNoise", "HarmonicOscillator", "Instrument", "Reverb", "spectral_distance"]


def _samples(frames: Tensor, count: int) -> Tensor:
    """Controls (..., F) at `count` samples, by straight lines from the first frame to the last."""
    flat = frames.reshape(-1, 1, frames.shape[-1])
    return functional.interpolate(flat, count, mode="linear", align_corners=True).reshape(*frames.shape[:-1], count)


class HarmonicOscillator(nn.Module):
    """Tones with harmonics.

    Args:
        rate: samples a second.
        hop: samples a frame.

    Raises:
        InputError: numbers that are not positive.
    """

    def __init__(self, rate: int, hop: int) -> None:
        super().__init__()
        if min(rate, hop) < 1:
            raise InputError(f"HarmonicOscillator: rate {rate}, hop {hop}; expected positive numbers")
        self.rate, self.hop = rate, hop

    def forward(self, frequency: Tensor, amplitude: Tensor, harmonics: Tensor) -> Tensor:
        """Sound (B, F hop) of frequency (B, F) in Hz, amplitude (B, F) >= 0, and weights of the harmonics (B, H, F) >= 0."""
        count = frequency.shape[-1] * self.hop
        f = _samples(frequency, count)
        order = torch.arange(1, harmonics.shape[1] + 1, device=f.device).view(1, -1, 1)
        below = (order * frequency.unsqueeze(1) < self.rate / 2).to(harmonics)
        weights = harmonics * below
        share = weights / weights.sum(1, keepdim=True).clamp(min=1e-12)
        turns = (f.double() / self.rate).cumsum(-1)  # float32 sums would drift out of tune
        phase = (order * turns.unsqueeze(1) % 1).to(f) * (2 * math.pi)
        return (_samples(amplitude.unsqueeze(1) * share, count) * phase.sin()).sum(1)


class FilteredNoise(nn.Module):
    """White noise with a spectrum that changes from frame to frame.

    Args:
        hop: samples a frame.

    Raises:
        InputError: a hop that is not positive.
    """

    def __init__(self, hop: int) -> None:
        super().__init__()
        if hop < 1:
            raise InputError(f"FilteredNoise: hop {hop}, expected a positive number")
        self.hop = hop

    def forward(self, magnitudes: Tensor, noise: Tensor) -> Tensor:
        """Sound (B, F hop): white noise (B, F hop) in frames, each through a filter with gains (B, K, F) from 0 Hz up.

        The filters have 2 K - 2 taps with a Hann window, and no delay.
        """
        bands, frames = magnitudes.shape[1:]
        taps = 2 * bands - 2
        response = torch.fft.irfft(magnitudes.transpose(1, 2).to(torch.complex64), taps)
        response = torch.roll(response, bands - 1, -1) * torch.hann_window(taps, device=noise.device)
        size = self.hop + taps - 1
        spectrum = torch.fft.rfft(noise.view(len(noise), frames, self.hop), size) * torch.fft.rfft(response, size)
        blocks = torch.fft.irfft(spectrum, size).transpose(1, 2)  # (B, size, F)
        total = (frames - 1) * self.hop + size
        added = functional.fold(blocks, (1, total), (1, size), stride=(1, self.hop)).flatten(1)
        return added[:, bands - 1 : bands - 1 + frames * self.hop]


class Reverb(nn.Module):
    """A room whose impulse response is learnt.

    Args:
        length: samples of the response.

    Raises:
        InputError: fewer than two samples.
    """

    def __init__(self, length: int) -> None:
        super().__init__()
        if length < 2:
            raise InputError(f"Reverb: a response of {length} samples, expected at least 2")
        self.length = length
        self.response = nn.Parameter(torch.zeros(length - 1))

    def forward(self, x: Tensor) -> Tensor:
        """x (B, T) and its echoes, (B, T)."""
        size = x.shape[-1] + self.length - 1
        wet = functional.pad(self.response, (1, 0))
        echo: Tensor = torch.fft.irfft(torch.fft.rfft(x, size) * torch.fft.rfft(wet, size), size)[..., : x.shape[-1]]
        return x + echo


class Instrument(nn.Module):
    """One note's worth of controls as parameters: loudness, harmonics and noise over time, a room, and how far it is out of tune.

    Args:
        seconds: how long the note is.
        rate: samples a second.
        hop: samples a frame.
        harmonics: how many.
        bands: gains of the noise's spectrum.
        room: samples of the room's response.

    Raises:
        InputError: numbers that are not positive.
    """

    def __init__(
        self, seconds: float, *, rate: int = 16000, hop: int = 128, harmonics: int = 16, bands: int = 17, room: int = 400
    ) -> None:
        super().__init__()
        frames = math.ceil(seconds * rate / hop)
        if min(frames, harmonics, bands - 1) < 1:
            raise InputError(f"Instrument: {seconds} s, {harmonics} harmonics, {bands} bands; expected a sound, and two bands")
        self.seconds, self.rate, self.hop, self.harmonics, self.bands, self.room = seconds, rate, hop, harmonics, bands, room
        self.loudness = nn.Parameter(torch.full((frames,), -2.0))
        self.weights = nn.Parameter(torch.zeros(harmonics, frames))
        self.gains = nn.Parameter(torch.full((bands, frames), -4.0))
        self.cents = nn.Parameter(torch.zeros(()))
        self.oscillator, self.hiss, self.reverb = HarmonicOscillator(rate, hop), FilteredNoise(hop), Reverb(room)

    def forward(self, frequency: float, noise: Tensor) -> Tensor:
        """The note at `frequency` Hz, (F hop,); `noise` white, (F hop,)."""
        f = frequency * 2 ** (self.cents / 1200) * torch.ones_like(self.loudness)
        tone = self.oscillator(f.unsqueeze(0), _positive(self.loudness).unsqueeze(0), _positive(self.weights).unsqueeze(0))
        hiss = self.hiss(_positive(self.gains).unsqueeze(0), noise.unsqueeze(0))
        sound: Tensor = self.reverb(tone + hiss)
        return sound.squeeze(0)

    @property
    def samples(self) -> int:
        """F hop."""
        return self.loudness.numel() * self.hop

    @torch.no_grad()
    def timbre(self) -> Timbre:
        """What was learnt, for the additive synthesiser: harmonics of the loudest frame and of those after it, and times."""
        level = _positive(self.loudness)
        share = _positive(self.weights)
        share = share / share.sum(0)
        top, frame = int(level.argmax()), self.hop / self.rate
        later = share[:, top:].mul(level[top:]).sum(1) / level[top:].sum()
        ends = level[top:] > level[top] / math.e
        held = frame * int(ends.long().cumprod(0).sum())
        decay = held if not bool(ends.all()) else math.inf
        return Timbre(tuple(share[:, top].tolist()), tuple(later.tolist()), max(top * frame, 0.002), max(decay, frame))


def _positive(x: Tensor) -> Tensor:
    """DDSP's 2 sigmoid(x)^(ln 10) + 1e-7: between 1e-7 and 2, even in decibels."""
    return 2 * x.sigmoid() ** math.log(10.0) + 1e-7


def spectral_distance(
    x: Tensor, y: Tensor, sizes: Sequence[int] = (1024, 512, 256, 128), *, floor: float = 1e-5
) -> Tensor:
    """Mean |S - S'| + |log(S + floor) - log(S' + floor)| over windows of several sizes, x and y (..., T): one number.

    Windows overlap by 75 %. A higher floor lets quiet places count less.
    """
    total = x.new_zeros(())
    for size in sizes:
        window = torch.hann_window(size, device=x.device)
        a, b = (torch.stft(part, size, size // 4, window=window, return_complex=True).abs() for part in (x, y))
        total = total + (a - b).abs().mean() + ((a + floor).log() - (b + floor).log()).abs().mean()
    return total
