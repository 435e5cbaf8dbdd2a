"""The order in which an epoch visits its examples, and batches that arrive whole."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import distributed
from torch.utils.data.distributed import DistributedSampler

__all__ = ["Shuffled", "whole"]


class Shuffled(DistributedSampler[int]):
    """A random order of `count` items, another one every epoch, that depends on (seed, epoch) alone.

    Of W processes, process r visits the items at the places r, r + W, r + 2 W, ... of that order, so that the batches of all of
    them are those of one process with W times the batch; the first items are visited again where W does not divide the count.
    Lightning calls `set_epoch`, and leaves a distributed sampler as it is.
    """

    def __init__(self, count: int, *, seed: int = 0) -> None:
        self.count, self.seed, self.epoch = count, seed, 0
        together = distributed.is_available() and distributed.is_initialized()
        self.num_replicas, self.rank = (distributed.get_world_size(), distributed.get_rank()) if together else (1, 0)

    def __len__(self) -> int:
        return -(-self.count // self.num_replicas)

    def __iter__(self) -> Iterator[int]:
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + self.epoch)
        order = torch.randperm(self.count, generator=generator).tolist()
        yield from (order[place % self.count] for place in range(self.rank, len(self) * self.num_replicas, self.num_replicas))


def whole(batch: Any) -> Any:
    """The `collate_fn` of a loader whose data set gives whole batches by `__getitems__`."""
    return batch
