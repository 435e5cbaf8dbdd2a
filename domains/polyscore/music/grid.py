"""Scores as grids of tokens: every voice says at every position of a fixed raster what happens there.

A token is a MIDI pitch (a note begins), HOLD (what sounded goes on) or REST (silence; once a position). A beat (a quarter note)
has `per_beat` positions, so four of them resolve sixteenths and twelve also triplets. The same grid holds what is given with each
position: its place in the bar and the bar's length, fermata, key signature and mode, 0 where that is not known.

    grid_of(score, voices)  ->  Grid, one Loss a voice              score_of(grid, like=score)  ->  Score

The second is the exact inverse of the first wherever nothing was lost: notes on the raster, one at a time in a voice, none
shorter than a position, velocity apart. What was lost is counted, never silent: onsets and ends that moved, notes that were left
out because another began at the same position (the highest stays), and notes that were cut because the next one began.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from polyscore.errors import InputError
from polyscore.music.score import Key, Meter, Notes, Score, Track, note_array

__all__ = ["HIDDEN", "HOLD", "REST", "ROWS", "Grid", "Loss", "blank", "grid_of", "note_rows", "score_of", "token_row"]

HOLD, REST, HIDDEN = 128, 129, 130
ROWS = ("position", "bar", "fermata", "key", "mode")
"""Condition rows: 1 + place in the bar, length of the bar (both in positions), fermata (1 no, 2 yes), key signature (1 + pitch
class of its major tonic), mode (1 major, 2 minor)."""

Ints = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Grid:
    """Tokens and what is given with them.

    Args:
        tokens: (V, L) int64 of 0..127, HOLD, REST, and HIDDEN where a model is to say.
        rows: condition rows (L,) by name, of `ROWS`; an absent one is not known.
        per_beat: positions a quarter note.

    Raises:
        InputError: tokens of another kind, rows of another length or name, or no position in a beat.
    """

    tokens: Ints
    rows: Mapping[str, Ints] = field(default_factory=dict)
    per_beat: int = 4

    def __post_init__(self) -> None:
        tokens = np.asarray(self.tokens)
        whole = tokens.ndim == 2 and tokens.dtype.kind in "iu"
        if not whole or (tokens.size and not (0 <= tokens.min() <= tokens.max() <= HIDDEN)):
            raise InputError(f"Grid: tokens {tokens.dtype} {tokens.shape}; expected whole numbers (V, L) from 0 to {HIDDEN}")
        rows = {name: np.asarray(row, dtype=np.int64) for name, row in self.rows.items()}
        if any(name not in ROWS or row.shape != tokens.shape[1:] for name, row in rows.items()) or self.per_beat < 1:
            found = {name: row.shape for name, row in rows.items()}
            wanted = f"{ROWS} of {tokens.shape[1]} numbers"
            raise InputError(f"Grid: rows {found}, {self.per_beat} positions a beat; expected {wanted}")
        object.__setattr__(self, "tokens", tokens.astype(np.int64))
        object.__setattr__(self, "rows", rows)

    @property
    def voices(self) -> int:
        """V."""
        return int(self.tokens.shape[0])

    @property
    def length(self) -> int:
        """L."""
        return int(self.tokens.shape[1])

    def __getitem__(self, span: slice) -> Grid:
        """The positions of a span of time."""
        return replace(self, tokens=self.tokens[:, span], rows={name: row[span] for name, row in self.rows.items()})

    def hidden(self, where: NDArray[np.bool_]) -> Grid:
        """The grid with the cells (V, L), or anything that broadcasts to it, hidden."""
        return replace(self, tokens=np.where(where, HIDDEN, self.tokens))

    def transposed(self, semitones: int) -> Grid:
        """All pitches and the key signature moved by semitones.

        Raises:
            InputError: a pitch leaves 0..127.
        """
        pitched = self.tokens < HOLD
        moved = self.tokens + semitones * pitched
        if pitched.any() and not 0 <= moved[pitched].min() <= moved[pitched].max() <= 127:
            raise InputError(f"transposed: {semitones} semitones move a pitch out of 0..127")
        rows = dict(self.rows)
        if "key" in rows:
            rows["key"] = np.where(rows["key"] > 0, (rows["key"] - 1 + semitones) % 12 + 1, 0)
        return replace(self, tokens=moved, rows=rows)

    def sounding(self) -> Ints:
        """(V, L): the pitch that sounds at each position, -1 for silence and for what is not known."""
        at = np.where(self.tokens == HOLD, 0, np.arange(self.length))
        last = np.maximum.accumulate(at, axis=1)
        found = np.take_along_axis(self.tokens, last, axis=1)
        return np.where(found < HOLD, found, -1)


@dataclass(frozen=True)
class Loss:
    """What became of the notes of one voice.

    Attributes:
        notes: how many there were.
        moved: notes whose begin or end was not on the raster.
        error: the largest such distance, in beats.
        dropped: notes left out because a higher one began at the same position.
        cut: notes that end early because the next one began.
    """

    notes: int = 0
    moved: int = 0
    error: float = 0.0
    dropped: int = 0
    cut: int = 0


def token_row(notes: Notes, length: int, unit: float) -> tuple[Ints, Loss]:
    """The tokens (length,) of one voice, `unit` ticks a position, and what was lost.

    A note lasts at least a position. Where notes overlap, the later one cuts the earlier; of those that begin at one position the
    highest stays.
    """
    row, raw = np.full(length, REST, dtype=np.int64), np.stack([notes["start"], notes["start"] + notes["duration"]]) / unit
    begin, end = np.rint(raw).astype(np.int64)
    end = np.maximum(end, begin + 1)
    off = np.abs(np.stack([begin, end]) - raw).max(0, initial=0.0)
    order = np.lexsort((-notes["pitch"], begin))
    first = np.ones(len(order), dtype=bool)
    first[1:] = begin[order][1:] != begin[order][:-1]
    kept = order[first]
    begin, end, pitch = begin[kept], end[kept], notes["pitch"][kept]
    until = np.minimum(end, np.append(begin[1:], length))
    for b, e, p in zip(begin, until, pitch, strict=True):
        row[b:e] = HOLD
        row[b : b + 1] = p
    moved, error = int((off > 1e-9).sum()), float(off.max(initial=0.0))
    return row, Loss(len(notes), moved, error, len(order) - len(kept), int((until < end).sum()))


def note_rows(row: Ints, unit: float, *, velocity: int = 80) -> Notes:
    """The notes of one voice, the inverse of `token_row`; a HOLD after silence, and cells that are hidden, are silent."""
    begin = np.flatnonzero(row < HOLD)
    stop = np.append(np.flatnonzero(row != HOLD), len(row))
    end = stop[np.searchsorted(stop, begin, side="right")]
    ticks = np.rint(np.stack([begin, end]) * unit).astype(np.int64)
    return note_array(np.stack([ticks[0], ticks[1] - ticks[0], row[begin], np.full(len(begin), velocity)], 1))


def grid_of(
    score: Score,
    voices: Sequence[int | None] | None = None,
    *,
    per_beat: int = 4,
    length: int | None = None,
    fermatas: Sequence[tuple[int, int]] | None = None,
) -> tuple[Grid, tuple[Loss, ...]]:
    """A score on the raster.

    Args:
        score: the piece.
        voices: the track of each voice by index, None for an empty one; default all tracks in their order.
        per_beat: positions a beat.
        length: positions; default up to the end of the last note, filled up to a whole bar.
        fermatas: (begin, end) of fermatas in ticks, where they are known.

    Raises:
        InputError: a track that does not exist, or no position in a beat.
    """
    if per_beat < 1:
        raise InputError(f"grid_of: {per_beat} positions a beat, expected at least 1")
    chosen = list(range(len(score.tracks))) if voices is None else list(voices)
    wrong = [voice for voice in chosen if voice is not None and not 0 <= voice < len(score.tracks)]
    if wrong:
        count = len(score.tracks)
        raise InputError(f"grid_of: track {wrong[0]} of a score with {count} tracks; expected 0 to {count - 1}")
    unit = score.ticks_per_beat / per_beat
    if length is None:
        length = _whole_bars(score, unit)
    empty = note_array([])
    made = [token_row(empty if voice is None else score.tracks[voice].notes, length, unit) for voice in chosen]
    tokens = np.stack([row for row, _ in made]) if made else np.zeros((0, length), dtype=np.int64)
    rows = _rows(score, length, unit, per_beat)
    if fermatas is not None:
        rows["fermata"] = np.ones(length, dtype=np.int64)
        for begin, end in fermatas:
            rows["fermata"][round(begin / unit) : round(end / unit)] = 2
    losses = (replace(loss, error=loss.error / per_beat) for _, loss in made)
    return Grid(tokens, rows, per_beat), tuple(losses)


def score_of(grid: Grid, *, like: Score | None = None, tracks: Sequence[Track] = (), velocity: int = 80) -> Score:
    """The notes of a grid.

    Args:
        grid: tokens; hidden cells are silent.
        like: a score whose ticks and maps of tempo, meter and key are taken; default those that the grid's rows tell.
        tracks: name, program and the like of each voice; their notes are replaced.
        velocity: of all notes.
    """
    base = _maps(grid) if like is None else like
    unit = base.ticks_per_beat / grid.per_beat
    facts = [*tracks, *[Track(note_array([]))] * (grid.voices - len(tracks))]
    made = [replace(track, notes=note_rows(row, unit, velocity=velocity)) for track, row in zip(facts, grid.tokens, strict=False)]
    return base.with_tracks(made)


def blank(
    voices: int,
    bars: int,
    *,
    meter: tuple[int, int] = (4, 4),
    pickup: int = 0,
    fifths: int | None = None,
    minor: bool | None = None,
    per_beat: int = 4,
) -> Grid:
    """A grid of hidden cells.

    Args:
        voices: V.
        bars: whole bars.
        meter: of all bars.
        pickup: positions before the first whole bar.
        fifths: sharps of the key signature (negative: flats), where it is known.
        minor: the mode, where it is known.
        per_beat: positions a quarter note.

    Raises:
        InputError: no bars, a bar that is no whole number of positions, or a pick-up as long as a bar.
    """
    size = 4 * per_beat * meter[0] / meter[1]
    if bars < 1 or size != int(size) or not 0 <= pickup < size:
        raise InputError(
            f"blank: {bars} bars of {meter[0]}/{meter[1]}, {size} positions each, and a pick-up of {pickup}; expected at least "
            "one bar of whole positions, and a shorter pick-up"
        )
    length = pickup + bars * int(size)
    rows = {
        "position": (np.arange(length) - pickup) % int(size) + 1,
        "bar": np.full(length, int(size)),
        "key": np.full(length, 0 if fifths is None else 7 * fifths % 12 + 1),
        "mode": np.full(length, 0 if minor is None else 1 + minor),
    }
    return Grid(np.full((voices, length), HIDDEN), rows, per_beat)


def _whole_bars(score: Score, unit: float) -> int:
    """Positions up to the end of the last bar that has a note."""
    lines = score.bars()
    end = lines[-1] + score.bar_length(score.meter_at(int(lines[-1])))
    return max(int(np.rint(max(end, score.end) / unit)), 1)


def _rows(score: Score, length: int, unit: float, per_beat: int) -> dict[str, Ints]:
    """Position, bar, key and mode of every position of the raster."""
    ticks = np.arange(length) * unit
    lines = score.bars(max(int(np.ceil(length * unit)), 1)).astype(np.float64)
    which = np.searchsorted(lines, ticks + 1e-6, side="right") - 1
    sizes = np.array([round(score.bar_length(score.meter_at(int(line))) / unit) for line in lines], dtype=np.int64)
    gone = np.zeros(len(lines), dtype=np.int64)
    if score.pickup:
        sizes[0] = round(score.bar_length(score.meters[1]) / unit)
        gone[0] = sizes[0] - round(score.pickup / unit)
    place = np.rint((ticks - lines[which]) / unit).astype(np.int64) + gone[which]
    rows = {"position": place + 1, "bar": sizes[which]}
    rows["key"], rows["mode"] = (np.zeros(length, dtype=np.int64) for _ in range(2))
    for key in score.keys:
        later = ticks >= key.tick - 1e-6
        rows["key"][later], rows["mode"][later] = 7 * key.fifths % 12 + 1, 1 + key.minor
    return rows


def _maps(grid: Grid, ticks_per_beat: int = 480) -> Score:
    """A score without notes with the meters and the keys that the rows tell; a bar is written in quarters or eighths."""
    unit = ticks_per_beat / grid.per_beat
    meters: list[Meter] = []
    keys: list[Key] = []
    if {"position", "bar"} <= set(grid.rows):
        position, bar = grid.rows["position"], grid.rows["bar"]
        pickup = int(bar[0] - position[0] + 1) % int(max(bar[0], 1)) if grid.length and bar[0] else 0
        if pickup:
            meters.append(Meter(0, *_fraction(pickup, grid.per_beat)))
        starts = [i for i in range(pickup, grid.length) if bar[i] and (i == pickup or bar[i] != bar[i - 1])]
        meters += [Meter(round(i * unit), *_fraction(int(bar[i]), grid.per_beat)) for i in starts]
    if {"key", "mode"} <= set(grid.rows):
        key, mode = grid.rows["key"], grid.rows["mode"]
        turns = [i for i in range(grid.length) if key[i] and (i == 0 or (key[i], mode[i]) != (key[i - 1], mode[i - 1]))]
        keys = [Key(round(i * unit), (7 * (int(key[i]) - 1) + 5) % 12 - 5, bool(mode[i] == 2)) for i in turns]
    return Score((), ticks_per_beat, meters=tuple(meters), keys=tuple(keys))


def _fraction(positions: int, per_beat: int) -> tuple[int, int]:
    """A meter of so many positions: in quarters, else in the longest note value that divides it."""
    denominator = 4
    while positions * denominator % (4 * per_beat) and denominator < 64:
        denominator *= 2
    return max(positions * denominator // (4 * per_beat), 1), denominator
