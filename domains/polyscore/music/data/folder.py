"""A folder of MIDI files as training data: read once in parallel, kept as an npz file, split by piece.

The cache lies beside the run or where it is asked to and knows what it was made of (files with their sizes and dates, voices,
layout, raster): it is made anew when any of that changes.
"""

from __future__ import annotations

import hashlib
import json
import os
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from lightning.pytorch import LightningDataModule
from torch.utils.data import DataLoader

from polyscore.errors import InputError
from polyscore.hub.files import atomic_path
from polyscore.hub.numpy_files import read_numpy
from polyscore.music.data.sources import Layout, Piece, find_midi, pop909_files, read_folder
from polyscore.music.data.windows import Passes, Windows, window_loader
from polyscore.music.grid import ROWS, Grid, Loss

__all__ = ["FolderOfMusic", "files_key", "held_out", "load_pieces", "save_pieces"]

_FORMAT = 1


def save_pieces(path: str | os.PathLike[str], pieces: Sequence[Piece], *, key: str = "") -> None:
    """Write pieces as one npz file, whole or not at all; `key` says what they were made of."""
    head = {"format": _FORMAT, "key": key, "names": [p.name for p in pieces]}
    head |= {"losses": [[vars(loss) for loss in p.losses] for p in pieces]}
    head |= {"per_beat": [p.grid.per_beat for p in pieces], "rows": [sorted(p.grid.rows) for p in pieces]}
    arrays = {f"tokens_{i}": piece.grid.tokens.astype(np.uint8) for i, piece in enumerate(pieces)}
    arrays |= {f"{row}_{i}": p.grid.rows[row].astype(np.int16) for i, p in enumerate(pieces) for row in p.grid.rows}
    with atomic_path(path) as name:
        np.savez_compressed(name, head=np.array(json.dumps(head)), **arrays)  # type: ignore[arg-type]


def load_pieces(path: str | os.PathLike[str], *, key: str | None = None) -> list[Piece]:
    """The inverse of `save_pieces`.

    Raises:
        InputError: no such file, another one, or one that was made of something else than `key`.
    """
    try:
        file = read_numpy(path)
        head = json.loads(str(file["head"]))
        if head["format"] != _FORMAT or (key is not None and head["key"] != key):
            raise KeyError("made of other files or with other settings")
        out = []
        for i, name in enumerate(head["names"]):
            rows = {row: file[f"{row}_{i}"].astype(np.int64) for row in ROWS if row in head["rows"][i]}
            grid = Grid(file[f"tokens_{i}"].astype(np.int64), rows, head["per_beat"][i])
            out.append(Piece(name, grid, tuple(Loss(**loss) for loss in head["losses"][i])))
        return out
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{os.fspath(path)} is no cache of these pieces ({error})") from error


def files_key(files: Sequence[Path], settings: object) -> str:
    """A text that changes when files, their sizes or dates, or the settings do."""
    facts = [[str(file), file.stat().st_size, file.stat().st_mtime_ns] for file in files]
    return hashlib.blake2b(json.dumps([facts, settings]).encode(), digest_size=16).hexdigest()


def held_out(names: Sequence[str], every: int) -> list[bool]:
    """Whether each piece is held out: one of so many, by a hash of its name: it stays where it is when others come and go.

    Of few pieces, where no hash falls so, the last.

    Raises:
        InputError: none is left to train on.
    """
    out = [int(hashlib.blake2b(name.encode(), digest_size=4).hexdigest(), 16) % every == 0 for name in names]
    if names and not any(out):
        out[-1] = True
    if all(out):
        raise InputError(f"{len(out)} pieces with one of {every} held out; none is left to train on")
    return out


class FolderOfMusic(LightningDataModule):
    """Batches `{"x0": tokens (B, V, length), "cond": rows}` of the MIDI files below a folder.

    Args:
        root: the folder; `find` "pop909" reads POP909's layout of it.
        voices: names of the voices, those of the model.
        layout: which track is a voice's: see `polyscore.music.data.sources`.
        cache: npz file of what was read; default `.polyscore-music.npz` in the folder.
        find: "midi" for all files, "pop909" for its songs.
        per_beat: positions a quarter note, that of the model.
        batch_size: windows a batch.
        length: positions of a window, that of the model.
        per_epoch: windows an epoch; where there are fewer, all.
        shift: the furthest transposition in semitones, within the voices' ranges; 0 for drums.
        held_out: every so many-th piece, in the order of a hash of its name, is not trained on.
        workers: processes that read files.
        seed: of the order.

    Raises:
        InputError: numbers out of range, no files, or too few to hold any out.
    """

    def __init__(
        self,
        root: str,
        voices: Sequence[str],
        layout: Layout = "names",
        cache: str | None = None,
        *,
        find: str = "midi",
        per_beat: int = 4,
        batch_size: int = 32,
        length: int = 64,
        per_epoch: int = 8000,
        shift: int = 5,
        held_out: int = 10,
        workers: int = 2,
        seed: int = 0,
    ) -> None:
        super().__init__()
        if find not in ("midi", "pop909") or min(per_beat, batch_size, length, held_out - 1) < 1 or min(shift, workers) < 0:
            raise InputError(
                f"FolderOfMusic: find {find!r}, per_beat {per_beat}, batch_size {batch_size}, length {length}, shift {shift}, "
                f"held_out {held_out}, workers {workers}; expected midi or pop909, positive numbers, and 2 or more held_out"
            )
        self.root, self.voices, self.layout, self.cache, self.find = root, list(voices), layout, cache, find
        self.per_beat, self.batch_size, self.length, self.per_epoch = per_beat, batch_size, length, per_epoch
        self.shift, self.held_out, self.workers, self.seed = shift, held_out, workers, seed
        self._pieces: list[Piece] | None = None

    @property
    def cache_path(self) -> Path:
        """Where what was read is kept."""
        return Path(self.cache) if self.cache else Path(self.root) / ".polyscore-music.npz"

    def prepare_data(self) -> None:
        """Read the files, unless the cache was made of them as they are."""
        files = (pop909_files if self.find == "pop909" else find_midi)(self.root)
        key = files_key(files, [self.voices, self.layout, self.per_beat])
        if self.cache_path.exists():
            try:
                self._pieces = load_pieces(self.cache_path, key=key)
                return
            except InputError:
                pass
        found = read_folder(files, self.voices, layout=self.layout, per_beat=self.per_beat, workers=self.workers)
        if found.skipped:
            shown = "; ".join(f"{file}: {text}" for file, text in list(found.skipped.items())[:3])
            warnings.warn(f"{len(found.skipped)} of {len(files)} files are left out: {shown}", stacklevel=1)
        if not found.pieces:
            raise InputError(f"FolderOfMusic: none of the {len(files)} files below {self.root} has the voices {self.voices}")
        save_pieces(self.cache_path, found.pieces, key=key)
        self._pieces = found.pieces

    def split(self) -> tuple[list[Piece], list[Piece]]:
        """Pieces to train on and pieces that are held out; a piece stays where it is when others come and go.

        Raises:
            InputError: one of the two is empty.
        """
        if self._pieces is None:
            self.prepare_data()
        assert self._pieces is not None
        pairs = list(zip(self._pieces, held_out([piece.name for piece in self._pieces], self.held_out), strict=True))
        return [piece for piece, held in pairs if not held], [piece for piece, held in pairs if held]

    def train_dataloader(self) -> DataLoader[dict[str, object]]:
        data = Windows([p.grid for p in self.split()[0]], self.length, shifts=range(-self.shift, self.shift + 1))
        if len(data) < self.batch_size:
            raise InputError(f"FolderOfMusic: {len(data)} windows, a batch has {self.batch_size}; take a smaller batch_size")
        return window_loader(data, self.batch_size, order=Passes(len(data), self.per_epoch, seed=self.seed))

    def val_dataloader(self) -> DataLoader[dict[str, object]]:
        return window_loader(Windows([p.grid for p in self.split()[1]], self.length, every=self.length), self.batch_size)
