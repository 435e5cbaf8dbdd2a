"""A score as sound, fast: additive tones read from tables, drums of noise and sines, a little room.

The harmonics of a tone that lie below half the sampling rate are added up once, to a table of one period; a note reads that table
with a phase in whole numbers. So a note costs the same whatever its timbre, and a minute of four voices takes a tenth of a
second.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from polyscore.errors import InputError
from polyscore.music.score import Score
from polyscore.music.synth.drums import drum_hit
from polyscore.music.synth.timbres import Timbre, timbre_of

__all__ = ["PEAK", "render", "tone"]

Wave = NDArray[np.float32]

PEAK = 0.89
"""Largest sample of what `render` gives: 1 dB below full scale."""

_BITS = 13  # of a table's place: 8192 samples a period
_SHIFT = 32


def render(
    score: Score,
    *,
    rate: int = 22050,
    limit: float = 600.0,
    room: float = 0.15,
    timbres: Mapping[int, Timbre] | None = None,
) -> tuple[Wave, int]:
    """The sound of a score, (T,) float32 with peak `PEAK`, and its sampling rate in Hz.

    Args:
        score: the piece; velocities are loudness, in seconds by the tempo map.
        rate: samples a second.
        limit: seconds after which the preview ends.
        room: share of reverberation; 0 is none.
        timbres: timbres of programs that replace those of their General MIDI family.

    Raises:
        InputError: a rate, limit or room out of range.
    """
    if rate < 4000 or not limit > 0 or not 0 <= room < 1:
        found = f"rate {rate}, limit {limit}, room {room}"
        raise InputError(f"render: {found}; expected at least 4000 Hz, more than 0 s, and a share below 1")
    length = int(min(score.seconds + 1.0, limit) * rate)
    out = np.zeros(length, dtype=np.float32)
    for track in score.tracks:
        begin, end = score.seconds_at(np.stack([track.notes["start"], track.notes["start"] + track.notes["duration"]]))
        timbre = (timbres or {}).get(track.program) or timbre_of(track.program)
        loud = (track.notes["velocity"] / 127.0) ** 1.5 / (1.0 if track.is_drum else _power(timbre))
        for b, e, pitch, gain in zip(begin.tolist(), end.tolist(), track.notes["pitch"].tolist(), loud.tolist(), strict=True):
            first = int(b * rate)
            if first < length:
                sound = drum_hit(pitch, rate) if track.is_drum else tone(timbre, pitch, min(e, limit) - b, rate)
                part = out[first : first + len(sound)]
                part += np.float32(gain) * sound[: len(part)]
    if room > 0:
        out += np.float32(room) * _reverberated(out, rate)
    top = float(np.abs(out).max(initial=0.0))
    return (out * np.float32(PEAK / top) if top > 0 else out), rate


def tone(timbre: Timbre, pitch: float, seconds: float, rate: int) -> Wave:
    """One tone held for `seconds`, and its release; `pitch` in MIDI semitones (69 is 440 Hz)."""
    held, tail = max(int(seconds * rate), 1), max(int(timbre.release * rate), 1)
    frequency = 440.0 * 2.0 ** ((pitch - 69) / 12)
    step = round(frequency / rate * 2 ** (_BITS + _SHIFT))
    place = _ramp(held + tail)
    phase = ((place * step) >> _SHIFT) & (2**_BITS - 1)
    harmonics = max(int(0.45 * rate / frequency), 1)
    late: Wave = _table(timbre.late[:harmonics])[phase]
    if timbre.early != timbre.late:
        early = _table(timbre.early[:harmonics])[phase]
        late += (early - late) * np.exp(place.astype(np.float32) * np.float32(-1 / (timbre.fade * rate)))
    if np.isfinite(timbre.decay):
        late *= np.exp(place.astype(np.float32) * np.float32(-1 / (timbre.decay * rate)))
    rise = min(max(int(timbre.attack * rate), 1), held)
    late[:rise] *= np.linspace(0, 1, rise, dtype=np.float32)
    late[held:] *= np.linspace(1, 0, tail, dtype=np.float32) ** 2
    return late


def _power(timbre: Timbre) -> float:
    """Root of the power of the sustained tone, so that instruments are alike loud."""
    return float(np.sqrt(np.square(timbre.late).sum()))


def _ramp(length: int) -> NDArray[np.int64]:
    return np.arange(length, dtype=np.int64)


@lru_cache(maxsize=256)
def _table(amplitudes: tuple[float, ...]) -> Wave:
    turn = np.arange(2**_BITS) * (2 * np.pi / 2**_BITS)
    made = sum(a * np.sin((k + 1) * turn) for k, a in enumerate(amplitudes))
    table = np.asarray(made, dtype=np.float32)
    table.flags.writeable = False
    return table


def _reverberated(x: Wave, rate: int, *, seconds: float = 0.9) -> Wave:
    """x convolved with noise that decays by 60 dB over `seconds`, of unit energy; in blocks, by Fourier transforms."""
    n = int(seconds * rate)
    noise = np.random.default_rng(0).standard_normal(n) * 10 ** (-3 * np.arange(n) / n)
    noise[: int(0.01 * rate)] = 0
    noise /= np.sqrt(np.square(noise).sum())
    size = 1 << (2 * n - 1).bit_length()
    hop, spectrum = size - n + 1, np.fft.rfft(noise, size).astype(np.complex64)
    out = np.zeros(len(x) + size, dtype=np.float32)
    for start in range(0, len(x), hop):
        out[start : start + size] += np.fft.irfft(np.fft.rfft(x[start : start + hop], size) * spectrum, size).astype(np.float32)
    return out[: len(x)]
