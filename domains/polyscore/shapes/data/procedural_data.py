r"""Batches of views of procedural solids, for training a multi-view prior.

A pool of solids is traced once, from rigs of cameras at azimuths a + 360 k / count with a random a and one random elevation; the
V = rigs * count views of a solid are one state. What is kept is coverage, normal and paint of every pixel. Colour and finish are
drawn anew at every visit, so each look at a solid is a different picture. A view has seven channels, all premultiplied by the
coverage w, which is what a volume renderer gives:

    2 w - 1,      2 w (r, g, b) - 1,      w n (camera axes)

A batch is {"x0": (B, V, 7, H, W), "cond": {"words": (B, 3), "cameras": (B, V, 2)}}, see
`polyscore.shapes.networks.MultiViewUNet`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from lightning.pytorch import LightningDataModule
from torch.utils.data import DataLoader, Dataset

from polyscore.errors import InputError
from polyscore.shapes.data.procedural import draw, names
from polyscore.shapes.data.procedural_views import views
from polyscore.shapes.finishes import FINISHES
from polyscore.shapes.pictures import picture, rig
from polyscore.shapes.render.cameras import Orthographic
from polyscore.shapes.words import COLOURS, palette
from polyscore.training.order import Shuffled, whole

__all__ = ["SolidViews", "SolidViewsData"]


class SolidViews(Dataset[dict[str, Any]]):
    """A pool of solids of all kinds, each seen from one rig; element i is a visit to solid i mod pool.

    Args:
        each: solids of every kind.
        size: height and width of a view; `count` views a rig, `rigs` rigs; `extent` what the height covers in space.
        elevations: range of the rigs' elevations, degrees.
        repeat: visits of each solid in an epoch.
        more: how many times as many solids of some kinds; 1 where a kind is not named.
        seed: of everything.

    Raises:
        InputError: numbers below 1, or a kind that is not there.
    """

    def __init__(
        self,
        each: int,
        *,
        size: int = 48,
        count: int = 4,
        extent: float = 1.5,
        elevations: Sequence[float] = (-15.0, 50.0),
        rigs: int = 1,
        repeat: int = 1,
        more: Mapping[str, int] | None = None,
        seed: int = 0,
    ) -> None:
        more = more or {}
        if min(each, repeat, size, count, rigs, *more.values()) < 1 or set(more) - set(names()):
            raise InputError(
                f"SolidViews: {each} solids (more: {dict(more)}), {rigs} x {count} views of {size} pixels, {repeat} visits; "
                f"expected 1 or more, of {', '.join(names())}"
            )
        self.repeat, self.seed = repeat, seed
        generator = torch.Generator().manual_seed(seed)
        coverage, normals, paints, cameras, kinds = [], [], [], [], []
        low, high = elevations
        for number, name in enumerate(names()):
            total = each * more.get(name, 1)
            solids = draw(name, total, seed=seed)
            turn, rise = torch.rand(2, total * rigs, generator=generator)
            angles = rig(360 * turn, low + (high - low) * rise, count).view(total, rigs * count, 2)
            for first in range(0, total, 8):
                some = angles[first : first + 8].reshape(-1, 2)
                seen = views(solids[first : first + 8], Orthographic.orbit(some[:, 0], some[:, 1], height=extent), size)
                coverage.append((255 * seen.coverage).round().to(torch.uint8))
                normals.append((127 * seen.normals).round().to(torch.int8))
                paints.append(seen.paint.to(torch.uint8))
            cameras.append(angles)
            kinds.append(torch.full((total,), number))
        self.coverage, self.normals, self.paints = torch.cat(coverage), torch.cat(normals), torch.cat(paints)
        self.cameras, self.kinds = torch.cat(cameras), torch.cat(kinds)

    def __len__(self) -> int:
        return len(self.kinds) * self.repeat

    def __getitem__(self, index: int) -> dict[str, Any]:
        batch = self.__getitems__([index])
        return {"x0": batch["x0"][0], "cond": {name: value[0] for name, value in batch["cond"].items()}}

    def __getitems__(self, indices: Sequence[int]) -> dict[str, Any]:
        """A batch; colour and finish of visit i depend on (seed, i) alone."""
        states, words = [], []
        colours = list(COLOURS)
        for index in indices:
            row = index % len(self.kinds)
            generator = torch.Generator().manual_seed(self.seed * 1_000_003 + index)
            colour = int(torch.randint(len(colours), (), generator=generator))
            finish = int(torch.randint(len(FINISHES), (), generator=generator))
            normals = self.normals[row].float() / 127
            normals = normals / normals.norm(dim=-1, keepdim=True).clamp(min=0.5)
            albedo = palette(colours[colour])[self.paints[row].long()]
            states.append(picture(self.coverage[row].float() / 255, albedo, normals, FINISHES[finish]))
            words.append(torch.tensor([int(self.kinds[row]), colour, finish]))
        rows = torch.as_tensor(indices) % len(self.kinds)
        return {"x0": torch.stack(states), "cond": {"words": torch.stack(words), "cameras": self.cameras[rows]}}


class SolidViewsData(LightningDataModule):
    """Views of procedural solids in random colours and finishes; the pool is made at the start, some milliseconds a view.

    Args:
        batch_size: solids a batch.
        each: solids of every kind in the pool; `validation` of every kind are held out.
        repeat: visits of each solid in an epoch.
        size, count, extent, elevations, rigs, more: see `SolidViews`; `more` is for training alone.
        seed: of solids, cameras, colours and order.

    Raises:
        InputError: a batch larger than an epoch.
    """

    def __init__(
        self,
        batch_size: int = 4,
        each: int = 500,
        repeat: int = 1,
        *,
        validation: int = 8,
        size: int = 48,
        count: int = 4,
        extent: float = 1.5,
        elevations: tuple[float, float] = (-15.0, 50.0),
        rigs: int = 1,
        more: dict[str, int] | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.batch_size, self.each, self.repeat, self.validation, self.seed = batch_size, each, repeat, validation, seed
        self.views: dict[str, Any] = {"size": size, "count": count, "extent": extent, "elevations": elevations, "rigs": rigs}
        self.more = more
        self._train: SolidViews | None = None
        self._held: SolidViews | None = None

    def setup(self, stage: str) -> None:
        if self._train is None:
            self._train = SolidViews(self.each, repeat=self.repeat, more=self.more, seed=self.seed, **self.views)
            self._held = SolidViews(self.validation, seed=self.seed + 500_000, **self.views)

    def train_dataloader(self) -> DataLoader[dict[str, Any]]:
        assert self._train is not None
        if len(self._train) < self.batch_size:
            raise InputError(f"SolidViewsData: batch_size {self.batch_size}, an epoch has {len(self._train)} solids")
        order = Shuffled(len(self._train), seed=self.seed)
        return DataLoader(self._train, self.batch_size, sampler=order, drop_last=True, collate_fn=whole)

    def val_dataloader(self) -> DataLoader[dict[str, Any]]:
        assert self._held is not None
        return DataLoader(self._held, self.batch_size, collate_fn=whole)
