"""Pieces for a grid model: which cells it is shown, which it writes, and how what it wrote goes back into the score.

The kept tracks are not rebuilt from the grid: they go into the result as they came. In a track that is written in some bars only,
a note stays if it begins outside them, with every cell it sounds in; what the model may write are the other cells. The grid
is transposed where that brings the kept notes into the range the model knows, and what is written is moved back.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from polyscore.music.chords import ROOTS
from polyscore.music.grid import HIDDEN, HOLD, REST, Grid, Loss, blank, grid_of, note_rows
from polyscore.music.harmony import chord_tokens
from polyscore.music.keys import tonality
from polyscore.music.metrics import counterpoint
from polyscore.music.pipeline import Composer, Writing
from polyscore.music.roles import Reading, read_voices
from polyscore.music.score import Score, Track
from polyscore.music.wish import Blank, Outcome, Wish, Written, bar_span, changed, counted, merged, parts_of, velocity_of

__all__ = ["GridArranger", "GridDraft"]

Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]

_VELOCITY = 80  # of voices that are new
_AT_ONCE = 8  # versions


@dataclass(frozen=True)
class GridDraft:
    """What a grid model is shown of a piece.

    Attributes:
        score: the piece.
        readings: how its tracks are read.
        grid: the cells, transposed, with those to be written HIDDEN.
        tracks: the track of each voice, None where there is none yet.
        shown: the voices that come out.
        shift: semitones by which the grid is transposed.
        losses: what the grid could not hold of each voice that is there.
        remarks: sentences for the user.
        blank: a new piece's size, meter and key.
        allowed: (V, L, 130), what the cells may become where chords are given.
    """

    score: Score
    readings: tuple[Reading, ...]
    grid: Grid
    tracks: tuple[int | None, ...]
    shown: tuple[str, ...]
    shift: int = 0
    losses: tuple[tuple[str, Loss], ...] = ()
    remarks: tuple[str, ...] = ()
    blank: Blank | None = None
    allowed: Flags | None = None

    @property
    def hidden(self) -> Flags:
        """(V, L): the cells that are written."""
        return np.asarray(self.grid.tokens == HIDDEN)

    @property
    def facts(self) -> dict[str, Any]:
        """What a report says about it."""
        return {
            "tracks": [str(reading) for reading in self.readings],
            "transposition": self.shift,
            "positions": self.grid.length,
            "hidden_cells": int(self.hidden.sum()),
            "losses": {voice: vars(loss) for voice, loss in self.losses},
            "quantisation_error_beats": max((loss.error for _, loss in self.losses), default=0.0),
        }


class GridArranger:
    """Fulfils wishes with a `Composer`."""

    def __init__(self, composer: Composer) -> None:
        self.composer = composer

    @property
    def parts(self) -> tuple[str, ...]:
        """The model's voices."""
        return self.composer.voices

    def begin(self, piece: Score | Blank, wish: Wish) -> GridDraft:
        """The draft of a piece.

        Raises:
            InputError: a wish that does not fit the piece, or a meter whose bars are no whole number of positions.
        """
        if isinstance(piece, Blank):
            return self._blank(piece, wish)
        readings = read_voices(piece, self.parts, wish.said)
        keep, fill = parts_of(wish, readings, self.parts)
        tracks = tuple(next((r.track for r in readings if r.part == voice), None) for voice in self.parts)
        unit = piece.ticks_per_beat / self.composer.per_beat
        grid, losses = grid_of(piece, tracks, per_beat=self.composer.per_beat)
        ticks = bar_span(piece, wish)
        span = (0, grid.length) if ticks is None else (round(ticks[0] / unit), round(ticks[1] / unit))
        only_after = wish.further > 0 and wish.bars is None
        hidden = np.zeros_like(grid.tokens, dtype=np.bool_)
        for v, voice in enumerate(self.parts):
            # What is neither kept nor written is imagined by the model, where it writes, and does not come out.
            if voice not in keep and not only_after:
                hidden[v] = _begun_in(grid.tokens[v], *span)
        grid, key_remarks = _with_key(piece, grid.hidden(hidden))
        if wish.further:
            grid = _extended(grid, wish.further)
        tokens, shift, folded = _fitted(grid.tokens, self.composer.low, self.composer.high)
        rows = replace(grid, tokens=np.full_like(tokens, REST)).transposed(shift).rows
        shown = tuple(voice for voice in self.parts if voice in (*keep, *fill))
        known = tuple((voice, loss) for voice, loss, i in zip(self.parts, losses, tracks, strict=True) if i is not None)
        remarks = (*key_remarks, *_remarks(shift, folded))
        grid = replace(grid, tokens=tokens, rows=rows)
        allowed = self._allowed(grid, wish, shift)
        return GridDraft(piece, readings, grid, tracks, shown, shift, known, remarks, allowed=allowed)

    def method(self, **changes: Any) -> Writing:
        """The model's own way of writing, with changes: see `polyscore.music.wish.changed`."""
        made: Writing = changed(self.composer.writing, changes)
        return made

    def write(self, draft: GridDraft, seeds: Sequence[int], method: Writing | None = None) -> Iterator[Written[Grid]]:
        """Write the draft, once for every seed: see `Composer.complete`. Yields after every few versions."""
        made: list[Grid] = []
        with counted(self.composer.denoiser.network) as calls:
            for first in range(0, len(seeds), _AT_ONCE):
                some = list(seeds[first : first + _AT_ONCE])
                made += self._made(draft, some, method)
                yield Written(tuple(made), calls())

    def finish(self, draft: GridDraft, written: Written[Grid]) -> list[Outcome]:
        """Scores: what was kept as it came, what was written in its place."""
        return [self._outcome(draft, grid) for grid in written.versions]

    def _made(self, draft: GridDraft, seeds: list[int], method: Writing | None) -> list[Grid]:
        new = draft.blank
        if new is None:
            part = _around(draft.grid, self.composer.window)
            allowed = None if draft.allowed is None else draft.allowed[:, part]
            made = self.composer.complete(draft.grid[part], count=len(seeds), writing=method, allowed=allowed, seed=seeds)
            return [_put(draft.grid, part, version) for version in made]
        fifths, minor = new.key.fifths, new.key.minor
        wanted: dict[str, Any] = {"writing": method, "allowed": draft.allowed, "seed": seeds}
        return self.composer.new(new.bars, meter=new.meter, fifths=fifths, minor=minor, count=len(seeds), **wanted)

    def _outcome(self, draft: GridDraft, grid: Grid) -> Outcome:
        unit = draft.score.ticks_per_beat / grid.per_beat
        voice_of = {track: v for v, track in enumerate(draft.tracks) if track is not None}
        tracks: list[Track] = []
        new: dict[int, Flags] = {}
        for i, track in enumerate(draft.score.tracks):
            v = voice_of.get(i)
            if v is not None and self.parts[v] not in draft.shown:
                continue
            if v is not None and draft.hidden[v].any():
                cells = np.clip(np.rint(track.notes["start"] / unit).astype(np.int64), 0, grid.length - 1)
                kept = track.notes[~draft.hidden[v][cells]]
                track, new[len(tracks)] = merged(track, kept, _written(draft, grid, v, unit, velocity_of(track.notes)))
            tracks.append(track)
        for v, voice in enumerate(self.parts):
            if draft.tracks[v] is None and voice in draft.shown:
                notes, program = _written(draft, grid, v, unit, _VELOCITY), self.composer.programs[v]
                new[len(tracks)] = np.ones(len(notes), dtype=np.bool_)
                tracks.append(Track(notes, voice, program % 128, program == 128))
        return Outcome(draft.score.with_tracks(tracks), new, counterpoint([grid])._asdict())

    def _allowed(self, grid: Grid, wish: Wish, shift: int = 0) -> Flags | None:
        """What the cells may become, where chords are wished."""
        if not wish.chords:
            return None
        drums = [voice for voice, program in enumerate(self.composer.programs) if program == 128]
        return chord_tokens(grid, wish.chords, shift=shift, drums=drums)

    def _blank(self, piece: Blank, wish: Wish) -> GridDraft:
        voices = len(self.parts)
        grid = blank(voices, piece.bars, meter=piece.meter, per_beat=self.composer.per_beat)
        allowed = self._allowed(grid, wish)
        return GridDraft(piece.score(), (), grid, (None,) * voices, self.parts, blank=piece, allowed=allowed)


def _begun_in(row: Ints, begin: int, end: int) -> Flags:
    """The cells (L,) of what begins, or is silent, within a span: each belongs to the last cell before it that is no HOLD."""
    owner = np.maximum.accumulate(np.where(row != HOLD, np.arange(len(row)), 0))
    return np.asarray((owner >= begin) & (owner < end))


def _around(grid: Grid, margin: int) -> slice:
    """The positions that matter for the hidden cells: those at most `margin` away, from a bar line on."""
    hidden = np.flatnonzero((grid.tokens == HIDDEN).any(0))
    if not len(hidden):
        return slice(0, grid.length)
    lines = np.flatnonzero(grid.rows["position"] == 1)
    before = lines[lines <= hidden[0] - margin]
    return slice(int(before[-1]) if len(before) else 0, min(int(hidden[-1]) + 1 + margin, grid.length))


def _put(grid: Grid, part: slice, written: Grid) -> Grid:
    """The grid with its hidden cells as they were written in a part of it."""
    tokens = grid.tokens.copy()
    tokens[:, part] = np.where(tokens[:, part] == HIDDEN, written.tokens, tokens[:, part])
    return replace(grid, tokens=tokens)


def _extended(grid: Grid, bars: int) -> Grid:
    """Hidden bars at the end, of the last bar's meter and key."""
    size = int(grid.rows["bar"][-1])
    rows = {name: np.append(row, np.full(bars * size, row[-1])) for name, row in grid.rows.items()}
    rows["position"][grid.length :] = np.arange(bars * size) % size + 1
    tokens = np.append(grid.tokens, np.full((grid.voices, bars * size), HIDDEN), axis=1)
    return replace(grid, tokens=tokens, rows=rows)


def _with_key(piece: Score, grid: Grid) -> tuple[Grid, tuple[str, ...]]:
    """The grid with a key and a mode: those of the file, else those its notes tell."""
    if piece.keys or not piece.note_count:
        return grid, ()
    pitched = [track.notes for track in piece.tracks if not track.is_drum]
    notes = np.concatenate(pitched) if pitched else np.concatenate([track.notes for track in piece.tracks])[:0]
    found = tonality(notes["pitch"], notes["duration"] * notes["velocity"])
    major = (found.tonic + 3 * found.minor) % 12
    rows = {**grid.rows, "key": np.full(grid.length, major + 1), "mode": np.full(grid.length, 1 + found.minor)}
    name = f"{ROOTS[found.tonic]} {'minor' if found.minor else 'major'}"
    return replace(grid, rows=rows), (f"the file names no key; its notes say {name}",)


def _fitted(tokens: Ints, low: int, high: int) -> tuple[Ints, int, int]:
    """The grid moved by the least number of semitones after which fewest pitches are out of range; those are moved by octaves."""
    pitched = tokens < HOLD
    pitches = tokens[pitched]
    moves = sorted(range(-60, 61), key=lambda s: (int(((pitches + s < low) | (pitches + s > high)).sum()), abs(s), s))
    shift = moves[0]
    moved = tokens + shift * pitched
    outside = pitched & ((moved < low) | (moved > high))
    up, down = -(-(low - moved) // 12) * 12, -(-(moved - high) // 12) * 12
    moved = np.where(outside & (moved < low), moved + up, np.where(outside, moved - down, moved))
    return np.where(pitched, np.clip(moved, low, high), moved), shift, int(outside.sum())


def _written(draft: GridDraft, grid: Grid, voice: int, unit: float, velocity: int) -> Any:
    """The notes that begin in hidden cells, moved back; a HOLD behind a kept note does not lengthen it."""
    row = grid.tokens[voice]
    mine = np.where(draft.hidden[voice] | (row >= HOLD), row, REST)
    return note_rows(np.where(mine < HOLD, np.clip(mine - draft.shift, 0, 127), mine), unit, velocity=velocity)


def _remarks(shift: int, folded: int) -> tuple[str, ...]:
    said = []
    if shift:
        said.append(f"transposed by {shift:+d} semitones for the model, and back")
    if folded:
        said.append(f"{folded} notes out of the model's range are shown to it an octave off; the tracks keep them")
    return tuple(said)
