"""Windows of grids: every beat of every piece in every transposition that stays inside the voices' ranges, once each.

The windows of all pieces are numbered; an epoch takes the next so many numbers of a random order of all of them, so that a window
comes back in the same transposition only when all others have been seen.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from polyscore.errors import InputError
from polyscore.music.grid import HOLD, Grid
from polyscore.training.order import whole

__all__ = ["Passes", "Windows", "voice_ranges", "window_loader"]


def voice_ranges(grids: Sequence[Grid]) -> NDArray[np.int64]:
    """(V, 2): the lowest and the highest pitch of each voice; 127 and 0 for a voice without a note."""
    low = np.min([np.where(grid.tokens < HOLD, grid.tokens, 127).min(1) for grid in grids], axis=0)
    high = np.max([np.where(grid.tokens < HOLD, grid.tokens, 0).max(1) for grid in grids], axis=0)
    return np.stack([low, high], 1)


class Windows(Dataset[dict[str, object]]):
    """Elements `{"x0": tokens (V, length), "cond": {row: (length,)}}`, both int64; `__getitems__` gives whole batches.

    Args:
        grids: the pieces, all with the same voices, rows and positions a beat.
        length: positions of a window; shorter pieces are left out.
        every: distance of the beginnings of windows, in positions; default a beat.
        shifts: transpositions in semitones that are tried.
        ranges: (V, 2) pitches that a transposed voice must not leave (0 transposition is always there); default those of `grids`.

    Raises:
        InputError: no piece is long enough.
    """

    def __init__(
        self,
        grids: Sequence[Grid],
        length: int = 64,
        *,
        every: int | None = None,
        shifts: Sequence[int] = (0,),
        ranges: NDArray[np.int64] | None = None,
    ) -> None:
        self.grids = [grid for grid in grids if grid.length >= length]
        if not self.grids:
            longest = max((grid.length for grid in grids), default=0)
            found = f"the longest of {len(grids)} pieces has {longest}"
            raise InputError(f"windows of {length} positions: {found}; take shorter windows")
        self.length = length
        limits = voice_ranges(self.grids) if ranges is None else ranges
        table = []
        for number, grid in enumerate(self.grids):
            low, high = voice_ranges([grid]).T
            begins = np.arange(0, grid.length - length + 1, every or grid.per_beat)
            for shift in shifts:
                used = low <= high
                if shift == 0 or bool(((low + shift >= limits[:, 0]) & (high + shift <= limits[:, 1]))[used].all()):
                    table.append(np.stack([np.full_like(begins, number), begins, np.full_like(begins, shift)], 1))
        self.table = np.concatenate(table)

    def __len__(self) -> int:
        return len(self.table)

    def __getitem__(self, index: int) -> dict[str, object]:
        number, begin, shift = self.table[index].tolist()
        grid = self.grids[number][begin : begin + self.length].transposed(shift)
        return {"x0": torch.from_numpy(grid.tokens), "cond": {name: torch.from_numpy(row) for name, row in grid.rows.items()}}

    def __getitems__(self, indices: Sequence[int]) -> dict[str, object]:
        rows = [self[index] for index in indices]
        cond: dict[str, Tensor] = {}
        for name in rows[0]["cond"]:  # type: ignore[attr-defined]
            cond[name] = torch.stack([row["cond"][name] for row in rows])  # type: ignore[index]
        return {"x0": torch.stack([row["x0"] for row in rows]), "cond": cond}  # type: ignore[misc]


class Passes(Sampler[int]):
    """The next `size` of `count` items in each epoch, of a random order that is new when all have come.

    It depends on (seed, epoch) alone. Lightning calls `set_epoch`.
    """

    def __init__(self, count: int, size: int, *, seed: int = 0) -> None:
        self.count, self.size, self.seed, self.epoch = count, min(size, count), seed, 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.size

    def __iter__(self) -> Iterator[int]:
        epochs = self.count // self.size
        turn, place = divmod(self.epoch, epochs)
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + turn)
        yield from torch.randperm(self.count, generator=generator)[place * self.size : (place + 1) * self.size].tolist()


def window_loader(
    data: Windows, batch_size: int, *, order: Sampler[int] | None = None, workers: int = 0
) -> DataLoader[dict[str, object]]:
    """A loader of batches; with an `order`, of full ones only."""
    return DataLoader(data, batch_size, sampler=order, drop_last=order is not None, collate_fn=whole, num_workers=workers)
