"""Batches of clouds of the user's own copy of a data set, or of procedural solids, for the training of point-cloud models."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from lightning.pytorch import LightningDataModule
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from polyscore.errors import InputError
from polyscore.shapes.data.cloud_sets import Scale, normalised, read_clouds
from polyscore.training.order import Shuffled, whole

__all__ = ["CloudsData"]


class _Labelled(Dataset[dict[str, Tensor]]):
    def __init__(self, clouds: Tensor, labels: Tensor | None) -> None:
        self.clouds, self.labels = clouds, labels

    def __len__(self) -> int:
        return len(self.clouds)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        return {name: part[0] for name, part in self.__getitems__([index]).items()}

    def __getitems__(self, indices: Sequence[int]) -> dict[str, Tensor]:
        rows = torch.as_tensor(indices)
        batch = {"x0": self.clouds[rows]}
        return batch if self.labels is None else {**batch, "cond": self.labels[rows]}


class CloudsData(LightningDataModule):
    """Batches `{"x0": (B, N, 3)}`, with labels `"cond": (B,)` where several categories are named.

    Args:
        path: a set of clouds (`polyscore.shapes.data.cloud_sets`), or "procedural".
        categories: synsets, categories or kinds; with two or more, the label is the place in this list.
        batch_size: clouds a batch.
        points: of a cloud.
        scale: of each cloud: "unit" (DPM's training), "bbox", "none".
        splits: of training and validation, where the set has splits.
        count: clouds of a category at most; of procedural solids, so many are made.
        seed: of the choice of points and the order.

    Raises:
        InputError: no categories for procedural solids, or a batch larger than the data.
    """

    def __init__(
        self,
        path: str,
        categories: Sequence[str] = (),
        *,
        batch_size: int = 128,
        points: int = 2048,
        scale: Scale = "unit",
        splits: tuple[str, str] = ("train", "val"),
        count: int | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__()
        if path == "procedural" and not categories:
            raise InputError("CloudsData: procedural solids of no kind; expected categories such as chair, car")
        self.path, self.categories, self.batch_size, self.points = path, tuple(categories), batch_size, points
        self.scale, self.splits, self.count, self.seed = scale, splits, count, seed

    def setup(self, stage: str) -> None:
        """Read (or make) the clouds."""
        self.train, self.held_out = (self._read(split, self.seed + 7919 * k) for k, split in enumerate(self.splits))
        if len(self.train) < self.batch_size:
            raise InputError(f"CloudsData: batch_size {self.batch_size}, there are {len(self.train)} clouds")

    def train_dataloader(self) -> DataLoader[dict[str, Tensor]]:
        order = Shuffled(len(self.train), seed=self.seed)
        return DataLoader(self.train, self.batch_size, sampler=order, drop_last=True, collate_fn=whole)

    def val_dataloader(self) -> DataLoader[dict[str, Tensor]]:
        return DataLoader(self.held_out, self.batch_size, collate_fn=whole)

    def _read(self, split: str, seed: int) -> _Labelled:
        parts = []
        for category in self.categories or (None,):
            procedural = self.path == "procedural"
            place = f"procedural:{category}" if procedural else self.path
            part = read_clouds(
                place, points=self.points, count=self.count, category=None if procedural else category, split=split, seed=seed
            )
            parts.append(normalised(part, self.scale))
        sizes = torch.tensor([len(part) for part in parts])
        labels = torch.arange(len(parts)).repeat_interleave(sizes) if len(parts) > 1 else None
        return _Labelled(torch.cat(parts), labels)
