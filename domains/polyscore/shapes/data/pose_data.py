"""Views of procedural solids in random poses, for training 9-DoF pose estimation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from lightning.pytorch import LightningDataModule
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from polyscore.errors import InputError
from polyscore.shapes.data.compositions import random_rotation
from polyscore.shapes.data.pairs import visible
from polyscore.shapes.data.procedural import draw
from polyscore.shapes.data.procedural_clouds import clouds_of
from polyscore.shapes.data.registration_data import Onward
from polyscore.shapes.pose import own_frame, packed
from polyscore.training.order import whole

__all__ = ["PoseViews", "PoseViewsData"]


class PoseViews(Dataset[dict[str, Tensor]]):
    """Batches `{"x0": (B, 15), "cond": (B, N, 3)}`: the pose, and the points seen, both in the frame of the points (`pose`).

    A solid stands in its canonical frame with y up; its box is centred and its sides are the size. Example i depends on
    (seed, i) alone.
    """

    def __init__(self, kinds: Sequence[str], each: int, *, points: int, count: int, first: int, seed: int) -> None:
        parts = [clouds_of(draw(kind, each, seed=first), 2048, seed=first) for kind in kinds]
        cloud = torch.cat([part.points for part in parts]).double().numpy()
        self.normals = torch.cat([part.normals for part in parts]).double().numpy()
        low, high = cloud.min(1, keepdims=True), cloud.max(1, keepdims=True)
        self.clouds, self.sizes = cloud - (low + high) / 2, (high - low)[:, 0]
        self.points, self.count, self.seed = points, count, seed

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        return {name: part[0] for name, part in self.__getitems__([index]).items()}

    def __getitems__(self, indices: Sequence[int]) -> dict[str, Tensor]:
        """A whole batch."""
        x0, cond = zip(*(self._example(index) for index in indices), strict=True)
        return {"x0": torch.stack(x0), "cond": torch.stack(cond)}

    def _example(self, index: int) -> tuple[Tensor, Tensor]:
        rng = np.random.default_rng([self.seed, index])
        k = int(rng.integers(len(self.clouds)))
        R = random_rotation(rng)
        x, n = self.clouds[k] @ R.T, self.normals[k] @ R.T
        seen = np.flatnonzero(visible(x, n, rng.standard_normal(3), cell=0.06, depth=0.09))
        chosen = torch.from_numpy(x[rng.choice(seen, self.points, replace=len(seen) < self.points)])
        chosen = chosen + 0.004 * torch.from_numpy(rng.standard_normal(chosen.shape))
        middle, unit, axes = frame = own_frame(chosen)
        pose = packed(axes.mT @ torch.from_numpy(R), -middle @ axes / unit, torch.from_numpy(self.sizes[k]) / unit)
        return pose.float(), frame.into(chosen).float()


class PoseViewsData(LightningDataModule):
    """Views for `ScoreTraining` of a `PoseEstimator`.

    Args:
        kinds: of the solids; symmetric ones have no single pose.
        each: solids of a kind.
        batch_size: views a batch.
        batches: an epoch.
        points: of a view.
        validation: views of other solids.
        seed: of everything.

    Raises:
        InputError: sizes below 1, or no kinds.
    """

    def __init__(
        self,
        kinds: Sequence[str] = ("chair", "car", "plane"),
        each: int = 60,
        *,
        batch_size: int = 64,
        batches: int = 100,
        points: int = 256,
        validation: int = 128,
        seed: int = 0,
    ) -> None:
        super().__init__()
        if not kinds or min(each, batch_size, batches, points, validation) < 1:
            raise InputError(f"PoseViewsData: kinds {tuple(kinds)}, each {each}, batch_size {batch_size}; expected 1 or more")
        self.kinds, self.each, self.batch_size, self.batches = tuple(kinds), each, batch_size, batches
        self.points, self.validation, self.seed = points, validation, seed

    def setup(self, stage: str) -> None:
        """Make the solids."""
        shared: dict[str, Any] = {"points": self.points}
        count = self.batch_size * self.batches
        self.train = PoseViews(self.kinds, self.each, count=count, first=self.seed, seed=self.seed, **shared)
        self.held_out = PoseViews(
            self.kinds, max(1, self.each // 6), count=self.validation, first=self.seed + 500_009, seed=self.seed + 1, **shared
        )

    def train_dataloader(self) -> DataLoader[dict[str, Tensor]]:
        return DataLoader(self.train, self.batch_size, sampler=Onward(len(self.train)), collate_fn=whole)

    def val_dataloader(self) -> DataLoader[dict[str, Tensor]]:
        return DataLoader(self.held_out, self.batch_size, collate_fn=whole)
