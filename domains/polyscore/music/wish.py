"""What somebody wants of a piece: which parts stay, which are written, in which bars; and what came of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Generic, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from polyscore.errors import InputError
from polyscore.music.chords import Chord
from polyscore.music.roles import Reading
from polyscore.music.score import Key, Meter, Notes, Score, Tempo, Track, note_array

__all__ = [
    "Arranger",
    "Blank",
    "Outcome",
    "Wish",
    "Written",
    "bar_span",
    "changed",
    "counted",
    "end_of_bar",
    "merged",
    "parts_of",
    "velocity_of",
]

T = TypeVar("T")


@dataclass(frozen=True)
class Wish:
    """What is to be done to a piece.

    Attributes:
        keep: parts that stay as they are. Parts that are neither kept nor written are left out, unless `keep` is empty.
        fill: parts that are written.
        bars: (first, last) bar in which they are; the first whole bar is 1, a pick-up 0. None: everywhere.
        further: bars to add at the end.
        chords: a chord for each bar, repeated to the end; empty: as the piece has them.
        said: the part that a track plays, where the user says so.
    """

    keep: tuple[str, ...] = ()
    fill: tuple[str, ...] = ()
    bars: tuple[int, int] | None = None
    further: int = 0
    chords: tuple[Chord, ...] = ()
    said: Mapping[int, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Blank:
    """A piece that is not there yet: bars of a meter, with a tempo in beats a minute and a key."""

    bars: int = 8
    meter: tuple[int, int] = (4, 4)
    bpm: float = 80.0
    key: Key = Key(0, 0, False)

    def __post_init__(self) -> None:
        if self.bars < 1 or not 10 <= self.bpm <= 1000:
            found = f"{self.bars} bars at {self.bpm} beats a minute"
            raise InputError(f"a new piece of {found}; expected at least 1 bar, and 10 to 1000 beats a minute")

    def score(self) -> Score:
        """The piece without notes."""
        tempo = Tempo(0, round(6e7 / self.bpm))
        return Score((), 480, (tempo,), (Meter(0, *self.meter),), (self.key,))


@dataclass(frozen=True)
class Outcome:
    """One version of a piece.

    Attributes:
        score: all of it.
        new: for each track, which of its notes were written.
        metrics: what the model's raster tells about it, by name.
    """

    score: Score
    new: Mapping[int, NDArray[np.bool_]]
    metrics: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Written(Generic[T]):
    """Versions of a draft, and how many network calls they took together so far."""

    versions: tuple[T, ...]
    calls: int


class Arranger(Protocol):
    """A model that fulfils wishes."""

    @property
    def parts(self) -> tuple[str, ...]:
        """What can be kept or filled."""
        ...

    def begin(self, piece: Score | Blank, wish: Wish) -> Any:
        """A draft: what the model is shown; with `facts`, a mapping for the report, and `remarks`, sentences for the user."""
        ...

    def method(self, **changes: Any) -> Any:
        """The model's own way of writing, with changes: order, steps, sweeps, repairs, temperature, top_p (see `changed`)."""
        ...

    def write(self, draft: Any, seeds: Sequence[int], method: Any) -> Iterator[Written[Any]]:
        """Fill in the draft, once for every seed; what comes last is complete."""
        ...

    def finish(self, draft: Any, written: Any) -> list[Outcome]:
        """The versions as scores."""
        ...


def parts_of(wish: Wish, readings: Sequence[Reading], parts: Sequence[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The parts that stay and those that are written.

    Without a word: in given bars, or at the end, everything that is there is written; else what is not there yet.

    Raises:
        InputError: an unknown part, one that is both, one to keep that is not there, or nothing to write.
    """
    present = [part for part in parts if any(reading.part == part for reading in readings)]
    for part in (*wish.keep, *wish.fill):
        if part not in parts:
            raise InputError(f"there is no part {part!r} in this model; expected some of {', '.join(parts)}")
    both = [part for part in wish.keep if part in wish.fill]
    missing = [part for part in wish.keep if part not in present]
    if both or missing:
        how = "; ".join(map(str, readings)) or "no tracks"
        problem = f"{both[0]!r} is both kept and written" if both else f"{missing[0]!r} is to be kept, but no track plays it"
        raise InputError(f"{problem}. The tracks are read so: {how}")
    local = wish.bars is not None or wish.further > 0
    if wish.fill:
        return wish.keep or tuple(part for part in present if part not in wish.fill), wish.fill
    if wish.keep:
        return wish.keep, tuple(part for part in (present if local else parts) if part not in wish.keep)
    fill = present if local else [part for part in parts if part not in present]
    if not fill:
        raise InputError("every part is there already; say which are to be written anew (fill), or in which bars")
    return tuple(part for part in present if part not in fill), tuple(fill)


def bar_span(score: Score, wish: Wish) -> tuple[int, int] | None:
    """The ticks [begin, end) of the wished bars; None: everywhere.

    Raises:
        InputError: bars that the piece does not have.
    """
    if wish.bars is None:
        return None
    lines = score.bars()
    first = 0 if score.pickup else 1
    last = len(lines) - 1 + first
    if not first <= wish.bars[0] <= wish.bars[1] <= last:
        raise InputError(f"bars {wish.bars[0]}-{wish.bars[1]}: the piece has bars {first} to {last}")
    begin, end = wish.bars[0] - first, wish.bars[1] - first + 1
    stop = int(lines[end]) if end < len(lines) else end_of_bar(score, int(lines[-1]))
    return int(lines[begin]), stop


def end_of_bar(score: Score, line: int) -> int:
    """The tick where the bar that begins at `line` ends."""
    return line + round(score.bar_length(score.meter_at(line)))


def merged(track: Track, kept: Notes, written: Notes) -> tuple[Track, NDArray[np.bool_]]:
    """A track of notes that stayed and notes that were written, and which of its notes were written."""
    rows = np.concatenate([kept, written]).view(np.int64).reshape(-1, 4)
    made = np.arange(len(rows)) >= len(kept)
    order = np.lexsort((rows[:, 3], rows[:, 1], rows[:, 2], rows[:, 0]))
    values = {name: getattr(track, name) for name in ("name", "program", "is_drum", "channel", "controls")}
    return Track(note_array(rows[order]), **values), made[order]


def velocity_of(notes: Notes, default: int = 80) -> int:
    """The mean loudness of notes, for what is written beside them."""
    return round(float(notes["velocity"].mean())) if len(notes) else default


@contextmanager
def counted(network: Any) -> Iterator[Callable[[], int]]:
    """Count the calls of a network while the block runs."""
    calls = 0

    def add(*_: Any) -> None:
        nonlocal calls
        calls += 1

    handle = network.register_forward_hook(add)
    try:
        yield lambda: calls
    finally:
        handle.remove()


def changed(writing: Any, changes: Mapping[str, Any]) -> Any:
    """A way of writing with changes.

    Another order comes alone, without the sweeps and repairs that belong to the model's own: it is what its name says. A
    temperature sharpens the sweeps in proportion.
    """
    order = changes.get("order", writing.order)
    own = writing if order == writing.order else replace(writing, sweeps=None, repairs=0)
    sharper = changes.get("temperature", own.temperature) / own.temperature
    return replace(own, **{"sweep_temperature": own.sweep_temperature * sharper, **changes})
