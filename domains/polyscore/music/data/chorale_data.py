"""The chorales as training data: held out by piece, without near-copies of what is held out."""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np
from lightning.pytorch import LightningDataModule
from numpy.typing import NDArray
from torch.utils.data import DataLoader

from polyscore.errors import InputError
from polyscore.music.data.chorales import chorale_grid, load_chorales
from polyscore.music.data.windows import Passes, Windows, voice_ranges, window_loader
from polyscore.music.grid import Grid

__all__ = ["ChoraleData", "chorale_split", "likeness"]

_COMMON_TIME = 4 * 480


def likeness(a: Grid, b: Grid) -> float:
    """The share of a's sounding beats that b has too, in whatever key: 1 for a copy.

    A beat counts by the intervals above the bass of three beats in a row and how the bass moves between them.
    """
    mine, theirs = _shingles(a), _shingles(b)
    return len(mine & theirs) / max(min(len(mine), len(theirs)), 1)


def chorale_split(
    cache: str | os.PathLike[str] | None = None, *, held_out: int = 60, seed: int = 0, copies: float = 0.5
) -> tuple[list[Grid], list[Grid]]:
    """Grids to train on and grids to measure on.

    Of the pieces in 4/4 throughout, `held_out` chosen by the seed are measured on; of the others (also those in other meters)
    those are trained on whose `likeness` to no held-out piece reaches `copies`.

    Raises:
        InputError: fewer pieces than are to be held out.
        MissingExtraError: no cache, and music21 is not installed.
    """
    pieces = load_chorales(cache)
    even = [i for i, piece in enumerate(pieces) if piece.meter == _COMMON_TIME]
    if not 0 < held_out < len(even):
        raise InputError(f"chorales: {held_out} held out of {len(even)} in 4/4; expected at least one, and fewer than there are")
    chosen = set(np.random.default_rng(seed).permutation(even)[:held_out].tolist())
    grids = [chorale_grid(piece) for piece in pieces]
    measured = [grids[i] for i in sorted(chosen)]
    kept = [_shingles(grid) for grid in measured]
    trained = [grid for i, grid in enumerate(grids) if i not in chosen and not _copied(_shingles(grid), kept, copies)]
    return trained, measured


class ChoraleData(LightningDataModule):
    """Batches `{"x0": tokens (B, 4, length), "cond": rows}` of Bach's chorales.

    Args:
        cache: the npz file of what was read; default in the user's cache folder. Made from music21's corpus where it is missing.
        batch_size: windows a batch.
        length: positions (sixteenths) of a window.
        per_epoch: windows an epoch.
        shift: the furthest transposition in semitones, up and down.
        held_out: pieces in 4/4 that are not trained on.
        seed: of the split and the order.

    Raises:
        InputError: numbers out of range.
    """

    def __init__(
        self,
        cache: str | None = None,
        batch_size: int = 32,
        length: int = 64,
        *,
        per_epoch: int = 8000,
        shift: int = 6,
        held_out: int = 60,
        seed: int = 0,
    ) -> None:
        super().__init__()
        if min(batch_size, length, per_epoch // max(batch_size, 1)) < 1 or shift < 0:
            found = f"batch_size {batch_size}, length {length}, per_epoch {per_epoch}, shift {shift}"
            raise InputError(f"ChoraleData: {found}; expected positive numbers, at least a batch an epoch, and shift >= 0")
        self.cache, self.batch_size, self.length = cache, batch_size, length
        self.per_epoch, self.shift, self.held_out, self.seed = per_epoch, shift, held_out, seed
        self._split: tuple[list[Grid], list[Grid]] | None = None

    def setup(self, stage: str = "fit") -> None:
        """Read the pieces."""
        if self._split is None:
            self._split = chorale_split(self.cache, held_out=self.held_out)

    def train_dataloader(self) -> DataLoader[dict[str, object]]:
        grids = self._parts[0]
        data = Windows(grids, self.length, shifts=range(-self.shift, self.shift + 1), ranges=self.ranges)
        return window_loader(data, self.batch_size, order=Passes(len(data), self.per_epoch, seed=self.seed))

    def val_dataloader(self) -> DataLoader[dict[str, object]]:
        return window_loader(Windows(self._parts[1], self.length, every=self.length), self.batch_size)

    @property
    def ranges(self) -> NDArray[np.int64]:
        """(4, 2): the voices' ranges in all pieces."""
        return voice_ranges([grid for part in self._parts for grid in part])

    @property
    def _parts(self) -> tuple[list[Grid], list[Grid]]:
        self.setup()
        assert self._split is not None
        return self._split


def _shingles(grid: Grid) -> set[tuple[int, ...]]:
    beats = grid.sounding()[:, :: grid.per_beat]
    beats = beats[:, (beats >= 0).all(0)]
    above = (beats[:-1] - beats[-1:]).T
    steps = np.diff(beats[-1])
    runs = zip(above, above[1:], above[2:], steps, steps[1:], strict=False)
    return {(*a.tolist(), *b.tolist(), *c.tolist(), int(s), int(t)) for a, b, c, s, t in runs}


def _copied(mine: set[tuple[int, ...]], held: Sequence[set[tuple[int, ...]]], least: float) -> bool:
    return any(len(mine & theirs) >= least * max(min(len(mine), len(theirs)), 1) for theirs in held)
