"""Pieces in the field's own file formats as grids: MIDI files with a layout of voices, the JSB chorales' json, POP909's folders.

A layout says which track of a file a voice reads: "names" (the first whose name holds the voice's: POP909's melody, bridge and
piano), "height" (from the highest to the lowest track), or "order" (as in the file). Files that cannot be read, or that have
none of the voices, are left out and named.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Literal, NamedTuple, TypeAlias

import numpy as np

from polyscore.errors import InputError, PolyscoreError
from polyscore.music.grid import HOLD, REST, Grid, Loss, grid_of
from polyscore.music.midi import read_notes
from polyscore.music.score import Score

__all__ = ["Layout", "Piece", "Read", "find_midi", "jsb_grids", "pop909_files", "read_folder", "voices_of"]

Layout: TypeAlias = Literal["names", "height", "order"]


class Piece(NamedTuple):
    """One file on the raster, and what its voices lost there."""

    name: str
    grid: Grid
    losses: tuple[Loss, ...]


class Read(NamedTuple):
    """What a folder holds: the pieces, and why each other file was left out."""

    pieces: list[Piece]
    skipped: dict[str, str]


def find_midi(root: str | os.PathLike[str]) -> list[Path]:
    """The MIDI files below a folder, sorted.

    Raises:
        InputError: no folder, or none in it.
    """
    place = Path(root)
    if not place.is_dir():
        raise InputError(f"music: {place} is not a folder")
    files = sorted(f for f in place.rglob("*") if f.suffix.lower() in (".mid", ".midi") and not f.name.startswith("."))
    if not files:
        raise InputError(f"music: {place} holds no MIDI files (.mid, .midi)")
    return files


def pop909_files(root: str | os.PathLike[str]) -> list[Path]:
    """The songs of POP909's layout, `POP909/001/001.mid`, without their versions; their tracks are MELODY, BRIDGE, PIANO.

    Wang et al. 2020, arXiv 2008.07142 (music-x-lab/POP909-Dataset).

    Raises:
        InputError: no such folder.
    """
    files = [file for file in find_midi(root) if file.stem == file.parent.name]
    if not files:
        raise InputError(f"POP909: {root} has no folders like 001/001.mid; give the folder that holds 001 to 909")
    return files


def voices_of(score: Score, voices: Sequence[str], layout: Layout) -> list[int | None]:
    """The track of each voice: whose name holds the voice's, from high to low, or in the file's order.

    Raises:
        InputError: fewer tracks than voices, or no track of any of these names.
    """
    if layout == "names":
        names = [track.name.lower() for track in score.tracks]
        filled = [i for i, track in enumerate(score.tracks) if len(track)]
        found = [next((i for i in filled if voice.lower() in names[i]), None) for voice in voices]
        if all(track is None for track in found):
            raise InputError(f"tracks {[track.name for track in score.tracks]}; expected names with one of {list(voices)}")
        return found
    tracks = [i for i, track in enumerate(score.tracks) if len(track) and not track.is_drum]
    if len(tracks) < len(voices):
        raise InputError(f"{len(tracks)} tracks with pitches, expected {len(voices)} ({', '.join(voices)})")
    if layout == "height":
        tracks.sort(key=lambda i: -float(np.mean(score.tracks[i].notes["pitch"])))
    return [*tracks[: len(voices)]]


def read_folder(
    files: Sequence[Path], voices: Sequence[str], *, layout: Layout = "names", per_beat: int = 4, workers: int = 0
) -> Read:
    """Read files in so many processes at a time (0: in this one), in their order."""
    work = partial(_piece, voices=tuple(voices), layout=layout, per_beat=per_beat)
    if workers > 0:
        with ProcessPoolExecutor(workers) as pool:
            found = list(pool.map(work, files, chunksize=max(1, len(files) // (8 * workers))))
    else:
        found = [work(file) for file in files]
    pieces = [piece for piece in found if isinstance(piece, Piece)]
    return Read(pieces, {str(file): text for file, text in zip(files, found, strict=True) if isinstance(text, str)})


def jsb_grids(path: str | os.PathLike[str], part: str) -> list[Grid]:
    """The chorales of a part ("train", "valid", "test") of a JSB json: lists of [S, A, T, B] each sixteenth, -1 for silence.

    The format does not tell a note that is held from one that is struck again: equal pitches in a row become one note. Nor does
    it tell bars, keys and fermatas: none of the condition rows is known.

    Raises:
        InputError: no such file or part, or rows that are not four numbers.
    """
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
        pieces = [np.array(piece, dtype=np.int64).T for piece in content[part]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{os.fspath(path)}: no JSB chorales with a part {part!r} ({error})") from error
    if any(piece.ndim != 2 or len(piece) != 4 or piece.max(initial=0) > 127 for piece in pieces):
        raise InputError(f"{os.fspath(path)}: a chorale without four pitches a sixteenth")
    grids = []
    for piece in pieces:
        same = np.zeros(piece.shape, dtype=bool)
        same[:, 1:] = piece[:, 1:] == piece[:, :-1]
        tokens = np.where(piece < 0, REST, np.where(same, HOLD, piece))
        grids.append(Grid(tokens, {}, 4))
    return grids


def _piece(file: Path, *, voices: tuple[str, ...], layout: Layout, per_beat: int) -> Piece | str:
    """The piece, or why there is none."""
    try:
        score = read_notes(file)
        grid, losses = grid_of(score, voices_of(score, voices, layout), per_beat=per_beat)
    except PolyscoreError as error:
        return str(error)
    return Piece(file.stem, grid, losses)
