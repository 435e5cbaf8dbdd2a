r"""Chords of a score: a hidden Markov model of keys and chords, and its most likely path, exactly.

A frame (a bar) shows a unit vector v of the time each pitch class sounds. Its state is a key k of 12 and a chord c of 97 (none,
or a root and one of eight kinds):

    log p(v | c) = concentration <v, u_c>,        u_c the unit vector of the chord's pitch classes (0 of no chord)
    P(c | k) ~ (1 - q)^(notes in key) q^(notes out of key)
    p(k', c' | k, c) = kappa / 11 P(c' | k')                                            k' != k
                     = (1 - kappa) chi (P(c' | k) + P(c | k) / 96)                       k' = k, c' != c
                     = (1 - kappa) (1 - chi)                                             k' = k, c' = c.

Viterbi's step over 1164 x 1164 pairs falls apart: a change of key forgets the chord, and within a key the transition depends on c
only through P(c | k), which takes a handful of values. The maximum of rounded sums is the rounded sum of the maximum (rounding is
monotone), so these maxima are bit for bit those of the dense table. Which state a maximum came from is asked on the way back, of
one dense column a frame: the path is the dense path, with its choice among ties.

Source: Magenta's chord inference, with the constants GETMusic uses (Lv et al. 2023, arXiv 2305.10841).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from polyscore.errors import InputError

__all__ = ["CHORDS", "KINDS", "NO_CHORD", "ROOTS", "Chord", "ChordModel", "chord_id", "parse_chords", "pitch_profiles"]

ROOTS = ("C", "C#", "D", "Eb", "E", "F", "F#", "G", "Ab", "A", "Bb", "B")
KINDS = {
    "": (0, 4, 7),
    "m": (0, 3, 7),
    "+": (0, 4, 8),
    "dim": (0, 3, 6),
    "7": (0, 4, 7, 10),
    "maj7": (0, 4, 7, 11),
    "m7": (0, 3, 7, 10),
    "m7b5": (0, 3, 6, 10),
}
CHORDS = 1 + 12 * len(KINDS)
NO_CHORD = 0
_MAJOR = (0, 2, 4, 5, 7, 9, 11)
_SPELLINGS = {"DB": 1, "D#": 3, "FB": 4, "E#": 5, "GB": 6, "G#": 8, "A#": 10, "CB": 11, "B#": 0}
_SYNONYMS = {"maj": "", "M": "", "min": "m", "-": "m", "aug": "+", "o": "dim", "M7": "maj7", "min7": "m7", "-7": "m7"}


class Chord(NamedTuple):
    """A root 0..11 and the number of its kind in ``KINDS``."""

    root: int
    kind: int

    @staticmethod
    def of(number: int) -> Chord | None:
        """The chord of state ``number``; None for no chord."""
        return None if number == NO_CHORD else Chord(*divmod(number - 1, len(KINDS)))

    @property
    def name(self) -> str:
        """``Am``, ``Fmaj7``."""
        return ROOTS[self.root] + tuple(KINDS)[self.kind]

    @property
    def pitch_classes(self) -> tuple[int, ...]:
        """Its pitch classes, root first."""
        return tuple((self.root + step) % 12 for step in tuple(KINDS.values())[self.kind])


def chord_id(chord: Chord | None) -> int:
    """The state of a chord: 0 for none, else 1 + 8 root + kind."""
    return NO_CHORD if chord is None else 1 + len(KINDS) * chord.root + chord.kind


def parse_chords(text: str) -> tuple[Chord, ...]:
    """``"C G Am F"``: chords apart by spaces, commas or bars.

    Raises:
        InputError: no chord, or a name that is none.
    """
    names = re.split(r"[\s,|]+", text.strip(" ,|\t\n"))
    if names == [""]:
        raise InputError("chords: nothing given; expected names such as 'C G Am F'")
    return tuple(map(_parse_chord, names))


def _parse_chord(name: str) -> Chord:
    found = re.fullmatch(r"([A-Ga-g])([#b♯♭]?)(.*)", name)
    if found:
        letter, sign, kind = found.groups()
        spelled = letter.upper() + sign.replace("♯", "#").replace("♭", "b")
        root = ROOTS.index(spelled) if spelled in ROOTS else _SPELLINGS.get(spelled.upper())
        kind = _SYNONYMS.get(kind, kind)
        if root is not None and kind in KINDS:
            return Chord(root, tuple(KINDS).index(kind))
    kinds = ", ".join(f"C{kind}" for kind in KINDS)
    raise InputError(f"chords: {name!r} is no chord known here; expected a root A..G with # or b, and a kind: {kinds}")


def pitch_profiles(
    start: ArrayLike, end: ArrayLike, pitch: ArrayLike, edges: Sequence[int] | NDArray[np.int64]
) -> NDArray[np.float64]:
    """How long each pitch class sounds in each frame, (frames, 12), as unit vectors (0 where nothing sounds).

    With T(x) = sum over notes of max(x - start, 0) - max(x - end, 0), the time before x, frame [a, b) has T(b) - T(a): sorting
    instead of a table of notes and frames, and exact in integers.

    Args:
        start, end, pitch: integers of each note, ends after starts.
        edges: ascending, one more than frames.
    """
    starts, ends, classes = (np.asarray(part, dtype=np.int64) for part in (start, end, pitch))
    lines = np.asarray(edges, dtype=np.int64)
    before = np.zeros((len(lines), 12))
    for pitch_class in range(12):
        mine = classes % 12 == pitch_class
        if mine.any():
            before[:, pitch_class] = _time_past(starts[mine], lines) - _time_past(ends[mine], lines)
    held = np.diff(before, axis=0)
    norm = np.linalg.norm(held, axis=1, keepdims=True)
    unit: NDArray[np.float64] = np.divide(held, norm, out=np.zeros_like(held), where=norm > 0)
    return unit


def _time_past(points: NDArray[np.int64], lines: NDArray[np.int64]) -> NDArray[np.int64]:
    """Sum over points p of max(x - p, 0) for every x in lines."""
    ordered = np.sort(points)
    count = np.searchsorted(ordered, lines)
    return np.asarray(count * lines - np.concatenate(([0], np.cumsum(ordered)))[count])


@dataclass(frozen=True)
class ChordModel:
    """The model of the module's text.

    Args:
        out_of_key: q, the weight of a chord's note that is not in the key.
        key_change: kappa, the chance of another key in the next frame.
        chord_change: chi, the chance of another chord.
        concentration: how sharply a frame shows its chord.

    Raises:
        InputError: a probability outside (0, 1), or a concentration that is not positive.
    """

    out_of_key: float = 0.01
    key_change: float = 0.001
    chord_change: float = 0.5
    concentration: float = 100.0

    def __post_init__(self) -> None:
        if not all(0 < p < 1 for p in (self.out_of_key, self.key_change, self.chord_change)) or self.concentration <= 0:
            raise InputError(f"{self}: expected probabilities in (0, 1) and a positive concentration")

    @cached_property
    def chord_given_key(self) -> NDArray[np.float64]:
        """P(c | k), (12, 97)."""
        inside, outside = np.zeros((12, CHORDS), np.int32), np.zeros((12, CHORDS), np.int32)
        for key in range(12):
            scale = {(key + step) % 12 for step in _MAJOR}
            for number in range(1, CHORDS):
                notes = set(_chord(number).pitch_classes)
                inside[key, number], outside[key, number] = len(notes & scale), len(notes - scale)
        table = (1 - self.out_of_key) ** inside * self.out_of_key**outside
        return np.asarray(table / table.sum(axis=1)[:, np.newaxis])

    @cached_property
    def templates(self) -> NDArray[np.float64]:
        """u_c, (97, 12)."""
        table = np.zeros((CHORDS, 12))
        for number in range(1, CHORDS):
            table[number, list(_chord(number).pitch_classes)] = 1
        table[1:] /= np.linalg.norm(table[1:], axis=1)[:, np.newaxis]
        return table

    def evidence(self, profiles: NDArray[np.float64]) -> NDArray[np.float64]:
        """log p(v | c) up to a constant, (frames, 97), of unit vectors (frames, 12)."""
        return np.asarray(self.concentration * np.dot(profiles, self.templates.T))

    def column(self, key: int, chord: int) -> NDArray[np.float64]:
        """log p(key, chord | k, c) for all (k, c), (1164,): one column of the dense transition table."""
        table = self.chord_given_key
        out = np.empty((12, CHORDS))
        out[:] = np.log(self.key_change / 11 * table[key, chord])
        out[key] = np.log((1 - self.key_change) * (self.chord_change * (table[key, chord] + table[key] / (CHORDS - 1))))
        out[key, chord] = np.log((1 - self.key_change) * (1 - self.chord_change))
        return out.reshape(-1)

    @cached_property
    def _groups(self) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
        """The chords of each key, grouped by their value of P(c | k).

        Places (1164,) in that order, where each group begins, where each key's groups begin, and log p of a move from a group to
        each chord of its key, (groups, 97).
        """
        places: list[NDArray[np.int64]] = []
        begins: list[int] = []
        keys: list[int] = []
        moves: list[NDArray[np.float64]] = []
        for key, row in enumerate(self.chord_given_key):
            keys.append(len(begins))
            for value in np.unique(row):
                members = np.flatnonzero(row == value)
                begins.append(sum(map(len, places)))
                places.append(key * CHORDS + members)
                moves.append(np.log((1 - self.key_change) * (self.chord_change * (row + value / (CHORDS - 1)))))
        return np.concatenate(places), np.array(begins), np.array(keys), np.stack(moves)

    def path(self, profiles: NDArray[np.float64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The most likely keys and chords, each (frames,), of unit vectors (frames, 12).

        Raises:
            InputError: no frame, or rows that are not twelve numbers.
        """
        if profiles.ndim != 2 or profiles.shape[1] != 12 or not len(profiles):
            raise InputError(f"chords: profiles of shape {profiles.shape}; expected (frames, 12) with at least one frame")
        seen, table = self.evidence(profiles), self.chord_given_key
        places, begins, key_begins, moves = self._groups
        other_key, stay = np.log(self.key_change / 11 * table), np.log((1 - self.key_change) * (1 - self.chord_change))
        score = np.empty((len(seen), 12, CHORDS))
        score[0] = -np.log(12) + np.log(table) + seen[0]
        for frame in range(1, len(seen)):
            last = score[frame - 1]
            best = np.maximum.reduceat(last.reshape(-1)[places], begins)
            moved = np.maximum.reduceat(best[:, np.newaxis] + moves, key_begins, axis=0)
            top = np.maximum.reduceat(best, key_begins)
            first, second = np.partition(top, 10)[[11, 10]]
            elsewhere = np.where((top == first) & ((top == first).sum() == 1), second, first)
            step = np.maximum(np.maximum(moved, last + stay), elsewhere[:, np.newaxis] + other_key)
            score[frame] = step + seen[frame]
        state = [int(np.argmax(score[-1]))]
        for frame in range(len(seen) - 1, 0, -1):
            state.append(int(np.argmax(score[frame - 1].reshape(-1) + self.column(*divmod(state[-1], CHORDS)))))
        keys, chords = np.divmod(np.array(state[::-1]), CHORDS)
        return keys, chords


def _chord(number: int) -> Chord:
    chord = Chord.of(number)
    assert chord is not None
    return chord
