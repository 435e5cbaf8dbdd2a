"""The order in which an epoch visits its examples, and batches that arrive whole."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch.utils.data import Sampler

__all__ = ["Shuffled", "whole"]


class Shuffled(Sampler[int]):
    """A random order of `count` items, another one every epoch, that depends on (seed, epoch) alone.

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


def whole(batch: Any) -> Any:
    """The `collate_fn` of a loader whose data set gives whole batches by `__getitems__`."""
    return batch
