"""Distances between sets of images against closed forms, and the classifier against what it was not trained on."""

from __future__ import annotations

import pytest
import torch

from polyscore.errors import InputError
from polyscore.images import digits
from polyscore.images.metrics import DigitsClassifier, nearest, spread

pytest.importorskip("sklearn")


def randn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_the_nearest_of_others() -> None:
    others = torch.zeros(3, 1, 2, 2)
    others[1] += 1
    others[2] += 10
    images = torch.stack([others[1], others[1] + 0.25, torch.full((1, 2, 2), 7.0)])
    assert nearest(images, others).tolist() == pytest.approx([0.0, 0.5, 6.0])


def test_the_spread_of_a_class() -> None:
    images = torch.tensor([0.0, 3.0, 9.0, 5.0, 5.0]).view(5, 1, 1, 1)
    assert spread(images, torch.tensor([2, 2, 2, 7, 7])).tolist() == [6.0, 0.0]  # (3 + 9 + 6) / 3; collapsed
    with pytest.raises(InputError, match="class 1 has 1 image"):
        spread(images, torch.tensor([0, 0, 0, 0, 1]))


def test_the_classifier_is_right_on_digits_it_has_not_seen() -> None:
    classifier, test = DigitsClassifier.fit(), digits(train=False)
    right = float((classifier((test.images + 1) / 2) == test.labels).double().mean())
    assert right == classifier.accuracy > 0.95
    assert classifier.tested == len(test.labels)
    with pytest.raises(InputError, match=r"expected \(B, 1, 8, 8\)"):
        classifier(test.images[:, :, :7])


def test_the_classifier_of_wrong_labels_is_wrong() -> None:
    train = digits(train=True)
    wrong = DigitsClassifier.fit(train._replace(labels=(train.labels + 1) % 10))
    assert wrong.accuracy < 0.05
