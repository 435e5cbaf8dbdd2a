"""The order of an epoch: named by seed and epoch, dealt to processes like the samples of one large batch."""

from __future__ import annotations

import pytest

from polyscore.training.order import Shuffled


def order(count: int, epoch: int = 0, *, rank: int = 0, world: int = 1, seed: int = 0) -> list[int]:
    sampler = Shuffled(count, seed=seed)
    sampler.rank, sampler.num_replicas = rank, world
    sampler.set_epoch(epoch)
    items = list(sampler)
    assert len(items) == len(sampler)
    return items


def test_an_epoch_visits_everything_once_in_an_order_of_its_own() -> None:
    first, second = order(50), order(50, 1)
    assert sorted(first) == sorted(second) == list(range(50))
    assert first != second and first == order(50) and first != order(50, seed=1)


@pytest.mark.parametrize(("count", "world", "batch"), [(24, 2, 4), (24, 3, 2), (23, 2, 3), (5, 4, 1)])
def test_the_batches_of_processes_are_those_of_one(count: int, world: int, batch: int) -> None:
    one = order(count, 3)
    parts = [order(count, 3, rank=rank, world=world) for rank in range(world)]
    assert len({len(part) for part in parts}) == 1  # all processes make as many steps
    together = [parts[place % world][place // world] for place in range(world * len(parts[0]))]
    assert together[:count] == one
    assert together[count:] == one[: len(together) - count]
    large = [set(one[i : i + world * batch]) for i in range(0, count - world * batch + 1, world * batch)]
    for k, expected in enumerate(large):
        assert {item for part in parts for item in part[k * batch : (k + 1) * batch]} == expected
