r"""How far a set of pieces is from a reference set: distributions of notes, similarity of neighbouring windows, chords.

    KL            sum_i p_i ln(p_i / q_i), p of the reference, q of the set, histograms with half a count added to each bin
    overlap       area under the smaller of two normal densities, 1 where they agree
    consistency   max(0, 1 - |mu - mu*| / mu*),  variance  max(0, 1 - |var - var*| / var*)  of the overlaps of neighbouring
                  windows of a piece (four bars, every two), mu* and var* those of the reference
    chords        share of the bars in which two pieces have one chord

Pitch, duration and the time between onsets of a track are counted on a raster of `per_beat` steps; drums are left out of all.

Sources: Lv et al. 2023 (GETMusic, KL), arXiv 2305.10841; Choi et al. 2020 and Plasser et al. 2023 (SCHmUBERT, overlaps),
arXiv 2305.09489; Yang and Lerch 2020 (overlapping area).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from polyscore.errors import InputError
from polyscore.music.chords import ChordModel, pitch_profiles
from polyscore.music.score import Score

__all__ = ["LONGEST", "chord_accuracy", "chords_of", "divergences", "normal_overlap", "similarity", "similarity_scores"]

LONGEST = 64
"""Durations and times between onsets beyond so many steps count as this one."""

Floats = NDArray[np.float64]


def divergences(pieces: Sequence[Score], reference: Sequence[Score], *, per_beat: int = 4) -> dict[str, float]:
    """KL in nats of the histograms of "pitch", "duration" and "interval" (between onsets); NaN where a set has no notes."""
    mine, theirs = (_histograms(scores, per_beat) for scores in (pieces, reference))
    return {name: _kl(theirs[name], mine[name]) for name in ("pitch", "duration", "interval")}


def normal_overlap(mean: float, deviation: float, other_mean: float, other_deviation: float) -> float:
    """The area under both of two normal densities; deviations of 0 are points, which overlap if they are the same."""
    if deviation == 0 or other_deviation == 0:
        return float(mean == other_mean and deviation == other_deviation)
    if math.isclose(deviation, other_deviation, rel_tol=1e-9):
        return math.erfc(abs(mean - other_mean) / (2 * math.sqrt(2) * deviation))
    a = 1 / (2 * deviation**2) - 1 / (2 * other_deviation**2)
    b = other_mean / other_deviation**2 - mean / deviation**2
    c = mean**2 / (2 * deviation**2) - other_mean**2 / (2 * other_deviation**2) + math.log(deviation / other_deviation)
    root = math.sqrt(max(b * b - 4 * a * c, 0.0))
    low, high = sorted(((-b - root) / (2 * a), (-b + root) / (2 * a)))
    laws = ((mean, deviation), (other_mean, other_deviation))
    narrow, wide = sorted(laws, key=lambda law: law[1])
    inside = _below(high, *wide) - _below(low, *wide)  # between the crossings the wide density is the smaller one
    return inside + 1 - (_below(high, *narrow) - _below(low, *narrow))


def similarity(score: Score, *, bars: int = 4, hop: int = 2) -> dict[str, Floats]:
    """Overlaps of each window of `bars` bars with the next one, of "pitch" and of "duration"; windows without notes drop out."""
    notes = _notes(score)
    lines = [*score.bars().tolist(), math.inf]
    windows = [(lines[i], lines[min(i + bars, len(lines) - 1)]) for i in range(0, max(len(lines) - bars, 1), hop)]
    parts = [notes[(notes[:, 0] >= begin) & (notes[:, 0] < end)] for begin, end in windows]
    parts = [part for part in parts if len(part)]
    out = {}
    for name, column in (("pitch", 2), ("duration", 1)):
        moments = [(float(part[:, column].mean()), float(part[:, column].std())) for part in parts]
        out[name] = np.array([normal_overlap(*a, *b) for a, b in pairwise(moments)])
    return out


def similarity_scores(pieces: Sequence[Score], reference: Sequence[Score]) -> dict[str, float]:
    """Mean overlap, consistency and variance of pitch and duration; NaN where no piece has two windows."""
    out = {}
    mine, theirs = ([similarity(score) for score in scores] for scores in (pieces, reference))
    for name in ("pitch", "duration"):
        a, b = (np.concatenate([found[name] for found in part]) if part else np.zeros(0) for part in (mine, theirs))
        out[f"{name}_overlap"] = float(a.mean()) if len(a) else math.nan
        out[f"{name}_consistency"] = _closeness(a.mean(), b.mean()) if len(a) and len(b) else math.nan
        out[f"{name}_variance"] = _closeness(a.var(), b.var()) if len(a) and len(b) else math.nan
    return out


def chords_of(score: Score, model: ChordModel = ChordModel()) -> NDArray[np.int64]:  # noqa: B008
    """The chord of every bar, as `polyscore.music.chords` numbers them.

    Raises:
        InputError: a score without pitched notes.
    """
    notes = _notes(score)
    if not len(notes):
        raise InputError("chords: the score has no pitched note")
    edges = [*score.bars().tolist(), max(score.end, int(score.bars()[-1]) + 1)]
    return model.path(pitch_profiles(notes[:, 0], notes[:, 0] + notes[:, 1], notes[:, 2], edges))[1]


def chord_accuracy(score: Score, reference: Score) -> tuple[int, int]:
    """In how many bars two versions of a piece have one chord, and how many bars both have."""
    a, b = chords_of(score), chords_of(reference)
    n = min(len(a), len(b))
    return int((a[:n] == b[:n]).sum()), n


def _notes(score: Score) -> NDArray[np.int64]:
    """(N, 3): start, duration, pitch of all tracks without drums."""
    parts = [np.stack([t.notes["start"], t.notes["duration"], t.notes["pitch"]], 1) for t in score.tracks if not t.is_drum]
    return np.concatenate([np.zeros((0, 3), dtype=np.int64), *parts])


def _histograms(scores: Sequence[Score], per_beat: int) -> dict[str, Floats]:
    counts = {"pitch": np.zeros(128), "duration": np.zeros(LONGEST + 1), "interval": np.zeros(LONGEST + 1)}
    for score in scores:
        scale = per_beat / score.ticks_per_beat
        for track in score.tracks:
            if not track.is_drum:
                gaps = np.diff(np.unique(track.notes["start"]))
                np.add.at(counts["pitch"], track.notes["pitch"], 1)
                for name, ticks in (("duration", track.notes["duration"]), ("interval", gaps)):
                    np.add.at(counts[name], np.rint(ticks * scale).astype(np.int64).clip(0, LONGEST), 1)
    return counts


def _kl(p: Floats, q: Floats) -> float:
    if not p.sum() or not q.sum():
        return math.nan
    a, b = ((x + 0.5) / (x + 0.5).sum() for x in (p, q))
    return float((a * np.log(a / b)).sum())


def _below(x: float, mean: float, deviation: float) -> float:
    return 0.5 * math.erfc((mean - x) / (deviation * math.sqrt(2)))


def _closeness(found: float, wanted: float) -> float:
    return max(0.0, 1 - abs(float(found) - float(wanted)) / float(wanted)) if wanted else math.nan
