"""The evaluation package on digits: half of the classes are another law."""

from __future__ import annotations

from tests.evaluation_cells import Record, evaluate

from polyscore.images import digits


def test_digits_of_some_classes_are_told_from_digits(record_property: Record) -> None:
    """Features: means of 2 x 2 blocks. Zeros and sixes leave the upper middle dark."""
    images, labels = digits(train=True)
    features = images.view(-1, 4, 2, 4, 2).mean((2, 4)).flatten(1)
    some = (labels == 0) | (labels == 6)
    names = [f"block {i}{j}" for i in range(4) for j in range(4)]
    evaluate(features[:600], features[some], names, record_property, expected="block 12")
