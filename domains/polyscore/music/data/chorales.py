"""Bach's four-part chorales as note lists, read from the user's own music21 (its corpus is not part of this package).

`read_chorales` parses the corpus once, which takes half a minute, and keeps the result as an npz file. A `Chorale` says in ticks
(480 a quarter) what sounds in each of the four voices, where the bars and the soprano's fermatas are, and the key signature.

The encodings come with music21 (Cuthbert and Ariza 2010); some of them are not free for commercial use, so they stay where they
are, and only the user's cache holds what was read.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from polyscore.errors import InputError, MissingExtraError
from polyscore.hub.files import atomic_path
from polyscore.hub.numpy_files import read_numpy
from polyscore.music.grid import Grid, token_row
from polyscore.music.score import note_array

__all__ = ["TICKS", "Chorale", "chorale_grid", "default_cache", "load_chorales", "read_chorales", "save_chorales"]

TICKS = 480
"""Ticks a quarter."""

_SUFFIXES = (".mxl", ".xml", ".krn")
_FORMAT = 1


@dataclass(frozen=True, eq=False)
class Chorale:
    """One piece.

    Attributes:
        name: of the file in the corpus, without its suffix.
        notes: (N, 4) int64: voice (0 soprano to 3 bass), onset, duration, MIDI pitch; tied notes are one, times in ticks.
        bars: (M, 3) int64: where each written bar begins, the length of a whole bar of its meter, and how much of it had gone by
            when it begins (of a pick-up all but its own length), in ticks.
        fermatas: (K, 2) int64: begin and end of the soprano's notes with a fermata, in ticks.
        sharps: of the key signature, negative for flats.
        minor: whether the key is a minor one.
    """

    name: str
    notes: NDArray[np.int64]
    bars: NDArray[np.int64]
    fermatas: NDArray[np.int64]
    sharps: int
    minor: bool

    @property
    def length(self) -> int:
        """The end of the last note, in ticks."""
        return int((self.notes[:, 1] + self.notes[:, 2]).max())

    @property
    def meter(self) -> int | None:
        """The length of a bar in ticks where all bars agree."""
        lengths = set(self.bars[:, 1].tolist())
        return lengths.pop() if len(lengths) == 1 else None


def chorale_grid(piece: Chorale, *, per_beat: int = 4) -> Grid:
    """The piece on the raster with all condition rows, up to the end of its last note."""
    unit = TICKS / per_beat
    length = round(piece.length / unit)
    voices = [piece.notes[piece.notes[:, 0] == voice] for voice in range(4)]
    notes = [note_array([(onset, size, pitch, 80) for _, onset, size, pitch in rows]) for rows in voices]
    begin, whole, gone = np.rint(piece.bars / unit).astype(np.int64).T
    which = np.searchsorted(begin, np.arange(length), side="right") - 1
    fermata = np.ones(length, dtype=np.int64)
    for start, stop in np.rint(piece.fermatas / unit).astype(np.int64):
        fermata[start:stop] = 2
    rows = {
        "position": np.arange(length) - begin[which] + gone[which] + 1,
        "bar": whole[which],
        "fermata": fermata,
        "key": np.full(length, 7 * piece.sharps % 12 + 1),
        "mode": np.full(length, 1 + piece.minor),
    }
    return Grid(np.stack([token_row(part, length, unit)[0] for part in notes]), rows, per_beat)


def default_cache() -> Path:
    """`polyscore/bach_chorales.npz` in the user's cache folder (XDG_CACHE_HOME, else ~/.cache)."""
    root = os.environ.get("XDG_CACHE_HOME")
    return (Path(root) if root else Path.home() / ".cache") / "polyscore" / "bach_chorales.npz"


def load_chorales(cache: str | os.PathLike[str] | None = None) -> list[Chorale]:
    """The chorales from the cache; without one the corpus is read, and the cache written.

    Raises:
        InputError: the file is no cache of chorales.
        MissingExtraError: there is no cache and music21 is not installed.
    """
    path = default_cache() if cache is None else Path(cache)
    if not path.exists():
        save_chorales(path, read_chorales())
    try:
        file = read_numpy(path)
        head = json.loads(str(file["head"]))
        if head["format"] != _FORMAT:
            raise KeyError("format")
        parts = ("notes", "bars", "fermatas")
        cut = {part: np.split(file[part], np.cumsum(file[f"{part}_counts"])[:-1]) for part in parts}
    except (OSError, ValueError, KeyError) as error:
        raise InputError(f"{path} is no cache of chorales ({error}); remove it, and it is made anew") from error
    rows = zip(head["pieces"], *(cut[part] for part in parts), strict=True)
    return [Chorale(name, notes, bars, spans, sharps, minor) for (name, sharps, minor), notes, bars, spans in rows]


def save_chorales(path: str | os.PathLike[str], chorales: Sequence[Chorale]) -> None:
    """Write the cache, whole or not at all."""
    head = {"format": _FORMAT, "pieces": [[piece.name, piece.sharps, piece.minor] for piece in chorales]}
    arrays: dict[str, Any] = {"head": np.array(json.dumps(head))}
    for part in ("notes", "bars", "fermatas"):
        tables = [getattr(piece, part) for piece in chorales]
        arrays[part] = np.concatenate(tables).astype(np.int32)
        arrays[f"{part}_counts"] = np.array([len(table) for table in tables])
    with atomic_path(path) as name:
        np.savez_compressed(name, **arrays)


def read_chorales(paths: Iterable[str | os.PathLike[str]] | None = None) -> list[Chorale]:
    """Parse the four-part pieces among these files (default: all of Bach in music21's corpus), in the order of their names.

    Raises:
        MissingExtraError: music21 is not installed.
    """
    try:
        from music21 import converter, corpus
    except ImportError as error:
        raise MissingExtraError("the chorales come with music21: pip install 'polyscore[music]'") from error
    files = [Path(path) for path in (corpus.getComposer("bach") if paths is None else paths)]
    pieces = []
    for file in sorted(files, key=lambda path: path.name):
        if file.suffix not in _SUFFIXES:
            continue
        score: Any = converter.parse(file, forceSource=True, storePickle=False)
        if len(getattr(score, "parts", ())) == 4:
            piece = _chorale(file.stem, list(score.parts))
            if piece is not None:
                pieces.append(piece)
    return pieces


def _chorale(name: str, parts: Sequence[Any]) -> Chorale | None:
    """The piece, or None where a voice has chords or nothing at all."""
    rows: list[tuple[int, int, int, int]] = []
    spans: list[tuple[int, int]] = []
    for voice, part in enumerate(parts):
        found = _notes(part)
        if not found:
            return None
        for onset, length, pitch, fermata in found:
            rows.append((voice, onset, length, pitch))
            if fermata and voice == 0:
                spans.append((onset, onset + length))
    signatures = list(parts[0].flatten().getElementsByClass("KeySignature"))
    sharps = int(signatures[0].sharps) if signatures else 0
    mode = getattr(signatures[0], "mode", None) if signatures else None
    if mode is None:
        mode = "minor" if _ends_a_third_below(rows, sharps) else "major"
    table = np.array(rows, dtype=np.int64)
    return Chorale(name, table, _bars(parts[0]), np.array(spans, dtype=np.int64).reshape(-1, 2), sharps, mode == "minor")


def _notes(part: Any) -> list[tuple[int, int, int, bool]] | None:
    """(onset, duration, pitch, fermata) in ticks of a part, tied notes joined; None where notes sound together."""
    out: list[tuple[int, int, int, bool]] = []
    joined = False
    for note in part.flatten().notes:
        onset, length = _ticks(note.offset), _ticks(note.quarterLength)
        if length == 0:  # a grace note
            continue
        if not note.isNote or (out and onset < out[-1][0] + out[-1][1]):
            return None
        fermata = any("Fermata" in mark.classes for mark in note.expressions)
        pitch = int(note.pitch.midi)
        if joined and out and out[-1][2] == pitch and out[-1][0] + out[-1][1] == onset:
            first = out.pop()
            out.append((first[0], first[1] + length, pitch, first[3] or fermata))
        else:
            out.append((onset, length, pitch, fermata))
        joined = note.tie is not None and note.tie.type in ("start", "continue")
    return out


def _bars(part: Any) -> NDArray[np.int64]:
    """(begin, whole length, what had gone by) of the written bars; halves of a bar that a repeat sign cuts are put together."""
    out: list[tuple[int, int, int]] = []
    gone = 0
    for index, measure in enumerate(part.getElementsByClass("Measure")):
        whole, own = _ticks(measure.barDuration.quarterLength), _ticks(measure.duration.quarterLength)
        if index == 0:
            before = max(whole - own, 0)
        else:
            before = gone if gone > 0 and gone + own <= whole else 0
        out.append((_ticks(measure.offset), whole, before))
        gone = (before + own) % whole if whole else 0
    return np.array(out, dtype=np.int64)


def _ends_a_third_below(rows: Sequence[tuple[int, int, int, int]], sharps: int) -> bool:
    """Whether the last bass note is the tonic of the relative minor."""
    last = max((row for row in rows if row[0] == 3), key=lambda row: row[1])
    return last[3] % 12 == (7 * sharps + 9) % 12


def _ticks(quarters: Any) -> int:
    ticks: int = round(quarters * TICKS)
    return ticks
