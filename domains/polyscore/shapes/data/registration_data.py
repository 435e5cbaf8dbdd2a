"""Training batches of partial pairs, made as they are asked for: every example of every epoch is a new solid, view and pose."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from lightning.pytorch import LightningDataModule
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from polyscore.errors import InputError
from polyscore.lie import motion
from polyscore.shapes.data.compositions import composition, random_rotation
from polyscore.shapes.data.pairs import Pair, partial_pair
from polyscore.shapes.frames import Frame
from polyscore.training.order import whole

__all__ = ["Onward", "PairsData", "SyntheticPairs", "synthetic_pair"]

_SURFACE = 4  # points of the solid's surface, in clouds of the target
_VALIDATION = 1 << 40  # the seeds of validation: beyond those that training reaches


def synthetic_pair(
    seed: int, *, source_points: int = 512, target_points: int = 768, noise: tuple[float, float] = (0.0, 0.01)
) -> Pair:
    """The pair of a seed: a random composition, its view from a random side, noise uniform between two levels (diameters).

    Normals of the source are estimated from its points; those of the target are the solid's in half of the pairs. A view with too
    few points, or a solid of which too little is left, is drawn again.
    """
    rng = np.random.default_rng(seed)
    while True:
        points, normals = composition(rng, _SURFACE * target_points)
        level, exact = float(rng.uniform(*noise)), bool(rng.integers(2))
        try:
            pair = partial_pair(
                points,
                normals,
                rng,
                source_points=source_points,
                target_points=target_points,
                noise=level,
                estimated=(True, not exact),
            )
        except InputError:
            continue
        if len(pair.source) == source_points and len(pair.target) == target_points:
            return pair


class SyntheticPairs(Dataset[dict[str, Any]]):
    """Batches `{"x0": (B, 4, 4), "y": (B, 4, 4), "cond": {source, source_normals, target, target_normals}}` of consecutive seeds.

    Everything is in the frame of the network (`frames.Frame`): x0 takes source to target, y is a rotation, uniform on SO(3).
    """

    def __init__(
        self, count: int, *, first: int, extent: float, source_points: int, target_points: int, noise: tuple[float, float]
    ) -> None:
        self.count, self.first, self.extent, self.noise = count, first, extent, noise
        self.source_points, self.target_points = source_points, target_points

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> dict[str, Any]:
        return self.__getitems__([index])

    def __getitems__(self, indices: Sequence[int]) -> dict[str, Any]:
        rows = [self._row(self.first + index) for index in indices]
        x0, y, *clouds = (torch.stack(column) for column in zip(*rows, strict=True))
        names = ("source", "source_normals", "target", "target_normals")
        return {"x0": x0, "y": y, "cond": dict(zip(names, clouds, strict=True))}

    def _row(self, seed: int) -> tuple[Tensor, ...]:
        pair = synthetic_pair(seed, source_points=self.source_points, target_points=self.target_points, noise=self.noise)
        frame = Frame.of(pair.source, pair.target, self.extent)
        turn = torch.from_numpy(random_rotation(np.random.default_rng([seed, 1]))).float()
        source, target = (pair.source - frame.source) / frame.unit, (pair.target - frame.target) / frame.unit
        return frame.inward(pair.pose), motion(turn, torch.zeros(3)), source, pair.source_normals, target, pair.target_normals


class Onward(Sampler[int]):
    """Epoch e visits e count, ..., e count + count - 1: no example comes twice."""

    def __init__(self, count: int) -> None:
        self.count, self.epoch = count, 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[int]:
        yield from range(self.epoch * self.count, (self.epoch + 1) * self.count)


class PairsData(LightningDataModule):
    """Synthetic partial pairs for `RegistrationTraining`.

    Args:
        batch_size: pairs a batch.
        batches: an epoch.
        validation: pairs to validate on, of other seeds.
        extent: diameter of the target in the network's unit.
        source_points, target_points: of the clouds.
        noise: least and largest level, in diameters.
        seed: of all pairs.
        workers: processes that make pairs.

    Raises:
        InputError: sizes below 1.
    """

    def __init__(
        self,
        batch_size: int = 8,
        batches: int = 100,
        *,
        validation: int = 64,
        extent: float = 2.0,
        source_points: int = 512,
        target_points: int = 768,
        noise: tuple[float, float] = (0.0, 0.01),
        seed: int = 0,
        workers: int = 0,
    ) -> None:
        super().__init__()
        if min(batch_size, batches, validation, source_points, target_points) < 1 or workers < 0:
            raise InputError(f"PairsData: batch_size {batch_size}, batches {batches}, validation {validation}; expected 1 on")
        self.batch_size, self.batches, self.validation, self.seed = batch_size, batches, validation, seed
        self.extent, self.source_points, self.target_points, self.noise = extent, source_points, target_points, noise
        self.workers = workers

    def train_dataloader(self) -> DataLoader[dict[str, Any]]:
        data = self._pairs(self.batch_size * self.batches, self.seed << 32)
        return self._loader(data, sampler=Onward(len(data)))

    def val_dataloader(self) -> DataLoader[dict[str, Any]]:
        return self._loader(self._pairs(self.validation, _VALIDATION + (self.seed << 32)))

    def _pairs(self, count: int, first: int) -> SyntheticPairs:
        return SyntheticPairs(
            count,
            first=first,
            extent=self.extent,
            source_points=self.source_points,
            target_points=self.target_points,
            noise=(self.noise[0], self.noise[1]),
        )

    def _loader(self, data: SyntheticPairs, sampler: Sampler[int] | None = None) -> DataLoader[dict[str, Any]]:
        return DataLoader(data, self.batch_size, sampler=sampler, collate_fn=whole, num_workers=self.workers)
