"""Images in memory, and the order an epoch visits them in."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

__all__ = ["Images", "Shuffled", "batches"]


class Images(Dataset[dict[str, Tensor]]):
    """Elements `{"x0": (C, H, W), "cond": ()}` (without labels, `x0` alone); the data `repeat` times over make one epoch."""

    def __init__(self, images: Tensor, labels: Tensor | None = None, *, repeat: int = 1) -> None:
        self.images, self.labels, self.repeat = images, labels, repeat

    def __len__(self) -> int:
        return len(self.images) * self.repeat

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        return {name: values[0] for name, values in self.__getitems__([index]).items()}

    def __getitems__(self, indices: Sequence[int]) -> dict[str, Tensor]:
        """A whole batch by one indexing; the loader's `collate_fn` has nothing left to do."""
        rows = torch.as_tensor(indices) % len(self.images)
        batch = {"x0": self.images[rows]}
        return batch if self.labels is None else {**batch, "cond": self.labels[rows]}


class Shuffled(Sampler[int]):
    """A random order of n items, another one every epoch, that depends on (seed, epoch) alone.

    Lightning calls `set_epoch`, and puts its own distributed sampler with the same property in place of this one when there are
    several processes.
    """

    def __init__(self, count: int, *, seed: int = 0) -> None:
        self.count, self.seed, self.epoch = count, seed, 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[int]:
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + self.epoch)
        yield from torch.randperm(self.count, generator=generator).tolist()


def batches(
    data: Images, batch_size: int, *, order: Sampler[int] | None = None, workers: int = 0
) -> DataLoader[dict[str, Tensor]]:
    """A loader of batches; with an `order`, of full ones only."""
    return DataLoader(data, batch_size, sampler=order, drop_last=order is not None, collate_fn=_as_it_is, num_workers=workers)


def _as_it_is(batch: Any) -> Any:
    return batch
