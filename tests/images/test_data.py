"""Digits: the split, the scale, the order of an epoch, and the share of labels that training drops."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from polyscore.denoisers import Precondition
from polyscore.errors import InputError
from polyscore.images import DigitsData, digits
from polyscore.images.data.epochs import Images
from polyscore.processes import Cosine
from polyscore.state import NONE, Given
from polyscore.training import DropCondition, ScoreTraining
from polyscore.training.order import Shuffled

datasets = pytest.importorskip("sklearn.datasets")


def test_the_two_parts_are_the_whole_and_share_nothing() -> None:
    train, test = digits(train=True), digits(train=False)
    assert (len(train.labels), len(test.labels)) == (1433, 364)
    pixels, labels = datasets.load_digits(return_X_y=True)
    ours = torch.cat([train.images, test.images]).flatten(1) * 8 + 8
    assert sorted(map(tuple, ours.tolist())) == sorted(map(tuple, pixels.tolist()))  # also: the scale is exact
    assert torch.equal(torch.cat([train.labels, test.labels]).bincount(), torch.as_tensor(labels).bincount())
    for label in range(10):
        total = int((torch.as_tensor(labels) == label).sum())
        assert int((train.labels == label).sum()) == int(0.8 * total)


@pytest.mark.parametrize("share", [0.0, 1.0, -1.0, math.nan])
def test_a_share_that_leaves_a_part_empty(share: float) -> None:
    with pytest.raises(InputError, match=r"digits: share .*, expected a number between 0 and 1"):
        digits(train=True, share=share)


def test_an_epoch_has_every_image_as_often_as_said() -> None:
    data = DigitsData(batch_size=7, repeat=2)
    seen = torch.cat([batch["x0"] for batch in data.train_dataloader()])
    assert len(seen) == 2 * 1433 // 7 * 7  # full batches only
    rows = Counter(map(tuple, seen.flatten(1).tolist()))
    train = Counter(map(tuple, digits(train=True).images.flatten(1).tolist()))
    missing = {row: 2 * count - rows[row] for row, count in train.items()}
    assert min(missing.values()) == 0
    assert sum(missing.values()) == 2 * 1433 - len(seen)  # the few that fell off the end
    held_out = torch.cat([batch["cond"] for batch in data.val_dataloader()])
    assert torch.equal(held_out, digits(train=False).labels)


def test_the_order_depends_on_seed_and_epoch_alone() -> None:
    def order(seed: int, epoch: int) -> list[int]:
        sampler = Shuffled(50, seed=seed)
        sampler.set_epoch(epoch)
        torch.manual_seed(epoch + 17 * seed)  # must not matter
        return list(sampler)

    assert order(1, 3) == order(1, 3)
    assert sorted(order(1, 3)) == list(range(50))
    assert len({tuple(order(seed, epoch)) for seed in range(3) for epoch in range(3)}) == 9


def test_one_element_and_a_batch_agree() -> None:
    data = Images(torch.arange(12.0).view(3, 1, 2, 2), torch.tensor([5, 6, 7]), repeat=2)
    batch = data.__getitems__([4, 0])
    assert torch.equal(batch["x0"][0], data[4]["x0"])
    assert batch["cond"].tolist() == [6, 5]
    assert "cond" not in Images(data.images)[0]


def test_a_batch_larger_than_an_epoch() -> None:
    with pytest.raises(InputError, match="batch_size 5000, an epoch has 1433 samples"):
        DigitsData(batch_size=5000).train_dataloader()


class Listening(nn.Module):
    """Returns 0 and keeps the labels it was given."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(()))
        self.heard: list[Tensor] = []

    def forward(self, x: Tensor, time: Tensor, given: Given = NONE) -> Tensor:
        self.heard.append(given.cond)
        return self.weight * x


def heard(rate: float, *, count: int = 4000) -> tuple[Tensor, Tensor]:
    """The labels of a batch, and those the network got."""
    network = Listening()
    module: Any = ScoreTraining(Precondition(network, Cosine(), predicts="v"), drop=DropCondition(rate, 10), seed=3)
    labels = torch.arange(count) % 10
    module.losses({"x0": torch.zeros(count, 1, 1, 1), "cond": labels}, module.times, "train", 0)
    return labels, network.heard[0]


@pytest.mark.parametrize("rate", [0.0, 0.1, 0.5, 1.0])
def test_training_replaces_labels_by_no_class_at_the_rate_it_says(rate: float) -> None:
    labels, found = heard(rate)
    dropped = found == 10
    assert torch.equal(found[~dropped], labels[~dropped])
    sigma = math.sqrt(len(labels) * rate * (1 - rate))
    assert abs(int(dropped.sum()) - rate * len(labels)) <= 4 * sigma  # exactly none and all at 0 and 1
    by_class = labels[dropped].bincount(minlength=10) - rate * len(labels) / 10
    assert by_class.abs().max() <= 4.5 * sigma / math.sqrt(10)  # whatever the class
