"""A folder of MIDI songs as GETScore grids: read once in parallel, kept as octuples, with the vocabulary they need.

The parts of a song are read as `compose` reads them (`polyscore.music.roles`), whatever its programs. The compounds of the
vocabulary (notes of a part that begin together) are counted in the songs that are trained on.
"""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from lightning.pytorch import LightningDataModule
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from polyscore.errors import ConfigError, InputError, PolyscoreError
from polyscore.hub.files import atomic_path
from polyscore.music.data.folder import files_key, held_out
from polyscore.music.data.sources import find_midi
from polyscore.music.data.windows import Passes
from polyscore.music.getscore import PARTS, ROWS, GetVocabulary, compounds, encode
from polyscore.music.midi import read_notes
from polyscore.music.octuple import CHORD_PROGRAM, Octuples, octuples
from polyscore.music.roles import read_parts
from polyscore.training.order import whole

__all__ = ["Song", "SongData", "SongWindows", "Songs", "load_songs", "save_songs"]

Ints = NDArray[np.int64]

_FORMAT = 1
_PROGRAM = {part.name: part.program for part in PARTS}


class Song(NamedTuple):
    """One file as octuples."""

    name: str
    octuples: Octuples


def save_songs(path: str | os.PathLike[str], songs: Sequence[Song], *, key: str = "") -> None:
    """Write the rows of songs as one npz file, whole or not at all; `key` says what they were made of."""
    head = {"format": _FORMAT, "key": key, "names": [song.name for song in songs]}
    arrays = {f"rows_{i}": song.octuples.rows.astype(np.int32) for i, song in enumerate(songs)}
    arrays |= {f"bars_{i}": song.octuples.bars.astype(np.int32) for i, song in enumerate(songs)}
    with atomic_path(path) as name:
        np.savez_compressed(name, head=np.array(json.dumps(head)), **arrays)  # type: ignore[arg-type]


def load_songs(path: str | os.PathLike[str], *, key: str | None = None) -> list[Song]:
    """The inverse of `save_songs`: rows and bars.

    Raises:
        InputError: no such file, another one, or one that was made of something else than `key`.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            head = json.loads(str(file["head"]))
            if head["format"] != _FORMAT or (key is not None and head["key"] != key):
                raise KeyError("made of other files")
            pairs = [(file[f"rows_{i}"].astype(np.int64), file[f"bars_{i}"].astype(np.int64)) for i in range(len(head["names"]))]
            return [Song(name, Octuples(rows, 0, bars)) for name, (rows, bars) in zip(head["names"], pairs, strict=True)]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{os.fspath(path)} is no cache of these songs ({error})") from error


class Songs:
    """The songs below a folder, read when they are first asked for.

    Args:
        root: the folder.
        cache: npz file of what was read; default `.polyscore-songs.npz` in the folder.
        workers: processes that read files.
        held_out: one of so many songs is not trained on.
        share, more_than: which compounds become tokens, see `GetVocabulary.counted`.

    Raises:
        InputError: numbers out of range; when they are asked for, no folder, no song in it, or too few to hold any out.
    """

    def __init__(
        self,
        root: str,
        cache: str | None = None,
        *,
        workers: int = 2,
        held_out: int = 10,
        share: float = 0.9,
        more_than: int = 0,
    ) -> None:
        if workers < 0 or held_out < 2 or not 0 < share <= 1 or more_than < 0:
            found = f"workers {workers}, held_out {held_out}, share {share}, more_than {more_than}"
            raise InputError(f"Songs: {found}; expected 0 or more, 2 or more, a share in (0, 1], and 0 or more")
        self.root, self.cache, self.workers, self.held_out = root, cache, workers, held_out
        self.share, self.more_than = share, more_than

    @cached_property
    def split(self) -> tuple[list[Song], list[Song]]:
        """Songs to train on and songs that are held out."""
        songs = self._read()
        pairs = list(zip(songs, held_out([song.name for song in songs], self.held_out), strict=True))
        return [song for song, held in pairs if not held], [song for song, held in pairs if held]

    @cached_property
    def vocabulary(self) -> GetVocabulary:
        """The tokens of the songs that are trained on."""
        found = compounds(song.octuples for song in self.split[0])
        return GetVocabulary.counted(found, share=self.share, more_than=self.more_than)

    def grids(self, *, held: bool = False) -> list[Ints]:
        """The grids (14, L) of one side of the split; parts that a song does not have are EMPTY."""
        return [self._grid(song) for song in self.split[held]]

    def _grid(self, song: Song) -> Ints:
        tokens = encode(song.octuples, self.vocabulary).tokens
        sounding = set(song.octuples.rows[:, 2].tolist())
        for i, program in enumerate([part.program for part in PARTS] + [CHORD_PROGRAM]):
            if program not in sounding:
                tokens[2 * i : 2 * i + 2] = self.vocabulary.empty
        return tokens

    def _read(self) -> list[Song]:
        files = find_midi(self.root)
        place = Path(self.cache) if self.cache else Path(self.root) / ".polyscore-songs.npz"
        key = files_key(files, "songs")
        if place.exists():
            try:
                return load_songs(place, key=key)
            except InputError:
                pass
        if self.workers > 0:
            with ProcessPoolExecutor(self.workers) as pool:
                found = list(pool.map(_song, files, chunksize=max(1, len(files) // (8 * self.workers))))
        else:
            found = [_song(file) for file in files]
        songs = [song for song in found if isinstance(song, Song)]
        skipped = [f"{file}: {text}" for file, text in zip(files, found, strict=True) if isinstance(text, str)]
        if skipped:
            warnings.warn(f"{len(skipped)} of {len(files)} files are left out: {'; '.join(skipped[:3])}", stacklevel=1)
        if not songs:
            raise InputError(f"Songs: none of the {len(files)} files below {self.root} can be read as a song")
        save_songs(place, songs, key=key)
        return songs


class SongWindows(Dataset[dict[str, Tensor]]):
    """Elements `{"x0": tokens (14, length)}` of grids, from every so many-th column on; beyond a song's end all is EMPTY."""

    def __init__(self, grids: Sequence[Ints], length: int, *, every: int, empty: int) -> None:
        self.grids, self.length, self.empty = grids, length, empty
        places = [range(0, max(grid.shape[1] - length, 0) + every, every) for grid in grids]
        self.index = [(g, min(first, max(grids[g].shape[1] - length, 0))) for g, row in enumerate(places) for first in row]

    def __len__(self) -> int:
        return len(self.index)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        return {name: value[0] for name, value in self.__getitems__([index]).items()}

    def __getitems__(self, indices: Sequence[int]) -> dict[str, Tensor]:
        """A whole batch."""
        out = np.full((len(indices), ROWS, self.length), self.empty, dtype=np.int64)
        for row, (g, first) in zip(out, (self.index[i] for i in indices), strict=True):
            part = self.grids[g][:, first : first + self.length]
            row[:, : part.shape[1]] = part
        return {"x0": torch.from_numpy(out)}


class SongData(LightningDataModule):
    """Batches `{"x0": tokens (B, 14, length)}` of the songs that the training was given (`SongTraining.songs`).

    Args:
        batch_size: windows a batch.
        length: columns of a window, a multiple of 16.
        per_epoch: windows an epoch; where there are fewer, all.
        seed: of the order.

    Raises:
        InputError: numbers out of range, or fewer windows than a batch.
    """

    def __init__(self, batch_size: int = 3, length: int = 512, *, per_epoch: int = 3000, seed: int = 0) -> None:
        super().__init__()
        if min(batch_size, length, per_epoch // max(batch_size, 1)) < 1 or length % 16:
            found = f"batch_size {batch_size}, length {length}, per_epoch {per_epoch}"
            raise InputError(f"SongData: {found}; expected positive numbers, whole bars of 16, and at least a batch an epoch")
        self.batch_size, self.length, self.per_epoch, self.seed = batch_size, length, per_epoch, seed

    def train_dataloader(self) -> DataLoader[dict[str, Tensor]]:
        data = self._windows(held=False, every=16)
        if len(data) < self.batch_size:
            raise InputError(f"SongData: {len(data)} windows, a batch has {self.batch_size}; take a smaller batch_size")
        order = Passes(len(data), self.per_epoch, seed=self.seed)
        return DataLoader(data, self.batch_size, sampler=order, drop_last=True, collate_fn=whole)

    def val_dataloader(self) -> DataLoader[dict[str, Tensor]]:
        return DataLoader(self._windows(held=True, every=self.length), self.batch_size, collate_fn=whole)

    def _windows(self, *, held: bool, every: int) -> SongWindows:
        songs = getattr(getattr(self.trainer, "lightning_module", None), "songs", None)
        if not isinstance(songs, Songs):
            raise ConfigError("SongData: its songs are those of its model, a polyscore.music.song_training.SongTraining")
        return SongWindows(songs.grids(held=held), self.length, every=every, empty=songs.vocabulary.empty)


def _song(file: Path) -> Song | str:
    """The song, or why there is none."""
    try:
        score = read_notes(file)
        programs = [None if reading.part is None else _PROGRAM[reading.part] for reading in read_parts(score)]
        return Song(file.stem, octuples(score, programs=programs))
    except PolyscoreError as error:
        return str(error)
