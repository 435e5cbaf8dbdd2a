"""Drums of the General MIDI percussion map: a falling sine for skins, noise in a band for snares, hats and cymbals."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["drum_hit"]


class _Hit(NamedTuple):
    """Skin: Hz at the stroke and later, e-fold seconds, level. Noise: from and to Hz, e-fold seconds, level."""

    high: float
    low: float
    ring: float
    skin: float
    start: float
    stop: float
    hiss: float
    noise: float


_KICK = _Hit(160, 48, 0.12, 1.0, 30, 3000, 0.01, 0.3)
_SNARE = _Hit(240, 180, 0.06, 0.5, 900, 9000, 0.09, 0.7)
_STICK = _Hit(1700, 1600, 0.015, 0.5, 1500, 6000, 0.01, 0.5)
_CLAP = _Hit(0, 0, 0.01, 0.0, 800, 5000, 0.08, 0.8)
_CLOSED = _Hit(0, 0, 0.01, 0.0, 6000, 16000, 0.025, 0.5)
_OPEN = _Hit(0, 0, 0.01, 0.0, 6000, 16000, 0.18, 0.45)
_CYMBAL = _Hit(0, 0, 0.01, 0.0, 3000, 15000, 0.5, 0.5)
_RIDE = _Hit(3100, 3100, 0.2, 0.1, 5000, 14000, 0.25, 0.3)
_WOOD = _Hit(820, 780, 0.04, 0.7, 800, 4000, 0.01, 0.2)

_KEYS = {35: _KICK, 36: _KICK, 37: _STICK, 38: _SNARE, 39: _CLAP, 40: _SNARE, 42: _CLOSED, 44: _CLOSED, 46: _OPEN}
_KEYS |= dict.fromkeys((49, 52, 55, 57), _CYMBAL) | dict.fromkeys((51, 53, 59), _RIDE) | dict.fromkeys((54, 69, 70), _CLOSED)
_TOMS = {41: 80, 43: 95, 45: 115, 47: 135, 48: 160, 50: 185, 60: 330, 61: 260, 62: 350, 63: 300, 64: 230, 65: 380, 66: 280}


@lru_cache(maxsize=256)
def drum_hit(key: int, rate: int) -> NDArray[np.float32]:
    """The sound (T,) of one stroke; keys outside the map sound like wood blocks."""
    hit = _KEYS.get(key) or (_tom(_TOMS[key]) if key in _TOMS else _WOOD)
    n = int(rate * max(6 * hit.ring * (hit.skin > 0), 6 * hit.hiss))
    t = np.arange(n) / rate
    pitch = hit.low + (hit.high - hit.low) * np.exp(-t / 0.03)
    skin = hit.skin * np.exp(-t / hit.ring) * np.sin(2 * np.pi * np.cumsum(pitch) / rate)
    spectrum = np.fft.rfft(np.random.default_rng(key).standard_normal(n))
    frequency = np.fft.rfftfreq(n, 1 / rate)
    spectrum[(frequency < hit.start) | (frequency > hit.stop)] = 0
    hiss = np.fft.irfft(spectrum, n)
    hiss *= hit.noise / max(float(np.abs(hiss).max(initial=0.0)), 1e-12) * np.exp(-t / hit.hiss)
    out = ((skin + hiss) * np.minimum(1.0, np.arange(n)[::-1] / (0.005 * rate))).astype(np.float32)
    out.flags.writeable = False
    return out


def _tom(low: float) -> _Hit:
    return _Hit(1.6 * low, low, 0.15, 0.8, 200, 2500, 0.02, 0.15)
