r"""Statistics of a piece that the field reports, computed as muspy 0.5 does (Dong et al. 2020, arXiv 2008.01951), on arrays.

Times are whole steps, `per_beat` a quarter note (muspy resamples to 4); pitches are those of all tracks without drums. Entropies
are in bits. Where nothing can be counted the value is NaN.

    pitch_entropy            of the histogram of pitches;  pitch_class_entropy: of pitches modulo 12
    scale_consistency        the largest share of notes that a major or natural minor scale holds
    polyphony                pitches that sound, on average over the steps with any;  polyphony_rate: share of steps with more
                             than two
    empty_beat_rate          share of beats, empty_measure_rate of bars, that no note touches
    groove_consistency       1 - mean share of the positions of a bar at which it and the next one differ in having an onset
    drum_pattern_consistency the larger share of drum strokes on a raster of eighths and sixteenths, or of triplets
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from polyscore.errors import InputError
from polyscore.music.score import Score

__all__ = ["MAJOR", "muspy_metrics", "pitch_in_scale_rate", "scale_consistency"]

MAJOR = np.array([1, 0, 1, 0, 1, 1, 0, 1, 0, 1, 0, 1], dtype=bool)

Ints = NDArray[np.int64]


def muspy_metrics(score: Score, *, per_beat: int = 4, measure: int = 16) -> dict[str, float]:
    """All of them, by name.

    Args:
        score: the piece.
        per_beat: steps of a quarter note.
        measure: steps of a bar, for the metrics that compare bars.

    Raises:
        InputError: no steps in a beat or a bar.
    """
    if min(per_beat, measure) < 1:
        raise InputError(f"muspy_metrics: {per_beat} steps a beat, {measure} a bar; expected positive numbers")
    pitched, drums = (_steps(score, per_beat, drums=kind) for kind in (False, True))
    both = np.concatenate([pitched, drums])
    pitch, roll = pitched[:, 2], _pianoroll(pitched, int(both[:, 1].max(initial=0)))
    sounding = roll.sum(1)
    return {
        "pitch_range": float(np.ptp(pitch)) if len(pitch) else 0.0,
        "n_pitches_used": float(len(np.unique(pitch))),
        "n_pitch_classes_used": float(len(np.unique(pitch % 12))),
        "polyphony": _share(int(sounding.sum()), int(np.count_nonzero(sounding))),
        "polyphony_rate": _share(int(np.count_nonzero(sounding > 2)), len(roll)),
        "scale_consistency": scale_consistency(pitch),
        "pitch_entropy": _entropy(np.bincount(pitch)),
        "pitch_class_entropy": _entropy(np.bincount(pitch % 12)),
        "empty_beat_rate": _empty(both, per_beat),
        "empty_measure_rate": _empty(both, measure),
        "groove_consistency": _groove(both, measure),
        "drum_pattern_consistency": _drum_pattern(drums[:, 0], per_beat),
    }


def pitch_in_scale_rate(pitch: Ints, root: int, *, minor: bool = False) -> float:
    """The share of notes in a major or natural minor scale."""
    scale = np.roll(MAJOR, (root + (3 if minor else 0)) % 12)
    return _share(int(np.count_nonzero(scale[pitch % 12])), len(pitch))


def scale_consistency(pitch: Ints) -> float:
    """The largest `pitch_in_scale_rate`; relative keys share their scale, so major ones are enough."""
    return float(np.max([pitch_in_scale_rate(pitch, root) for root in range(12)]))


def _steps(score: Score, per_beat: int, *, drums: bool) -> Ints:
    """(N, 3): begin, end and pitch of the notes of tracks of one kind, in steps."""
    scale, parts = per_beat / score.ticks_per_beat, [np.zeros((0, 3), dtype=np.int64)]
    for track in score.tracks:
        if track.is_drum == drums:
            begin = np.rint(track.notes["start"] * scale).astype(np.int64)
            length = np.rint(track.notes["duration"] * scale).astype(np.int64)
            parts.append(np.stack([begin, begin + length, track.notes["pitch"]], 1))
    return np.concatenate(parts)


def _pianoroll(notes: Ints, length: int) -> NDArray[np.bool_]:
    roll = np.zeros((length + 1, 128), dtype=np.int32)
    np.add.at(roll, (notes[:, 0], notes[:, 2]), 1)
    np.add.at(roll, (notes[:, 1], notes[:, 2]), -1)
    return roll.cumsum(0)[:length] > 0


def _share(part: float, whole: float) -> float:
    return float(part) / float(whole) if whole else float("nan")


def _entropy(counts: NDArray[np.intp]) -> float:
    if not counts.sum():
        return float("nan")
    p = counts[counts > 0] / counts.sum()
    return float(-(p * np.log2(p)).sum())


def _empty(notes: Ints, size: int) -> float:
    """The share of frames of `size` steps that no note touches; one that ends on a line touches what comes after it."""
    if not len(notes):
        return float("nan")
    count = int(notes[:, 1].max()) // size + 1
    change = np.zeros(count + 1, dtype=np.int64)
    np.add.at(change, notes[:, 0] // size, 1)
    np.add.at(change, notes[:, 1] // size + 1, -1)
    return float(np.mean(change.cumsum()[:count] == 0))


def _groove(notes: Ints, measure: int) -> float:
    if not len(notes):
        return float("nan")
    count = int(notes[:, 1].max()) // measure + 1
    onset = np.zeros((count, measure), dtype=bool)
    onset[notes[:, 0] // measure, notes[:, 0] % measure] = True
    return 1 - float(np.count_nonzero(onset[:-1] != onset[1:])) / (measure * (count - 1)) if count > 1 else float("nan")


def _drum_pattern(begin: Ints, per_beat: int) -> float:
    if not len(begin):
        return float("nan")
    shares = []
    for parts in (4, 6):
        place = begin % per_beat * parts % per_beat
        shares.append(float(np.mean(place == 0)))
    return max(shares)
