"""The order of training examples, and batches that arrive whole."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch.utils.data import Sampler

__all__ = ["Shuffled", "as_it_is"]


class Shuffled(Sampler[int]):
    """A random order that depends on (seed, epoch) alone; Lightning calls `set_epoch`."""

    def __init__(self, count: int, seed: int) -> None:
        self.count, self.seed, self.epoch = count, seed, 0

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[int]:
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + self.epoch)
        yield from torch.randperm(self.count, generator=generator).tolist()


def as_it_is(batch: Any) -> Any:
    """For data sets whose `__getitems__` gives a batch."""
    return batch
