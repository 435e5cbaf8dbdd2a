"""GETScore: seven tracks of a song as a grid of tokens, two rows a track, one column a sixteenth.

    rows 2k, 2k + 1       pitch token and duration token of track k: lead, bass, drums, guitar, piano, strings
    rows 12, 13           root and kind of the chord, in every column of its bar

Notes of one track that begin together are one token, "P60 64 67", with the duration of the lowest; `<pad>` says that nothing
begins. EMPTY marks a track that is absent, MASK is what diffusion puts. `encode` makes the grid of a list of octuples and counts
what the format cannot hold; `decode` is its inverse. With the published rules both are the original's, cell by cell.

Source: Lv et al. 2023 (GETMusic), arXiv 2305.10841.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from polyscore.errors import InputError
from polyscore.music.get_vocabulary import PARTS, ROWS, GetVocabulary, Part
from polyscore.music.octuple import CHORD_PROGRAM, CORRECTED, SIXTEENTHS, Octuples, Rules

__all__ = ["PARTS", "ROWS", "GetScore", "GetVocabulary", "Losses", "Part", "compounds", "decode", "encode"]

Ints = NDArray[np.int64]

_ROW = {part.program: 2 * i for i, part in enumerate(PARTS)}


@dataclass(frozen=True)
class Losses:
    """What the grid could not hold, in notes.

    Attributes:
        notes: all that were given.
        other_programs: of programs that are no part.
        dropped: of simultaneous notes that are no token.
        twice: that begin together with one of the same pitch.
        lengthened: that round to no length and are now a sixteenth.
        shortened: whose length is none of the format's, and is now the next shorter one.
        merged: with another length than the lowest note they begin with, whose length they now have.
        unfinished: in the last row, which the published loop does not read, or without length in its inference.
    """

    notes: int = 0
    other_programs: int = 0
    dropped: int = 0
    twice: int = 0
    lengthened: int = 0
    shortened: int = 0
    merged: int = 0
    unfinished: int = 0


@dataclass(frozen=True, eq=False)
class GetScore:
    """A grid and where it came from.

    Attributes:
        tokens: (14, L) int64.
        shift: semitones by which the pitches were moved.
        losses: what was lost.
        read: columns up to the last row that was read; the original's training path leaves the rest EMPTY.
    """

    tokens: Ints
    shift: int
    losses: Losses
    read: int


def encode(octuples: Octuples, vocabulary: GetVocabulary, rules: Rules = CORRECTED) -> GetScore:
    """The grid of a list of octuples.

    With rules whose bars have a fixed size, L ends with the last row's column, as published; else with the last bar.
    """
    rows, pad, ids = octuples.rows, vocabulary.pad, vocabulary.ids
    length = int(octuples.bars[rows[-1, 0]] + rows[-1, 1]) + 1 if rules.bar_positions else int(octuples.bars[-1])
    tokens = np.full((ROWS, length), pad, dtype=np.int64)
    lost = dict.fromkeys((field.name for field in fields(Losses)), 0)
    lost["notes"] = int((rows[:, 2] != CHORD_PROGRAM).sum())
    read = 0
    for group in _groups(rows, keep_last=rules.keep_last):
        bar, place, program, pitch, duration = (int(number) for number in group[0, :5])
        column = int(octuples.bars[bar]) + place
        read = column + 1
        if program == CHORD_PROGRAM:
            stop = column + rules.bar_positions if rules.bar_positions else int(octuples.bars[bar + 1])
            tokens[12, column:stop], tokens[13, column:stop] = vocabulary.root + pitch, vocabulary.root + 12 + duration
            continue
        if program not in _ROW:
            lost["other_programs"] += len(group)
            continue
        code = duration or rules.shortest
        if not code:
            lost["unfinished"] += len(group)
            continue
        pitches = [int(p) for i, p in enumerate(group[:, 3]) if i == 0 or p != group[i - 1, 3]]
        lost["twice"] += len(group) - len(pitches)
        lost["lengthened"] += int((group[:, 4] == 0).sum())
        lost["merged"] += int((group[:, 4] != duration).sum())
        part = PARTS[_ROW[program] // 2]
        kept = _known(pitches, part, ids) if rules.reduce else pitches
        number = ids.get(part.prefix + " ".join(map(str, kept)))
        lost["dropped"] += len(pitches) - (len(kept) if number is not None else 0)
        if number is not None:
            tokens[_ROW[program], column], tokens[_ROW[program] + 1, column] = number, code - 1
    lost["unfinished"] += lost["notes"] - _read_notes(rows, keep_last=rules.keep_last)
    return GetScore(tokens, octuples.shift, Losses(**lost), read)


def compounds(pieces: Iterable[Octuples]) -> dict[str, Counter[str]]:
    """How often which notes begin together, "60 64 67", by part (the lead has none), for `GetVocabulary.counted`."""
    found: dict[str, Counter[str]] = {part.name: Counter() for part in PARTS[1:]}
    for piece in pieces:
        for group in _groups(piece.rows, keep_last=True):
            program = int(group[0, 2])
            pitches = sorted(set(group[:, 3].tolist()))
            if len(pitches) > 1 and _ROW.get(program):
                found[PARTS[_ROW[program] // 2].name][" ".join(map(str, pitches))] += 1
    return found


def decode(tokens: Ints, vocabulary: GetVocabulary, shift: int = 0) -> dict[str, Ints]:
    """The notes of a grid, for each part rows (column, sixteenths, pitch, velocity); pitches are moved back by `shift`.

    A pitch without a duration, and a duration without a pitch, is no note; nor is a pitch that moves out of 0..127.

    Raises:
        InputError: a grid of another shape.
    """
    if tokens.ndim != 2 or tokens.shape[0] != ROWS:
        raise InputError(f"decode: a grid of shape {tokens.shape}; expected ({ROWS}, L)")
    found = {}
    for i, part in enumerate(PARTS):
        numbers, codes, own = tokens[2 * i], tokens[2 * i + 1], vocabulary.ranges[i]
        columns = np.flatnonzero((numbers >= own.start) & (numbers < own.stop) & (codes < vocabulary.pad))
        back = 128 if part.name == "drums" else shift
        rows = []
        for column in columns.tolist():
            length = int(SIXTEENTHS[codes[column] + 1])
            pitches = [int(pitch) - back for pitch in vocabulary.tokens[numbers[column]][1:].split(" ")]
            rows += [(column, length, pitch, part.velocity) for pitch in pitches if 0 <= pitch <= 127]
        found[part.name] = np.array(rows, dtype=np.int64).reshape(-1, 4)
    return found


def _groups(rows: Ints, *, keep_last: bool) -> Iterator[Ints]:
    """Rows that begin together in one program; without `keep_last` the last row of all is left out if it stands alone."""
    for begin, stop in _bounds(rows, keep_last=keep_last):
        yield rows[begin:stop]


def _bounds(rows: Ints, *, keep_last: bool) -> list[tuple[int, int]]:
    begins = np.flatnonzero(np.append(True, (rows[1:, :3] != rows[:-1, :3]).any(1)))
    bounds = list(zip(begins.tolist(), [*begins[1:].tolist(), len(rows)], strict=True))
    return bounds if keep_last or bounds[-1][1] - bounds[-1][0] > 1 else bounds[:-1]


def _read_notes(rows: Ints, *, keep_last: bool) -> int:
    stop = _bounds(rows, keep_last=keep_last)[-1][1]
    return int((rows[:stop, 2] != CHORD_PROGRAM).sum())


def _known(pitches: list[int], part: Part, ids: Mapping[str, int]) -> list[int]:
    """The largest part of a chord that is a token; among equals one with its top, then with its bottom note."""
    if part.prefix + " ".join(map(str, pitches)) in ids:
        return pitches
    if part.name == "lead":
        return pitches[-1:]
    few = pitches if len(pitches) <= 8 else [*pitches[:4], *pitches[-4:]]
    for size in range(min(len(few), len(pitches) - 1), 0, -1):
        ranked = sorted(combinations(few, size), key=lambda c: (c[-1] != few[-1], c[0] != few[0]))
        found = next((c for c in ranked if part.prefix + " ".join(map(str, c)) in ids), None)
        if found:
            return list(found)
    return pitches
