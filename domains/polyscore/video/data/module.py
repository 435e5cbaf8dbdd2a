"""Lightning data of video: clips from a source, the noise that follows them, and what the network is told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from lightning.pytorch import LightningDataModule
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from polyscore.errors import InputError
from polyscore.noise import Motion, Residual
from polyscore.training.draws import SampleNoise, generator_of, seed_of
from polyscore.training.order import whole
from polyscore.video.data.following import following
from polyscore.video.data.layers import Clips, ClipSource

__all__ = ["Examples", "Following", "Telling", "VideoData", "told"]


@dataclass(frozen=True)
class Following:
    """The noise of training examples: carried along their motion, blended with fresh noise in a share `most` u^power, u uniform.

    Small shares are frequent, so that a model obeys clean noise well, yet all occur (Go-with-the-Flow's random degradation).

    Args:
        motion: what becomes of fractions of a pixel.
        fine: see `polyscore.video.data.following.following`.
        most: the largest share of fresh noise.
        power: how much more frequent small shares are; 1 makes all alike.
    """

    motion: Motion = Residual()
    fine: int = 1
    most: float = 1.0
    power: float = 2.0

    def __call__(self, clips: Clips, key: Sequence[object]) -> Tensor:
        """White noise shaped like the film, named by `key`."""
        share = self.most * torch.rand(len(clips.film), generator=generator_of(*key, "share")) ** self.power
        source = _Named(key)
        return following(clips, clips.film.shape[1], source, motion=self.motion, fine=self.fine, degrade=share)


@dataclass(frozen=True)
class Telling:
    """What of a clip the network is told, and which part of it an example shows.

    Args:
        first: share of the examples whose first frame is given.
        strength: share of the examples whose strength of motion is given.
        pictures: share of the batches that show one frame alone, so that the same network draws pictures (HiGen's first stage).
        end_point: the first frame, held for all frames, is given as the second end of the process as well: FrameBridge.

    Raises:
        InputError: shares outside [0, 1], or an end point without first frames.
    """

    first: float = 0.5
    strength: float = 0.5
    pictures: float = 0.0
    end_point: bool = False

    def __post_init__(self) -> None:
        for name in ("first", "strength", "pictures"):
            if not 0 <= getattr(self, name) <= 1:
                raise InputError(f"Telling: {name} is {getattr(self, name)}; expected a share in [0, 1]")
        if self.end_point and self.first < 1:
            raise InputError(f"Telling: an end point for all examples, but first is {self.first}; expected 1")


class Examples(Dataset[dict[str, Any]]):
    """Examples {"x0", "eps", "cond": {"picture", "strength"}} by number; example i of a seed is always the same clip.

    `picture` (B, C + 1, H, W) is the first frame and a channel of ones, or all zeros where it is not told; `strength` (B,) is the
    mean speed of what moves, in pixels a frame, or nan. Without `noise` there is no "eps": the model is then trained on noise
    that follows nothing. With an end point there is "y" (B, C, T, H, W).
    """

    def __init__(
        self,
        source: ClipSource,
        count: int,
        *,
        noise: Following | None = Following(),
        telling: Telling = Telling(),
        seed: int = 0,
        start: int = 0,
    ) -> None:
        self.source, self.count, self.noise, self.telling = source, count, noise, telling
        self.seed, self.start = seed, start

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> dict[str, Any]:
        return self.__getitems__([index])

    def __getitems__(self, indices: Sequence[int]) -> dict[str, Any]:
        """A whole batch; the noise, and whether it is a batch of pictures, depend on which examples are in it."""
        numbers = [self.start + int(i) for i in indices]
        key = (self.seed, "batch", *numbers)
        clips = self.source([seed_of(self.seed, "clip", number) for number in numbers])
        keep = torch.stack([torch.rand(2, generator=generator_of(self.seed, "told", number)) for number in numbers])
        cond = told(clips, first=keep[:, 0] < self.telling.first, strength=keep[:, 1] < self.telling.strength)
        shown = slice(1 if float(torch.rand((), generator=generator_of(*key))) < self.telling.pictures else None)
        batch: dict[str, Any] = {"x0": clips.film[:, :, shown], "cond": cond}
        if self.noise is not None:
            batch["eps"] = self.noise(clips, key)[:, :, shown]
        if self.telling.end_point:
            batch["y"] = clips.film[:, :, :1].expand_as(batch["x0"]).contiguous()
        return batch


def told(clips: Clips, *, first: Tensor, strength: Tensor) -> dict[str, Tensor]:
    """What the network is told about clips: `first`, `strength` (B,) bool say of which."""
    film = clips.film[:, :, 0]
    known = torch.cat([film, torch.ones_like(film[:, :1])], 1)
    picture = torch.where(first[:, None, None, None], known, 0.0)
    return {"picture": picture, "strength": torch.where(strength, speed(clips), torch.nan)}


def speed(clips: Clips) -> Tensor:
    """The mean speed of the layers over the ground, (B,), in pixels a frame; of clips without layers that of all pixels."""
    steps = clips.tracks.diff(dim=2).norm(dim=-1)
    by_layer = steps.nanmean((1, 2)) if steps.shape[1] else torch.full((len(clips.film),), torch.nan)
    return torch.where(by_layer.isnan(), clips.forward.norm(dim=2).mean((1, 2, 3)), by_layer)


class VideoData(LightningDataModule):
    """Batches of `Examples`, new ones every epoch; validation has clips of its own, the same each time.

    Args:
        source: where clips come from: `MovingDigits`, `Textures`, `FolderOfClips`.
        batch_size: clips a batch.
        items_per_epoch: clips an epoch; no clip of a generated source repeats in the next.
        validation_items: clips of validation.
        noise: the noise that follows them; None trains on noise that follows nothing.
        telling: what of a clip the network is told.
        workers: processes of the loader.
        seed: of all of it.

    Raises:
        InputError: an epoch of less than one batch.
    """

    def __init__(
        self,
        source: ClipSource,
        batch_size: int = 16,
        items_per_epoch: int = 1600,
        *,
        validation_items: int = 64,
        noise: Following | None = Following(),
        telling: Telling = Telling(),
        workers: int = 0,
        seed: int = 0,
    ) -> None:
        super().__init__()
        if not 1 <= batch_size <= items_per_epoch or validation_items < 1:
            found = f"batch_size {batch_size}, items_per_epoch {items_per_epoch}, validation_items {validation_items}"
            raise InputError(f"VideoData: {found}; expected at least one batch an epoch and one clip of validation")
        self.source, self.batch_size, self.items_per_epoch = source, batch_size, items_per_epoch
        self.validation_items, self.noise, self.telling = validation_items, noise, telling
        self.workers, self.seed = workers, seed

    def train_dataloader(self) -> DataLoader[dict[str, Any]]:
        """The next epoch's clips; call again for each epoch (`reload_dataloaders_every_n_epochs: 1`)."""
        epoch = self.trainer.current_epoch if self.trainer is not None else 0
        return self._loader(self.items_per_epoch, epoch * self.items_per_epoch, self.seed, drop_last=True)

    def val_dataloader(self) -> DataLoader[dict[str, Any]]:
        return self._loader(self.validation_items, 0, seed_of(self.seed, "validation"), drop_last=False)

    def _loader(self, count: int, start: int, seed: int, *, drop_last: bool) -> DataLoader[dict[str, Any]]:
        data = Examples(self.source, count, noise=self.noise, telling=self.telling, seed=seed, start=start)
        return DataLoader(data, self.batch_size, collate_fn=whole, num_workers=self.workers, drop_last=drop_last)


class _Named:
    """White noise whose draws are named by a key and their number."""

    def __init__(self, key: Sequence[object]) -> None:
        self.key, self.draws = tuple(key), 0

    def __call__(self, like: Tensor, t: object = None, u: object = None) -> Tensor:
        self.draws += 1
        return SampleNoise((*self.key, self.draws), range(len(like)))(like, t, u)
