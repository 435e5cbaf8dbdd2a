"""Images in memory as batches."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from polyscore.training.order import whole

__all__ = ["Images", "batches"]


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


def batches(
    data: Images, batch_size: int, *, order: Sampler[int] | None = None, workers: int = 0
) -> DataLoader[dict[str, Tensor]]:
    """A loader of batches; with an `order`, of full ones only."""
    return DataLoader(data, batch_size, sampler=order, drop_last=order is not None, collate_fn=whole, num_workers=workers)

