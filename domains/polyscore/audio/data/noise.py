"""Synthetic noise, babble and room responses at 16 kHz.

Every kind of noise is white noise or a sum of tones, shaped by a random magnitude response (frequency domain) and a
random envelope (time domain); the parameters are drawn over the ranges in which the real thing is found: fans, wind,
engines, hum, rain, crackle, hiss, machines, tones. A room response is a direct pulse and Gaussian noise that decays by
60 dB in RT60, faster at high frequencies.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path

import numpy as np
import soundfile

from polyscore.audio.data.speech import RATE, Wave
from polyscore.errors import InputError

__all__ = ["KINDS", "babble", "noise", "room", "rooms", "scenes"]

Rng = np.random.Generator


def _shape(white: Wave, gain: Callable[[Wave], Wave]) -> Wave:
    """Multiply the spectrum of `white` by `gain(frequencies in Hz)`."""
    frequency = np.fft.rfftfreq(len(white), 1 / RATE)
    return np.fft.irfft(np.fft.rfft(white) * gain(frequency), len(white)).astype(np.float32)


def _bell(f: Wave, centre: float, width: float) -> Wave:
    """A Gaussian over log-frequency, `width` in octaves."""
    return np.asarray(np.exp(-((np.log2(np.maximum(f, 1) / centre) / width) ** 2)))


def _between(f: Wave, low: float, high: float) -> Wave:
    return ((f >= low) & (f < high)).astype(float)


def _coloured(n: int, rng: Rng, low: float = -2.5, high: float = 0.5) -> Wave:
    """Gaussian noise of power f^slope above a corner of 20 to 80 Hz, with a few random broad resonances."""
    slope, corner = rng.uniform(low, high), rng.uniform(20, 80)
    centres, widths = np.exp(rng.uniform(np.log(60), np.log(7500), 5)), rng.uniform(0.15, 1.2, 5)
    gains = rng.uniform(-9, 9, 5)

    def gain(f: Wave) -> Wave:
        octave = np.log2(np.maximum(f, 1)[:, None] / centres)
        colour = (np.maximum(f, corner) / 1000) ** (slope / 2) * (f > corner / 2)
        return np.asarray(colour * 10 ** ((gains * np.exp(-((octave / widths) ** 2))).sum(1) / 20))

    return _shape(rng.standard_normal(n, dtype=np.float32), gain)


def _slow(n: int, rng: Rng, rate: float, depth: float) -> Wave:
    """A positive envelope: exp of noise with `rate` knots a second and a standard deviation of `depth` nepers."""
    knots = rng.standard_normal(max(int(n / RATE * rate), 2) + 2)
    return np.exp(depth * np.interp(np.linspace(0, len(knots) - 1, n), np.arange(len(knots)), knots)).astype(np.float32)


def _stationary(n: int, rng: Rng) -> Wave:
    return _coloured(n, rng)


def _modulated(n: int, rng: Rng) -> Wave:
    return _coloured(n, rng) * _slow(n, rng, rng.uniform(0.5, 12), rng.uniform(0.3, 1.0))


def _wind(n: int, rng: Rng) -> Wave:
    """Rumble whose level and bandwidth swell together."""
    cut = rng.uniform(80, 500)
    low = _shape(rng.standard_normal(n, dtype=np.float32), lambda f: 1 / (1 + (f / cut) ** rng.uniform(2, 4)))
    gust = _slow(n, rng, rng.uniform(0.5, 3), rng.uniform(0.5, 1.2))
    return np.asarray(low / low.std() * gust + 0.05 * _coloured(n, rng, -2, -1) * gust**2)


def _phase(n: int, rng: Rng, frequency: float, wobble: float) -> Wave:
    """Phase in radians of a tone around `frequency` Hz that wanders by the relative amount `wobble`."""
    drift = np.log(_slow(n, rng, rng.uniform(0.5, 4), wobble))
    return np.asarray(2 * np.pi * np.cumsum(frequency * (1 + drift)) / RATE)


def _harmonics(n: int, rng: Rng, base: float, count: int, wobble: float, fall: float) -> Wave:
    phase = _phase(n, rng, base, wobble)
    wave = np.zeros(n)
    for k in range(1, min(count, int(7500 / base)) + 1):
        wave += k**-fall * rng.lognormal(0, 0.7) * np.sin(k * phase + rng.uniform(0, 6.3))
    return wave.astype(np.float32)


def _hum(n: int, rng: Rng) -> Wave:
    wave = _harmonics(n, rng, float(rng.choice([50, 60, 100, 120])), int(rng.integers(3, 40)), 0.0, rng.uniform(0.3, 1.5))
    return np.asarray(wave / wave.std() + rng.uniform(0.05, 0.5) * _unit(_coloured(n, rng)))


def _engine(n: int, rng: Rng) -> Wave:
    """Harmonics of a wandering firing rate, buried in noise that beats with it."""
    base = float(np.exp(rng.uniform(np.log(18), np.log(220))))
    wave = _harmonics(n, rng, base, 60, rng.uniform(0.005, 0.08), rng.uniform(0.4, 1.4))
    beat = 1 + rng.uniform(0, 0.9) * np.sin(_phase(n, rng, base, 0.02))
    return np.asarray(wave / wave.std() + rng.uniform(0.2, 2) * _unit(_coloured(n, rng, -2, 0)) * beat.astype(np.float32))


def _tones(n: int, rng: Rng) -> Wave:
    """Whistles and alarms: a few tones, switched or sweeping, over a little noise."""
    wave = 0.1 * _unit(_coloured(n, rng))
    for _ in range(int(rng.integers(1, 5))):
        tone = np.sin(_phase(n, rng, float(np.exp(rng.uniform(np.log(150), np.log(6000)))), rng.choice([0.0, 0.002, 0.05])))
        gate = _slow(n, rng, rng.uniform(1, 8), 1.0) > rng.choice([0.0, 0.8, 1.2])
        smooth = np.convolve(gate.astype(np.float32), np.full(160, 1 / 160, dtype=np.float32), mode="same")
        wave += (rng.lognormal(0, 0.6) * tone * smooth).astype(np.float32)
    return wave


def _clicks(n: int, rng: Rng) -> Wave:
    """Crackle, clatter, keys, drops: filtered bursts at Poisson times, with ringing resonances, over a little noise."""
    pulses = np.zeros(n, dtype=np.float32)
    times = rng.integers(0, n, size=rng.poisson(n / RATE * np.exp(rng.uniform(np.log(1.5), np.log(300)))) + 1)
    np.add.at(pulses, times, (rng.lognormal(0, 1.0, len(times)) * rng.choice([-1, 1], len(times))).astype(np.float32))
    length = int(RATE * np.exp(rng.uniform(np.log(0.003), np.log(0.2))))
    decay = np.exp(-6.9 * np.arange(length) / length)
    body = rng.standard_normal(length) * rng.uniform(0, 1)
    for _ in range(int(rng.integers(0, 4))):
        body += np.sin(2 * np.pi * np.exp(rng.uniform(np.log(200), np.log(6500))) * np.arange(length) / RATE)
    size = 1 << (n + length).bit_length()
    wave = np.fft.irfft(np.fft.rfft(pulses, size) * np.fft.rfft(body * decay + 1e-6, size), size)[:n]
    return _unit(wave.astype(np.float32)) + rng.uniform(0.02, 0.4) * _unit(_coloured(n, rng))


def _narrow(n: int, rng: Rng) -> Wave:
    """One to four noise bands of a tenth to one octave."""
    wave = np.zeros(n, dtype=np.float32)
    for _ in range(int(rng.integers(1, 5))):
        centre, width = np.exp(rng.uniform(np.log(80), np.log(6500))), rng.uniform(0.05, 0.6)
        band = _shape(rng.standard_normal(n, dtype=np.float32), partial(_bell, centre=centre, width=width))
        wave += _unit(band) * _slow(n, rng, rng.uniform(0.5, 6), rng.uniform(0, 0.8)) * np.float32(rng.lognormal(0, 0.5))
    return wave + 0.1 * _unit(_coloured(n, rng))


def _machine(n: int, rng: Rng) -> Wave:
    """A rhythm: one coloured burst repeated with small jitter, over coloured noise."""
    period = int(RATE * np.exp(rng.uniform(np.log(0.04), np.log(0.9))))
    burst = _coloured(period, rng, -1.5, 1.0) * np.exp(-rng.uniform(2, 12) * np.arange(period) / period).astype(np.float32)
    wave = np.zeros(n + 2 * period, dtype=np.float32)
    for start in range(0, n, period):
        at = start + int(rng.integers(0, max(period // 20, 1)))
        wave[at : at + period] += burst * np.float32(rng.uniform(0.6, 1.4))
    return _unit(wave[:n]) + rng.uniform(0.1, 1.0) * _unit(_coloured(n, rng))


def _unit(wave: Wave) -> Wave:
    return wave / np.float32(wave.std() + 1e-9)


KINDS: Mapping[str, Callable[[int, Rng], Wave]] = {
    "stationary": _stationary,
    "modulated": _modulated,
    "wind": _wind,
    "hum": _hum,
    "engine": _engine,
    "tones": _tones,
    "clicks": _clicks,
    "narrow": _narrow,
    "machine": _machine,
}


def noise(kind: str, samples: int, rng: Rng) -> Wave:
    """Draw `samples` of one `kind` (a key of `KINDS`), float32, peak 0.7."""
    wave = KINDS[kind](samples, rng)
    return np.asarray((0.7 * wave / (np.abs(wave).max() + 1e-9)).astype(np.float32))


def scenes(*, minutes: float, rng: Rng) -> Iterator[tuple[str, Wave]]:
    """Yield pieces of 10 s, in turn of every kind, until `minutes` are full."""
    for i in range(int(minutes * 6)):
        kind = list(KINDS)[i % len(KINDS)]
        yield f"{kind}-{i:04d}", noise(kind, 10 * RATE, rng)


def babble(root: Path, *, minutes: float, rng: Rng) -> Iterator[tuple[str, Wave]]:
    """Yield pieces of 15 s in which 3 to 8 voices, chosen from all wav files under `root`, talk at once."""
    paths = sorted(root.rglob("*.wav"))
    if not paths:
        raise InputError(f"babble: no wav file under {root}; prepare the clean sources first")
    folders: dict[Path, list[Path]] = {}
    for path in paths:
        folders.setdefault(path.parent, []).append(path)
    groups = list(folders.values())
    for i in range(int(minutes * 4)):
        wave = np.zeros(15 * RATE, dtype=np.float32)
        for _ in range(int(rng.integers(3, 9))):
            group, voice = groups[int(rng.integers(len(groups)))], np.zeros(0, dtype=np.float32)
            while len(voice) < len(wave):
                samples, _rate = soundfile.read(group[int(rng.integers(len(group)))], dtype="float32")
                voice = np.concatenate([voice, _unit(samples)])
            start = int(rng.integers(0, len(voice) - len(wave) + 1))
            wave += np.float32(rng.lognormal(0, 0.4)) * voice[start : start + len(wave)]
        yield f"babble-{i:04d}", 0.7 * wave / np.abs(wave).max()


def room(rng: Rng, *, rt60: float, direct_to_reverberant: float) -> Wave:
    """A room response: a unit pulse, then coloured noise that falls by 60 dB in `rt60` s (half of it at 8 kHz).

    `direct_to_reverberant` is the energy ratio in dB.
    """
    n = int(min(rt60, 1.0) * RATE)
    time = np.arange(n) / RATE
    tail = np.zeros(n)
    for low, high, share in ((0, 1000, 1.0), (1000, 3000, 0.85), (3000, 8001, 0.6)):
        band = _shape(rng.standard_normal(n, dtype=np.float32), partial(_between, low=low, high=high))
        tail += band * np.exp(-6.91 * time / (rt60 * share))
    gap = int(rng.uniform(0.001, 0.012) * RATE)
    tail[:gap] = 0
    tail *= 10 ** (-direct_to_reverberant / 20) / np.sqrt((tail**2).sum() + 1e-12)
    tail[0] = 1.0
    return tail.astype(np.float32)


def rooms(*, count: int, rng: Rng) -> Iterator[tuple[str, Wave]]:
    """Yield `count` room responses: RT60 0.1 to 0.7 s, direct-to-reverberant ratio 0 to 15 dB, peak 0.99."""
    for i in range(count):
        response = room(
            rng, rt60=float(np.exp(rng.uniform(np.log(0.1), np.log(0.7)))), direct_to_reverberant=float(rng.uniform(0, 15))
        )
        yield f"room-{i:03d}", 0.99 * response / np.abs(response).max()
