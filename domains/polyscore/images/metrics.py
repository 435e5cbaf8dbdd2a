"""How good drawn digits are: a classifier of real ones, and distances to them.

The classifier is a support vector machine with a Gaussian kernel on the 64 pixels, trained on the training part of the real digits. It has never
seen a drawn digit, and its share of right answers on the test part bounds what it can be trusted with.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from polyscore.errors import InputError, MissingExtraError
from polyscore.images.data.digits import digits

__all__ = ["DigitsClassifier", "frechet_distance"]


@dataclass(frozen=True)
class DigitsClassifier:
    """Labels images of digits.

    Attributes:
        machine: the fitted scikit-learn classifier.
        accuracy: share of right answers on the `tested` real digits it was not trained on.
    """

    machine: Any
    accuracy: float
    tested: int

    @classmethod
    def fit(cls) -> DigitsClassifier:
        """Train on the training part of the digits (a tenth of a second), test on the test part.

        Raises:
            MissingExtraError: scikit-learn is not installed.
        """
        try:
            from sklearn.svm import SVC
        except ImportError as error:
            raise MissingExtraError("the classifier of digits is scikit-learn's: pip install 'polyscore[images]'") from error
        train, test = digits(train=True), digits(train=False)
        machine = SVC(gamma=0.256, C=10.0).fit(_rows((train.images + 1) / 2), train.labels.numpy())
        accuracy = float(machine.score(_rows((test.images + 1) / 2), test.labels.numpy()))
        return cls(machine, accuracy, len(test.labels))

    def __call__(self, images: Tensor) -> Tensor:
        """The labels (B,) of images (B, 1, 8, 8) with values in [0, 1]."""
        if images.shape[1:] != (1, 8, 8):
            raise InputError(f"digits classifier: images {tuple(images.shape)}, expected (B, 1, 8, 8)")
        return torch.as_tensor(self.machine.predict(_rows(images)), dtype=torch.long)


def frechet_distance(a: Tensor, b: Tensor) -> float:
    """|mu_a - mu_b|^2 + tr(C_a + C_b - 2 (C_a C_b)^(1/2)) of two sets of images (N, ...), on their pixels (Heusel et al. 2017, arXiv 1706.08500)."""
    mean, cov = zip(*((x.mean(0), torch.cov(x.T)) for x in (a.flatten(1).double(), b.flatten(1).double())), strict=True)
    root = torch.linalg.eigvals(cov[0] @ cov[1]).real.clamp(min=0).sqrt().sum()
    return float((mean[0] - mean[1]).square().sum() + cov[0].trace() + cov[1].trace() - 2 * root)


def _rows(images: Tensor) -> Any:
    return images.flatten(1).double().cpu().numpy()
