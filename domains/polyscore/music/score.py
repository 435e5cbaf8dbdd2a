"""Scores: tracks of notes in integer ticks, with the maps of tempo, meter and key.

A beat is a quarter note and lasts ``ticks_per_beat`` ticks. A note is four integers (start, duration, pitch, velocity); the notes
of a track are one read-only structured array, sorted by start, pitch, duration and velocity, so that columns are arrays
(``track.notes["pitch"]``) and equality of two tracks is equality of their notes. No time is a float: seconds are derived, with

    seconds(tick) = sum over tempo segments of ticks * microseconds per beat / (1e6 ticks_per_beat).

A meter n/d gives bars of ``4 n / d`` beats. A pick-up is a first meter that lasts exactly one bar and is shorter than the next
one (what notation programs write), so bar lines need nothing else.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from polyscore.errors import InputError

__all__ = ["NOTE", "Key", "Meter", "Note", "Notes", "Score", "Tempo", "Track", "note_array"]

Notes = NDArray[np.void]
NOTE = np.dtype([(name, np.int64) for name in ("start", "duration", "pitch", "velocity")])

_FINEST_METER = 1024  # no music has a finer one, and a damaged file any


class Note(NamedTuple):
    """One note: start and duration in ticks, pitch and velocity 0..127. ``Note(*row)`` of a track's ``notes.tolist()``."""

    start: int
    duration: int
    pitch: int
    velocity: int


class Tempo(NamedTuple):
    """From ``tick`` on, a quarter note lasts ``microseconds`` (500,000 is 120 beats a minute)."""

    tick: int
    microseconds: int


class Meter(NamedTuple):
    """From ``tick`` on, bars of ``numerator`` notes of length 1 / ``denominator``."""

    tick: int
    numerator: int
    denominator: int


class Key(NamedTuple):
    """From ``tick`` on, ``fifths`` sharps (negative: flats), major or minor."""

    tick: int
    fifths: int
    minor: bool


def note_array(rows: Iterable[Sequence[int]] | ArrayLike) -> Notes:
    """Rows (start, duration, pitch, velocity), of any order, as the sorted read-only array of a track.

    Raises:
        InputError: a row has another length, a negative start or duration, or a pitch or velocity outside 0..127.
    """
    if isinstance(rows, np.ndarray) and rows.dtype == NOTE:
        table = rows.view(np.int64).reshape(-1, 4)
    else:
        table = np.asarray(rows if isinstance(rows, np.ndarray) else list(rows), dtype=np.int64)  # type: ignore[arg-type]
        table = table.reshape(0, 4) if table.size == 0 else table
    if table.ndim != 2 or table.shape[1] != 4:
        raise InputError(f"notes: shape {table.shape}, expected rows of four integers: start, duration, pitch, velocity")
    if table.size and (table.min() < 0 or table[:, 2:].max() > 127):
        bad = table[(table < 0).any(1) | (table[:, 2:] > 127).any(1)][0].tolist()
        raise InputError(f"notes: {Note(*bad)} has a negative number, or a pitch or velocity above 127; transpose or clip it")
    order = np.lexsort((table[:, 3], table[:, 1], table[:, 2], table[:, 0]))
    notes = np.ascontiguousarray(table[order]).view(NOTE).reshape(-1)
    notes.flags.writeable = False
    return notes


@dataclass(frozen=True, eq=False)
class Track:
    """One instrument: its notes and its other channel messages.

    Args:
        notes: the sorted array of :func:`note_array`.
        name: free text, as in the file.
        program: General MIDI program 0..127; of drums, the kit.
        is_drum: MIDI channel 10.
        channel: MIDI channel 0..15 in the file; None: chosen when written.
        controls: (tick, message) of controllers, pitch bend and aftertouch; the message's bytes with channel 0.
    """

    notes: Notes
    name: str = ""
    program: int = 0
    is_drum: bool = False
    channel: int | None = None
    controls: tuple[tuple[int, bytes], ...] = field(default=(), repr=False)

    @staticmethod
    def of(rows: Iterable[Sequence[int]] | ArrayLike, **kept: Any) -> Track:
        """A track of rows (start, duration, pitch, velocity) of any order."""
        return Track(note_array(rows), **kept)

    def __len__(self) -> int:
        return len(self.notes)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Track):
            return NotImplemented
        return self._facts() == other._facts() and np.array_equal(self.notes, other.notes)

    def __hash__(self) -> int:
        return hash((self._facts(), self.notes.tobytes()))

    def __repr__(self) -> str:
        kind = "drums" if self.is_drum else f"program {self.program}"
        return f"Track({self.name!r}, {kind}, {len(self)} notes)"

    @property
    def end(self) -> int:
        """Tick where the last note ends; 0 without notes."""
        return int((self.notes["start"] + self.notes["duration"]).max()) if len(self) else 0

    def _facts(self) -> tuple[object, ...]:
        return self.name, self.program, self.is_drum, self.channel, self.controls


@dataclass(frozen=True)
class Score:
    """A piece: tracks, and what holds for all of them.

    Args:
        tracks: the instruments, in the file's order.
        ticks_per_beat: ticks of a quarter note.
        tempos, meters, keys: the maps, by tick. Before the first entry: 120 beats a minute, 4/4, no key.
        remarks: what the reader had to leave out, one sentence each. Not part of the piece: equality ignores it.
    """

    tracks: tuple[Track, ...]
    ticks_per_beat: int = 480
    tempos: tuple[Tempo, ...] = ()
    meters: tuple[Meter, ...] = ()
    keys: tuple[Key, ...] = ()
    remarks: tuple[str, ...] = field(default=(), compare=False)

    def __post_init__(self) -> None:
        if self.ticks_per_beat < 1:
            raise InputError(f"score: {self.ticks_per_beat} ticks per beat; expected at least 1")
        for meter in self.meters:
            if meter.numerator < 1 or not 1 <= meter.denominator <= _FINEST_METER:
                wrong = f"{meter.numerator}/{meter.denominator if meter.denominator < 10**9 else 'a huge number'}"
                raise InputError(f"score: meter {wrong}; expected positive numbers, the lower one at most {_FINEST_METER}")
        for tempo in self.tempos:
            if tempo.microseconds < 1:
                raise InputError(f"score: a tempo of {tempo.microseconds} microseconds a beat; expected a positive number")

    @property
    def end(self) -> int:
        """Tick where the last note ends; 0 without notes."""
        return max((track.end for track in self.tracks), default=0)

    @property
    def note_count(self) -> int:
        """Notes of all tracks."""
        return sum(map(len, self.tracks))

    @property
    def pickup(self) -> int:
        """Ticks of an incomplete first bar; 0 where the piece begins on a bar line."""
        if len(self.meters) < 2 or self.meters[0].tick != 0:
            return 0
        first, second = self.meters[:2]
        length = self.bar_length(first)
        return round(length) if round(length) == second.tick and length < self.bar_length(second) else 0

    @property
    def seconds(self) -> float:
        """Duration up to the end of the last note."""
        return float(self.seconds_at([self.end])[0])

    def bar_length(self, meter: Meter) -> float:
        """Ticks of one bar; a fraction where the meter does not divide the beat."""
        return 4 * self.ticks_per_beat * meter.numerator / meter.denominator

    def meter_at(self, tick: int) -> Meter:
        """The meter in force at ``tick``."""
        return next((meter for meter in reversed(self.meters) if meter.tick <= tick), Meter(0, 4, 4))

    def bars(self, until: int | None = None) -> NDArray[np.int64]:
        """Ticks of all bar lines from 0 on that lie before ``until`` (default: the end of the last note); at least one.

        A change of meter starts a bar wherever it stands.
        """
        until = max(self.end if until is None else until, 1)
        meters = [meter for meter in self.meters if meter.tick < until]
        if not meters or meters[0].tick > 0:
            meters.insert(0, Meter(0, 4, 4))
        stops = [meter.tick for meter in meters[1:]] + [until]
        runs = []
        for meter, stop in zip(meters, stops, strict=True):
            length = self.bar_length(meter)
            lines = meter.tick + np.rint(np.arange(int((stop - meter.tick) / length) + 1) * length).astype(np.int64)
            runs.append(lines[lines < stop])
        return np.concatenate(runs)

    def seconds_at(self, ticks: ArrayLike) -> NDArray[np.float64]:
        """Seconds at each of ``ticks``, by the tempo map."""
        tempos = [Tempo(0, 500_000), *self.tempos]
        starts = np.array([tempo.tick for tempo in tempos], dtype=np.float64)
        beat = np.array([tempo.microseconds for tempo in tempos], dtype=np.float64) / (1e6 * self.ticks_per_beat)
        passed = np.concatenate(([0.0], np.cumsum(np.diff(starts) * beat[:-1])))
        where = np.asarray(ticks, dtype=np.float64)
        segment = np.searchsorted(starts, where, side="right") - 1
        return np.asarray(passed[segment] + (where - starts[segment]) * beat[segment])

    def with_tracks(self, tracks: Iterable[Track]) -> Score:
        """The same maps with other tracks."""
        return replace(self, tracks=tuple(tracks))
