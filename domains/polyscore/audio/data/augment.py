"""Random changes of speech and noise that keep what is said.

Filters are zero-phase gains over frequency, multiplied into the spectrum of a whole excerpt; their logarithms add up,
so several cost one transform. All draws come from the generator that is given.
"""

from __future__ import annotations

import numpy as np
import soxr

from polyscore.audio.data.speech import Wave

__all__ = ["apply_gain", "band_limit", "change_speed", "frequencies", "low_shelf", "random_equaliser", "reverberate"]

Rng = np.random.Generator


def apply_gain(wave: Wave, decibels: Wave) -> Wave:
    """Filter `wave` (L,) with a gain in dB given at the frequencies `frequencies(L, rate)`, without delay."""
    return np.fft.irfft(np.fft.rfft(wave) * 10 ** (decibels / 20), len(wave)).astype(np.float32)


def frequencies(samples: int, rate: int) -> Wave:
    """The frequencies in Hz of a real transform of `samples`."""
    return np.fft.rfftfreq(samples, 1 / rate).astype(np.float32)


def random_equaliser(f: Wave, rng: Rng, depth: float = 4.0) -> Wave:
    """Gain in dB, smooth over log-frequency: six knots from 60 Hz to 8 kHz with a standard deviation of `depth` dB."""
    knots = np.linspace(np.log(60), np.log(8000), 6)
    return np.interp(np.log(np.maximum(f, 30)), knots, rng.normal(0, depth, 6)).astype(np.float32)


def low_shelf(f: Wave, corner: float, gain: float) -> Wave:
    """Gain in dB that goes from `gain` far below `corner` Hz to 0 far above, half way at the corner."""
    return (gain / (1 + (f / corner) ** 4)).astype(np.float32)


def band_limit(f: Wave, corner: float) -> Wave:
    """Gain in dB of a low-pass: 0 up to `corner` Hz, -60 dB from 1.05 `corner` on."""
    return (-60 * np.clip((f / corner - 1) / 0.05, 0, 1)).astype(np.float32)


def change_speed(wave: Wave, factor: float, rate: int) -> Wave:
    """Play `factor` times as fast: tempo, pitch and formants change together."""
    return np.asarray(soxr.resample(wave, rate * factor, rate, quality="LQ"), dtype=np.float32)


def reverberate(wave: Wave, response: Wave) -> Wave:
    """Convolve with a room response whose direct sound comes first; the length stays."""
    size = 1 << (len(wave) + len(response) - 1).bit_length()
    wet = np.fft.irfft(np.fft.rfft(wave, size) * np.fft.rfft(response, size), size)
    return wet[: len(wave)].astype(np.float32)
