"""The handwritten digits that come with scikit-learn: real data that needs no download.

1797 images of 8 x 8 pixels with 17 grey levels, ten classes, from 13 writers: the test set of "Optical Recognition of Handwritten
Digits" (Alpaydin and Kaynak 1998, UCI Machine Learning Repository, doi 10.24432/C50P49, CC BY 4.0).
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from lightning.pytorch import LightningDataModule
from torch import Tensor
from torch.utils.data import DataLoader

from polyscore.errors import InputError, MissingExtraError
from polyscore.images.data.epochs import Images, batches
from polyscore.training.order import Shuffled

__all__ = ["Digits", "DigitsData", "digits"]


class Digits(NamedTuple):
    """Images (N, 1, 8, 8) with values in [-1, 1], and labels (N,) from 0 to 9."""

    images: Tensor
    labels: Tensor


def digits(*, train: bool, share: float = 0.8) -> Digits:
    """The training or the test part of the digits: of each class the first `share` or the rest, in the order of the file.

    Raises:
        InputError: a share that leaves a part empty.
        MissingExtraError: scikit-learn is not installed.
    """
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise MissingExtraError("the digits come with scikit-learn: pip install 'polyscore[images]'") from error
    if not 0 < share < 1:
        raise InputError(f"digits: share {share}, expected a number between 0 and 1")
    x, y = load_digits(return_X_y=True)
    labels = torch.as_tensor(y, dtype=torch.long)
    chosen = torch.zeros(len(labels), dtype=torch.bool)
    for label in range(10):
        members = (labels == label).nonzero()[:, 0]
        first = int(share * len(members))
        chosen[members[:first] if train else members[first:]] = True
    images = torch.as_tensor(x, dtype=torch.float32).view(-1, 1, 8, 8) / 8 - 1
    return Digits(images[chosen], labels[chosen])


class DigitsData(LightningDataModule):
    """Batches `{"x0": (B, 1, 8, 8), "cond": (B,)}` of the digits.

    Args:
        batch_size: samples a batch.
        repeat: how often an epoch runs through the data (an epoch of 1437 images alone is short).
        share: of each class, the part to train on; the rest is for validation.
        seed: of the order of the samples.

    Raises:
        InputError: a batch larger than an epoch.
    """

    def __init__(self, batch_size: int = 128, repeat: int = 1, *, share: float = 0.8, seed: int = 0) -> None:
        super().__init__()
        self.batch_size, self.repeat, self.share, self.seed = batch_size, repeat, share, seed

    def train_dataloader(self) -> DataLoader[dict[str, Tensor]]:
        data = Images(*digits(train=True, share=self.share), repeat=self.repeat)
        if len(data) < self.batch_size:
            raise InputError(f"DigitsData: batch_size {self.batch_size}, an epoch has {len(data)} samples")
        return batches(data, self.batch_size, order=Shuffled(len(data), seed=self.seed))

    def val_dataloader(self) -> DataLoader[dict[str, Tensor]]:
        return batches(Images(*digits(train=False, share=self.share)), self.batch_size)
