"""The key of a piece, and the transposition that brings it to C major or A minor.

Each of twelve diatonic scales scores the weight of pitch classes inside it minus the weight outside. The best scale belongs to a
major key and its relative minor; of the two the heavier tonic decides. That is the rule of GETMusic (Lv et al. 2023, arXiv
2305.10841); it moves major keys down by 0 to 11 semitones, and minor ones by -2 to +9.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["Tonality", "tonality"]

_SCALE = np.array([1, -1, 1, -1, 1, 1, -1, 1, -1, 1, -1, 1])
# Rows 0..11 are the major keys, rows 12..23 the minor ones: the scale of a minor key is that of its relative major.
_PROFILES = np.stack([np.roll(_SCALE, tonic) for tonic in range(12)] + [np.roll(_SCALE, tonic + 3) for tonic in range(12)])


class Tonality(NamedTuple):
    """Tonic 0..11 (C is 0), mode, and the semitones to C major or A minor."""

    tonic: int
    minor: bool
    shift: int


def tonality(pitch: ArrayLike, weight: ArrayLike) -> Tonality:
    """The key of notes of these pitches and weights (duration times loudness); C major where there is no weight."""
    pitches, weights = np.asarray(pitch, dtype=np.int64), np.asarray(weight, dtype=np.float64)
    counts = np.bincount(pitches % 12, weights, minlength=12)
    if counts.sum() == 0:
        return Tonality(0, False, 0)
    histogram = counts / counts.sum()
    likeness: NDArray[np.float64] = np.dot(_PROFILES, histogram)
    # At least two rows have the maximum: a major key and its relative minor, by symmetry also more; the first two are asked.
    major, other = (int(row) for row in np.flatnonzero(likeness == likeness.max())[:2])
    row = other if histogram[major] < histogram[other % 12] else major
    return Tonality(row % 12, row > 11, 21 - row if row > 11 else -row)
