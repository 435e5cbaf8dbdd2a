r"""Procedural solids as points of their surface and the exact signed distance anywhere, for training codes of solids.

Surfaces are made once. At every visit a solid shows a fresh choice of its points, and its distance and paint are asked at fresh
places: points of the surface moved by normal noise of two widths, and places uniform in the cube. A batch is

    {"points": (B, N, 3), "normals": (B, N, 3), "paints": (B, N), "kinds": (B,),
     "places": (B, Q, 3), "distances": (B, Q), "nearest": (B, Q)}

with `nearest` the paint of the part nearest to a place.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from lightning.pytorch import LightningDataModule
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from polyscore.errors import InputError
from polyscore.shapes.data.procedural import Solids, draw, names
from polyscore.shapes.data.procedural_clouds import clouds_of
from polyscore.training.draws import generator_of
from polyscore.training.order import Shuffled, whole

__all__ = ["SolidSurfaces", "SolidSurfacesData"]


class SolidSurfaces(Dataset[dict[str, Tensor]]):
    """A pool of solids of all kinds; element i is a visit to solid i mod pool, and depends on (seed, i) alone.

    Args:
        each: solids of every kind.
        keep: points kept of a surface.
        points: N, shown at a visit.
        places: how many near the surface, how many further off, and how many uniform in the cube; Q in all.
        widths: of the noise of the first two.
        repeat: visits of each solid in an epoch.
        more: how many times as many solids of some kinds; 1 where a kind is not named.
        seed: of everything.

    Raises:
        InputError: numbers below 1, more points than are kept, or a kind that is not there.
    """

    def __init__(
        self,
        each: int,
        *,
        keep: int = 2048,
        points: int = 512,
        places: Sequence[int] = (192, 192, 128),
        widths: Sequence[float] = (0.012, 0.05),
        repeat: int = 1,
        more: Mapping[str, int] | None = None,
        seed: int = 0,
    ) -> None:
        more = more or {}
        if min(each, points, repeat, *places, *more.values()) < 1 or keep < points or set(more) - set(names()):
            raise InputError(
                f"SolidSurfaces: {each} solids (more: {dict(more)}), {points} of {keep} points, places {tuple(places)}, {repeat} "
                f"visits; expected 1 or more, as many kept as shown, of {', '.join(names())}"
            )
        self.points, self.places, self.widths = points, tuple(places), tuple(widths)
        self.repeat, self.seed = repeat, seed
        self.solids = [draw(name, each * more.get(name, 1), seed=seed) for name in names()]
        clouds = [clouds_of(some, keep, seed=seed) for some in self.solids]
        self.surface = torch.cat([cloud.points for cloud in clouds])
        self.normals = torch.cat([(127 * cloud.normals).round().to(torch.int8) for cloud in clouds])
        self.paints = torch.cat([cloud.paints.to(torch.uint8) for cloud in clouds])
        self.kinds = torch.cat([torch.full((len(some),), i) for i, some in enumerate(self.solids)])
        self.numbers = torch.cat([torch.arange(len(some)) for some in self.solids])

    def __len__(self) -> int:
        return len(self.kinds) * self.repeat

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        return {name: value[0] for name, value in self.__getitems__([index]).items()}

    def __getitems__(self, indices: Sequence[int]) -> dict[str, Tensor]:
        """A whole batch."""
        rows = torch.as_tensor(indices) % len(self.kinds)
        shown, places = zip(*(self._draws(index) for index in indices), strict=True)
        pick, at = torch.stack(shown), torch.stack(places)
        distances, nearest = torch.empty(at.shape[:2]), torch.empty(at.shape[:2], dtype=torch.long)
        for kind in torch.unique(self.kinds[rows]):
            some = (self.kinds[rows] == kind).nonzero()[:, 0]
            distances[some], nearest[some] = _asked(self.solids[int(kind)], self.numbers[rows[some]], at[some])
        normals = self.normals[rows[:, None], pick].float() / 127
        return {
            "points": self.surface[rows[:, None], pick],
            "normals": normals / normals.norm(dim=-1, keepdim=True).clamp(min=0.5),
            "paints": self.paints[rows[:, None], pick].long(),
            "kinds": self.kinds[rows],
            "places": at,
            "distances": distances,
            "nearest": nearest,
        }

    def _draws(self, index: int) -> tuple[Tensor, Tensor]:
        """Which points a visit shows (N,), and where it asks (Q, 3)."""
        generator = generator_of(self.seed, "surface", index)
        row = index % len(self.kinds)
        keep = self.surface.shape[1]
        order = torch.randperm(keep, generator=generator)
        near, off, free = self.places
        start = self.surface[row, torch.randint(keep, (near + off,), generator=generator)]
        width = torch.tensor(self.widths).repeat_interleave(torch.tensor([near, off]))
        moved = start + width[:, None] * torch.randn(near + off, 3, generator=generator)
        return order[: self.points], torch.cat([moved, torch.rand(free, 3, generator=generator) - 0.5])


def _asked(solids: Solids, numbers: Tensor, places: Tensor) -> tuple[Tensor, Tensor]:
    """Distance and nearest paint, each (b, Q), of solids `numbers` (b,) at places (b, Q, 3)."""
    owner = numbers.repeat_interleave(places.shape[1])
    distances, paints = solids.parts(places.reshape(-1, 3), owner)
    found, part = distances.min(0)
    return found.view(places.shape[:2]), paints[part].view(places.shape[:2])


class SolidSurfacesData(LightningDataModule):
    """Surfaces of procedural solids with distances around them; about 25 ms a solid, at the start.

    Args:
        batch_size: solids a batch.
        each: solids of every kind in the pool; `validation` of every kind are held out.
        repeat: visits of each solid in an epoch.
        keep, points, places, widths, more: see `SolidSurfaces`; `more` is for training alone.
        seed: of solids, draws and order.

    Raises:
        InputError: a batch larger than an epoch.
    """

    def __init__(
        self,
        batch_size: int = 16,
        each: int = 300,
        repeat: int = 1,
        *,
        validation: int = 8,
        keep: int = 2048,
        points: int = 512,
        places: tuple[int, int, int] = (192, 192, 128),
        widths: tuple[float, float] = (0.012, 0.05),
        more: dict[str, int] | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.batch_size, self.each, self.repeat, self.validation = batch_size, each, repeat, validation
        self.keep, self.points, self.places, self.widths = keep, points, places, widths
        self.more, self.seed = more, seed
        self._train: SolidSurfaces | None = None
        self._held: SolidSurfaces | None = None

    def setup(self, stage: str) -> None:
        """Make the surfaces; validation solids are others than those of training."""
        if self._train is None:
            self._train = self._pool(self.each, self.seed, repeat=self.repeat, more=self.more)
            self._held = self._pool(self.validation, self.seed + 500_000)

    def _pool(self, each: int, seed: int, *, repeat: int = 1, more: dict[str, int] | None = None) -> SolidSurfaces:
        return SolidSurfaces(
            each,
            keep=self.keep,
            points=self.points,
            places=self.places,
            widths=self.widths,
            repeat=repeat,
            more=more,
            seed=seed,
        )

    def train_dataloader(self) -> DataLoader[dict[str, Tensor]]:
        assert self._train is not None
        if len(self._train) < self.batch_size:
            raise InputError(f"SolidSurfacesData: batch_size {self.batch_size}, an epoch has {len(self._train)} visits")
        order = Shuffled(len(self._train), seed=self.seed)
        return DataLoader(self._train, self.batch_size, sampler=order, drop_last=True, collate_fn=whole)

    def val_dataloader(self) -> DataLoader[dict[str, Tensor]]:
        assert self._held is not None
        return DataLoader(self._held, self.batch_size, collate_fn=whole)
