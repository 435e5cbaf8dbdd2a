"""The JSB chorales' json as training data, in its own split (Boulanger-Lewandowski et al. 2012, arXiv 1206.6392)."""

from __future__ import annotations

from functools import cached_property

from lightning.pytorch import LightningDataModule
from torch.utils.data import DataLoader

from polyscore.errors import InputError
from polyscore.music.data.sources import jsb_grids
from polyscore.music.data.windows import Passes, Windows, voice_ranges, window_loader
from polyscore.music.grid import Grid

__all__ = ["JsbData"]


class JsbData(LightningDataModule):
    """Batches `{"x0": tokens (B, 4, length), "cond": {}}` of a JSB json (`polyscore.music.data.sources.jsb_grids`).

    Bars, keys and fermatas are not in the format, so nothing is told with the tokens; equal pitches in a row are one note.

    Args:
        path: the file, with lists of chorales under "train" and "valid".
        batch_size: windows a batch.
        length: positions (sixteenths) of a window, that of the model.
        per_epoch: windows an epoch; where there are fewer, all.
        shift: the furthest transposition in semitones within the voices' ranges, up and down.
        seed: of the order.

    Raises:
        InputError: numbers out of range; when the data is read, another file, or fewer windows than a batch.
    """

    def __init__(
        self, path: str, batch_size: int = 32, length: int = 64, *, per_epoch: int = 8000, shift: int = 6, seed: int = 0
    ) -> None:
        super().__init__()
        if min(batch_size, length, per_epoch // max(batch_size, 1)) < 1 or shift < 0:
            found = f"batch_size {batch_size}, length {length}, per_epoch {per_epoch}, shift {shift}"
            raise InputError(f"JsbData: {found}; expected positive numbers, at least a batch an epoch, and shift >= 0")
        self.path, self.batch_size, self.length, self.per_epoch = path, batch_size, length, per_epoch
        self.shift, self.seed = shift, seed

    @cached_property
    def parts(self) -> tuple[list[Grid], list[Grid]]:
        """The pieces of "train" and "valid"."""
        return jsb_grids(self.path, "train"), jsb_grids(self.path, "valid")

    def train_dataloader(self) -> DataLoader[dict[str, object]]:
        ranges = voice_ranges([grid for part in self.parts for grid in part])
        data = Windows(self.parts[0], self.length, shifts=range(-self.shift, self.shift + 1), ranges=ranges)
        if len(data) < self.batch_size:
            raise InputError(f"JsbData: {len(data)} windows, a batch has {self.batch_size}; take a smaller batch_size")
        return window_loader(data, self.batch_size, order=Passes(len(data), self.per_epoch, seed=self.seed))

    def val_dataloader(self) -> DataLoader[dict[str, object]]:
        return window_loader(Windows(self.parts[1], self.length, every=self.length), self.batch_size)
