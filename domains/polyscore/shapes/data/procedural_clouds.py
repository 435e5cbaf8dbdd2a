r"""Point clouds of procedural solids, uniform on their surface, with normals and paints.

Points uniform in a thin shell |d(x)| < w around a surface, moved along the gradient onto it (x - d n, twice), are uniform by
area up to terms of the order of w times the curvature.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from lightning.pytorch import LightningDataModule
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from polyscore.errors import InputError
from polyscore.shapes.data.procedural import Solids, draw, names
from polyscore.shapes.words import COLOURS, palette
from polyscore.training.order import Shuffled, whole

__all__ = ["Clouds", "ColouredClouds", "ColouredCloudsData", "clouds_of"]

_SHELL = 0.02
_TRIES = 32768  # candidates a round: a few per cent of the cube lie in the shell


class Clouds(NamedTuple):
    """Points (B, N, 3), unit normals (B, N, 3), and numbers of the paints (B, N)."""

    points: Tensor
    normals: Tensor
    paints: Tensor


@torch.no_grad()
def clouds_of(solids: Solids, points: int, *, seed: int = 0) -> Clouds:
    """A cloud of each solid; cloud i depends on the solid and on seed + i.

    Raises:
        InputError: fewer than one point, or a solid with (almost) no surface in the cube.
    """
    if points < 1:
        raise InputError(f"clouds_of: {points} points; expected 1 or more")
    rows = []
    for i in range(len(solids)):
        generator = torch.Generator().manual_seed(seed + i)
        found: list[Tensor] = []
        for _ in range(64):
            x = torch.rand(_TRIES, 3, generator=generator) * 1.08 - 0.54
            owner = torch.full((len(x),), i)
            x = x[solids.distance(x, owner).abs() < _SHELL]
            for _ in range(2):
                normal, _ = solids.surface(x, owner[: len(x)])
                x = x - solids.distance(x, owner[: len(x)])[:, None] * normal
            found.append(x[solids.distance(x, owner[: len(x)]).abs() < 2e-3])
            if sum(map(len, found)) >= points:
                break
        else:
            raise InputError(f"clouds_of: {solids.category.name} {i} has hardly a surface; expected a solid in the unit cube")
        chosen = torch.cat(found)[:points]
        rows.append((chosen, *solids.surface(chosen, torch.full((points,), i))))
    return Clouds(*(torch.stack(column) for column in zip(*rows, strict=True)))


class ColouredClouds(Dataset[dict[str, Any]]):
    """Batches `{"x0": points (B, N, 3), "cond": {"rgb": (B, N, 3), "labels": (B, 2)}}` of clouds of more points than asked for.

    Points are in the cube [-1/2, 1/2]^3, colours in [0, 1]. An example is a fresh choice of points of a cloud, mirrored left to
    right in half of the cases, in a colour of its own; a batch depends on (seed, epoch, its indices) alone.
    """

    def __init__(self, each: int, keep: int, points: int, *, seed: int = 0, first: int = 0) -> None:
        parts = [clouds_of(draw(name, each, seed=first), keep, seed=first) for name in names()]
        self.clouds = torch.cat([part.points for part in parts])
        self.paints = torch.cat([part.paints for part in parts])
        self.kinds = torch.arange(len(parts)).repeat_interleave(each)
        self.palettes = torch.stack([palette(colour) for colour in COLOURS])
        self.points, self.seed, self.epoch = points, seed, 0

    def __len__(self) -> int:
        return len(self.clouds)

    def __getitem__(self, index: int) -> dict[str, Any]:
        return self.__getitems__([index])

    def __getitems__(self, indices: list[int]) -> dict[str, Any]:
        """A whole batch."""
        generator = torch.Generator().manual_seed(hash((self.seed, self.epoch, *indices)) % 2**63)
        rows = torch.tensor(indices)
        count = self.clouds.shape[1]
        pick = torch.rand(len(rows), count, generator=generator).argsort(-1)[:, : self.points]
        x = self.clouds[rows].gather(1, pick[..., None].expand(-1, -1, 3)).clone()
        x[..., 0] *= 1 - 2 * torch.randint(2, (len(rows), 1), generator=generator)
        colours = torch.randint(len(COLOURS), (len(rows),), generator=generator)
        rgb = self.palettes[colours[:, None], self.paints[rows].gather(1, pick)]
        return {"x0": x, "cond": {"rgb": rgb, "labels": torch.stack([self.kinds[rows], colours], -1)}}


class ColouredCloudsData(LightningDataModule):
    """Coloured clouds of procedural solids.

    Args:
        batch_size: clouds a batch.
        each: solids of a kind to train on.
        keep: points kept of a solid.
        points: of an example.
        repeat: how often an epoch runs through the solids.
        validation: solids of a kind to validate on.
        seed: of the solids, the points and the order.

    Raises:
        InputError: sizes below 1, or more points than are kept.
    """

    def __init__(
        self,
        batch_size: int = 16,
        each: int = 100,
        *,
        keep: int = 1024,
        points: int = 256,
        repeat: int = 1,
        validation: int = 4,
        seed: int = 0,
    ) -> None:
        super().__init__()
        if min(batch_size, each, points, repeat, validation) < 1 or keep < points:
            raise InputError(
                f"ColouredCloudsData: batch_size {batch_size}, each {each}, keep {keep}, points {points}; expected 1 or more, "
                "and to keep as many as are shown"
            )
        self.batch_size, self.each, self.keep, self.points = batch_size, each, keep, points
        self.repeat, self.validation, self.seed = repeat, validation, seed

    def setup(self, stage: str) -> None:
        """Make the clouds; validation solids are others than those of training."""
        self.train = ColouredClouds(self.each, self.keep, self.points, seed=self.seed, first=self.seed * 1009)
        first = self.seed * 1009 + 500_009
        self.held_out = ColouredClouds(self.validation, self.keep, self.points, seed=self.seed + 1, first=first)

    def train_dataloader(self) -> DataLoader[dict[str, Any]]:
        order = _Repeated(len(self.train), self.repeat, self.seed, self.train)
        return DataLoader(self.train, self.batch_size, sampler=order, drop_last=True, collate_fn=whole)

    def val_dataloader(self) -> DataLoader[dict[str, Any]]:
        return DataLoader(self.held_out, self.batch_size, collate_fn=whole)


class _Repeated(Shuffled):
    """An order of all clouds, `repeat` times over, that also tells the clouds the epoch."""

    def __init__(self, count: int, repeat: int, seed: int, clouds: ColouredClouds) -> None:
        super().__init__(count * repeat, seed=seed)
        self.clouds, self.solids = clouds, count

    def set_epoch(self, epoch: int) -> None:
        super().set_epoch(epoch)
        self.clouds.epoch = epoch

    def __iter__(self) -> Any:
        for index in super().__iter__():
            yield index % self.solids
