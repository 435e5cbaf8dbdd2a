"""How good drawn digits are: classifiers of digits, and distances between sets of images.

The classifier is a support vector machine with a Gaussian kernel on the 64 pixels (Cortes and Vapnik 1995). It never sees a drawn
digit, and its share of right answers on real digits it was not trained on bounds what it can be trusted with. Trained on drawn
digits instead and tested on real ones, it is the classification accuracy score (Ravuri and Vinyals 2019, arXiv 1905.10887): a
model that repeats few digits, or wrong ones, teaches badly.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from polyscore.errors import InputError, MissingExtraError
from polyscore.images.data.digits import Digits, digits

__all__ = ["DigitsClassifier", "nearest", "spread"]


@dataclass(frozen=True)
class DigitsClassifier:
    """Labels images of digits.

    Attributes:
        machine: the fitted scikit-learn classifier.
        accuracy: share of right answers on the `tested` digits it was not trained on.
    """

    machine: Any
    accuracy: float
    tested: int

    @classmethod
    def fit(cls, train: Digits | None = None, test: Digits | None = None) -> DigitsClassifier:
        """Train on `train`, by default the training part of the real digits, and test on `test`, by default their test part.

        Raises:
            MissingExtraError: scikit-learn is not installed.
        """
        try:
            from sklearn.svm import SVC
        except ImportError as error:
            raise MissingExtraError("the classifier of digits is scikit-learn's: pip install 'polyscore[images]'") from error
        train, test = train or digits(train=True), test or digits(train=False)
        machine = SVC(gamma=0.256, C=10.0).fit(_rows((train.images + 1) / 2), train.labels.numpy())
        accuracy = float(machine.score(_rows((test.images + 1) / 2), test.labels.numpy()))
        return cls(machine, accuracy, len(test.labels))

    def __call__(self, images: Tensor) -> Tensor:
        """The labels (B,) of images (B, 1, 8, 8) with values in [0, 1].

        Raises:
            InputError: images of another shape.
        """
        if images.shape[1:] != (1, 8, 8):
            raise InputError(f"digits classifier: images {tuple(images.shape)}, expected (B, 1, 8, 8)")
        return torch.as_tensor(self.machine.predict(_rows(images)), dtype=torch.long)


def nearest(images: Tensor, others: Tensor) -> Tensor:
    """min_j |x_i - y_j| over the pixels, (N,): how far each image is from the closest of the others. Copies are at 0."""
    one, other = (x.flatten(1).double() for x in (images, others))
    return torch.cdist(one, other, compute_mode="donot_use_mm_for_euclid_dist").amin(1)


def spread(images: Tensor, labels: Tensor) -> Tensor:
    """The mean distance between two images of one class, for each class in order, (K,): 0 where a class collapsed to one image.

    Raises:
        InputError: a class with fewer than two images.
    """
    found = []
    for label in sorted(set(labels.tolist())):
        members = images[labels == label].flatten(1).double()
        if len(members) < 2:
            raise InputError(f"spread: class {label} has {len(members)} image, expected two or more of each")
        found.append(torch.nn.functional.pdist(members).mean())
    return torch.stack(found)


def _rows(images: Tensor) -> Any:
    return images.flatten(1).double().cpu().numpy()
