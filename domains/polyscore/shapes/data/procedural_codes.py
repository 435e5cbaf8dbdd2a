"""Codes of procedural solids, for training their prior: every solid is made and encoded once, at the start.

A batch is {"x0": codes (B, M, c), "cond": numbers of the kinds (B,)}.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from lightning.pytorch import LightningDataModule
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from polyscore.errors import InputError
from polyscore.shapes.data.procedural import draw, names
from polyscore.shapes.data.procedural_clouds import clouds_of
from polyscore.shapes.vecset import SolidCodes
from polyscore.training.order import Shuffled, whole

__all__ = ["SolidCodesData", "codes_of"]

_TOGETHER = 16  # solids encoded at once


def codes_of(model: SolidCodes, name: str, count: int, *, points: int = 2048, seed: int = 0) -> Tensor:
    """Codes (count, M, c) of solids of a kind, each from so many points of its surface; solid i depends on (seed, i) alone."""
    solids = draw(name, count, seed=seed)
    parts = []
    for first in range(0, count, _TOGETHER):
        clouds = clouds_of(solids[first : first + _TOGETHER], points, seed=seed + first)
        parts.append(model.encode(*clouds))
    return torch.cat(parts)


class _Pool(Dataset[dict[str, Tensor]]):
    """Codes with their kinds; element i is a visit to solid i mod pool."""

    def __init__(self, codes: Sequence[Tensor], repeat: int) -> None:
        self.codes, self.repeat = torch.cat(list(codes)), repeat
        self.kinds = torch.cat([torch.full((len(some),), kind) for kind, some in enumerate(codes)])

    def __len__(self) -> int:
        return len(self.kinds) * self.repeat

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        return {name: value[0] for name, value in self.__getitems__([index]).items()}

    def __getitems__(self, indices: Sequence[int]) -> dict[str, Tensor]:
        rows = torch.as_tensor(indices) % len(self.kinds)
        return {"x0": self.codes[rows], "cond": self.kinds[rows]}


class SolidCodesData(LightningDataModule):
    """Codes of procedural solids; about 40 ms a solid, at the start.

    Args:
        codes: a trained `polyscore.shapes.vecset.SolidCodes`: its folder or shipped name.
        batch_size: solids a batch.
        each: solids of every kind; `validation` of every kind are held out.
        repeat: visits of each solid in an epoch.
        points: of a surface.
        seed: of solids and order.

    Raises:
        InputError: sizes below 1, or a batch larger than an epoch.
        CheckpointError: there is no such model.
    """

    def __init__(
        self,
        codes: str,
        batch_size: int = 32,
        each: int = 500,
        *,
        repeat: int = 1,
        validation: int = 8,
        points: int = 2048,
        seed: int = 0,
    ) -> None:
        super().__init__()
        if min(batch_size, each, repeat, validation, points) < 1 or batch_size > each * repeat * len(names()):
            raise InputError(
                f"SolidCodesData: batch_size {batch_size}, each {each}, repeat {repeat}, validation {validation}, "
                f"points {points}; expected 1 or more, and a batch that is not larger than an epoch"
            )
        self.codes, self.batch_size, self.each, self.repeat = codes, batch_size, each, repeat
        self.validation, self.points, self.seed = validation, points, seed
        self._train: _Pool | None = None
        self._held: _Pool | None = None

    def setup(self, stage: str) -> None:
        """Encode the solids; validation solids are others than those of training."""
        if self._train is None:
            self._train = self._pool(self.each, self.seed, self.repeat)
            self._held = self._pool(self.validation, self.seed + 500_000, 1)

    def _pool(self, each: int, seed: int, repeat: int) -> _Pool:
        model = SolidCodes.from_pretrained(self.codes)
        return _Pool([codes_of(model, name, each, points=self.points, seed=seed) for name in names()], repeat)

    def train_dataloader(self) -> DataLoader[dict[str, Tensor]]:
        assert self._train is not None
        order = Shuffled(len(self._train), seed=self.seed)
        return DataLoader(self._train, self.batch_size, sampler=order, drop_last=True, collate_fn=whole)

    def val_dataloader(self) -> DataLoader[dict[str, Tensor]]:
        assert self._held is not None
        return DataLoader(self._held, self.batch_size, collate_fn=whole)
