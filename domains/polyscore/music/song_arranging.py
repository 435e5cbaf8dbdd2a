"""Pieces for a GETMusic model: the seven tracks of a song it is shown, those it writes, and how its notes go back into the score.

Tracks of any program are read as the model's parts (`polyscore.music.roles`), moved to C major or A minor, and get a chord a bar,
given or found. What is kept goes into the result as it came; only new notes pass through the model's grid of sixteenths, and they
are moved back to the piece's key and put into its bars, whatever the meter. A part that is neither kept nor written is absent.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from polyscore.errors import InputError
from polyscore.music.chords import Chord
from polyscore.music.getscore import PARTS, GetScore, Losses, decode, encode
from polyscore.music.octuple import CHORD_PROGRAM, Octuples, octuples
from polyscore.music.pipeline import Writing
from polyscore.music.roles import PROGRAMS, Reading, read_parts
from polyscore.music.score import Score, Track, note_array
from polyscore.music.song_model import SongModel
from polyscore.music.wish import Blank, Outcome, Wish, Written, bar_span, changed, counted, merged, parts_of

__all__ = ["SongArranger", "SongDraft"]

Ints = NDArray[np.int64]

CHORD = "chord"
_PROGRAM = {part.name: part.program for part in PARTS}
_ROW = {part.name: 2 * i for i, part in enumerate(PARTS)} | {CHORD: 2 * len(PARTS)}


@dataclass(frozen=True, eq=False)
class SongDraft:
    """What a song model is shown of a piece.

    Attributes:
        score: the piece.
        readings: how its tracks are read.
        tokens: (14, L), MASK where the model writes, EMPTY where a part is absent.
        fill: the parts that are written.
        left_out: the parts that do not come out.
        shift: semitones by which pitches were moved.
        chords: the names of the chords, a bar each; "-" for none.
        losses: what the grid could not hold of what the model is shown.
        moved, error: notes that were not on a sixteenth, and the largest distance in beats.
        remarks: sentences for the user.
    """

    score: Score
    readings: tuple[Reading, ...]
    tokens: Ints
    fill: tuple[str, ...]
    left_out: tuple[str, ...]
    shift: int
    chords: tuple[str, ...]
    losses: Losses
    mask: int
    moved: int = 0
    error: float = 0.0
    remarks: tuple[str, ...] = ()

    @property
    def hidden(self) -> NDArray[np.bool_]:
        """(14, L): the cells that are written."""
        return np.asarray(self.tokens == self.mask)

    @property
    def facts(self) -> dict[str, Any]:
        """What a report says about it."""
        return {
            "tracks": [str(reading) for reading in self.readings],
            "transposition": self.shift,
            "positions": self.tokens.shape[1],
            "hidden_cells": int(self.hidden.sum()),
            "chords": " ".join(self.chords),
            "losses": {"all": {**vars(self.losses), "moved": self.moved}},
            "quantisation_error_beats": self.error,
        }


class SongArranger:
    """Fulfils wishes with a `SongModel`."""

    def __init__(self, model: SongModel) -> None:
        self.model = model

    @property
    def parts(self) -> tuple[str, ...]:
        """GETMusic's parts, and its chords."""
        return (*_PROGRAM, CHORD)

    def begin(self, piece: Score | Blank, wish: Wish) -> SongDraft:
        """The draft of a piece.

        Raises:
            InputError: a wish that does not fit the piece.
        """
        vocabulary = self.model.vocabulary
        if isinstance(piece, Blank):
            return self._blank(piece, wish)
        readings = read_parts(piece, wish.said)
        write_chords = CHORD in wish.fill
        plain = replace(wish, keep=_plain(wish.keep), fill=_plain(wish.fill))
        if write_chords and not plain.fill and not plain.keep:
            present = tuple(part for part in _PROGRAM if any(reading.part == part for reading in readings))
            keep, fill = present, _plain((CHORD,))
        else:
            keep, fill = parts_of(plain, readings, tuple(_PROGRAM))
        local = wish.bars is not None or wish.further > 0
        seen = {*keep, *fill} if local else set(keep)
        programs = [_PROGRAM[r.part] if r.part in seen else None for r in readings]
        if not any(program is not None and len(t) for program, t in zip(programs, piece.tracks, strict=True)):
            raise InputError("nothing of this piece is kept, so the model has nothing to go by; keep a part, or use a new piece")
        made = octuples(piece, programs=programs, chords=wish.chords or None)
        grid = encode(made, vocabulary)
        tokens = self._hidden(piece, wish, grid, made, {*keep, *fill}, fill=fill, write_chords=write_chords)
        left_out = tuple(part for part in _PROGRAM if part not in (*keep, *fill))
        remarks: list[str] = []
        if made.shift:
            remarks.append(f"transposed by {made.shift:+d} semitones for the model, and back")
        if made.folded:
            remarks.append(f"{made.folded} notes out of range are shown to the model an octave off; the tracks keep them")
        parts = (*fill, CHORD) if write_chords else fill
        names = _names(made)
        found = (made.shift, names, grid.losses, vocabulary.mask, made.moved, made.error, tuple(remarks))
        return SongDraft(piece, readings, tokens, parts, left_out, *found)

    def method(self, **changes: Any) -> Writing:
        """The model's own way of writing, with changes: see `polyscore.music.wish.changed`."""
        made: Writing = changed(self.model.writing, changes)
        return made

    def write(self, draft: SongDraft, seeds: Sequence[int], method: Writing | None = None) -> Iterator[Written[Ints]]:
        """Write the draft, once for every seed: see `SongModel.complete`. One seed at a time; yields after every window."""
        done: list[Ints] = []
        tokens, source = torch.from_numpy(draft.tokens), torch.from_numpy(~draft.hidden).long()
        source[tokens == self.model.vocabulary.empty] = 0
        with counted(self.model.network) as calls:
            for seed in seeds:
                for state in self.model.complete(tokens, source, seeds=[seed], writing=method):
                    version = state[0].cpu().numpy()
                    yield Written((*done, version), calls())
                done.append(version)

    def finish(self, draft: SongDraft, written: Written[Ints]) -> list[Outcome]:
        """Scores: what was kept as it came, what was written in its place."""
        return [self._outcome(draft, version) for version in written.versions]

    def _outcome(self, draft: SongDraft, tokens: Ints) -> Outcome:
        unit, hidden = draft.score.ticks_per_beat / 4, draft.hidden
        notes = decode(tokens, self.model.vocabulary, draft.shift)
        fresh = {}
        for part in draft.fill:
            if part != CHORD:
                rows = notes[part][hidden[_ROW[part], notes[part][:, 0]]]
                begin, end = (np.rint(column * unit).astype(np.int64) for column in (rows[:, 0], rows[:, 0] + rows[:, 1]))
                fresh[part] = note_array(np.stack([begin, end - begin, rows[:, 2], rows[:, 3]], 1))
        tracks: list[Track] = []
        new: dict[int, NDArray[np.bool_]] = {}
        for reading, track in zip(draft.readings, draft.score.tracks, strict=True):
            if reading.part in draft.left_out:
                continue
            if reading.part in draft.fill:
                columns = np.rint(track.notes["start"] / unit).astype(np.int64)
                stays = (columns >= tokens.shape[1]) | ~hidden[_ROW[reading.part]][np.minimum(columns, tokens.shape[1] - 1)]
                track, new[len(tracks)] = merged(track, track.notes[stays], fresh.pop(reading.part, note_array([])))
            tracks.append(track)
        for part, made in fresh.items():
            new[len(tracks)] = np.ones(len(made), dtype=np.bool_)
            tracks.append(Track(made, part, PROGRAMS[part], part == "drums"))
        return Outcome(draft.score.with_tracks(tracks), new)

    def _hidden(
        self,
        piece: Score,
        wish: Wish,
        grid: GetScore,
        made: Octuples,
        present: set[str],
        *,
        fill: Sequence[str],
        write_chords: bool,
    ) -> Ints:
        """The grid with absent parts EMPTY and what is to be written MASK."""
        vocabulary, tokens = self.model.vocabulary, grid.tokens
        unit = piece.ticks_per_beat / 4
        ticks = bar_span(piece, wish)
        span = slice(0, tokens.shape[1]) if ticks is None else slice(round(ticks[0] / unit), round(ticks[1] / unit))
        for part in (*fill, *((CHORD,) if write_chords else ())):
            if ticks is not None or not wish.further:
                tokens[_ROW[part] : _ROW[part] + 2, span] = vocabulary.mask
        if wish.further:
            size = int(made.bars[-1] - made.bars[-2]) * wish.further
            tokens = np.append(tokens, np.full((len(tokens), size), vocabulary.mask), axis=1)
            if wish.chords:
                bars = len(made.bars) - 1
                given = [_moved(wish.chords[(bars + i) % len(wish.chords)], made.shift) for i in range(wish.further)]
                tokens[12:, -size:] = np.repeat(_chord_columns(given, vocabulary.root), size // wish.further, axis=1)
        for part in _PROGRAM:
            if part not in present:
                tokens[_ROW[part] : _ROW[part] + 2] = vocabulary.empty
        return tokens

    def _blank(self, piece: Blank, wish: Wish) -> SongDraft:
        vocabulary, score = self.model.vocabulary, piece.score()
        fill = _plain(wish.fill) or tuple(_PROGRAM)
        unknown = [part for part in fill if part not in _PROGRAM]
        bar = 16 * piece.meter[0] / piece.meter[1]
        if unknown or bar != int(bar):
            size = f"{piece.meter[0]}/{piece.meter[1]}"
            what = f"there is no part {unknown[0]!r}" if unknown else f"bars of {size} are no whole sixteenths"
            raise InputError(f"{what}; expected parts of {', '.join(_PROGRAM)}, and bars of whole sixteenths")
        tokens = np.full((14, piece.bars * int(bar)), vocabulary.empty)
        for part in (*fill, CHORD):
            tokens[_ROW[part] : _ROW[part] + 2] = vocabulary.mask
        chords = [wish.chords[i % len(wish.chords)] for i in range(piece.bars)] if wish.chords else []
        tonic = (7 * piece.key.fifths + 9 * piece.key.minor) % 12
        shift = (9 - tonic) if piece.key.minor else -tonic
        if chords:
            moved = [_moved(chord, shift) for chord in chords]
            tokens[12:] = np.repeat(_chord_columns(moved, vocabulary.root), int(bar), axis=1)
        parts = fill if chords else (*fill, CHORD)
        names = tuple(chord.name for chord in chords)
        return SongDraft(score, (), tokens, parts, (), shift, names, Losses(), vocabulary.mask)


def _plain(parts: Sequence[str]) -> tuple[str, ...]:
    return tuple(part for part in parts if part != CHORD)


def _moved(chord: Chord, shift: int) -> Chord:
    return Chord((chord.root + shift) % 12, chord.kind)


def _chord_columns(chords: Sequence[Chord], root: int) -> Ints:
    """The two tokens of each chord, (2, bars)."""
    return np.array([[root + chord.root for chord in chords], [root + 12 + chord.kind for chord in chords]])


def _names(made: Octuples) -> tuple[str, ...]:
    """The chord of each bar, in the key of the piece."""
    found = dict.fromkeys(range(len(made.bars) - 1), "-")
    for row in made.rows[made.rows[:, 2] == CHORD_PROGRAM].tolist():
        found[row[0]] = Chord((row[3] - made.shift) % 12, row[4]).name
    return tuple(found.values())

