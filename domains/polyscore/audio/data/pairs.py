"""Pairs of clean and noisy speech from folders: crops of F frames, as SGMSE trains on them.

A crop has L = (F - 1) hop samples, so that its centred spectrogram has F frames. In training it starts at a random place, in
validation in the middle; a shorter file gets silence, half of it before. Both waves are divided by one number, so that the clean
one keeps its level in the noisy one:

    noisy        max |noisy| of the crop (SGMSE)           noisy_file   max |noisy| of the whole file (StoRM)
    clean        max |clean| of the crop                   not          1

Crop i of epoch e is a function of (seed, e, i) alone, and so is the order: a resumed run goes on with what it would have seen,
whatever the number of workers.

Sources: Richter, Welker, Lemercier, Lay, Gerkmann 2023, arXiv 2208.05830 (SGMSE+); Lemercier, Richter, Welker, Gerkmann 2023,
arXiv 2212.11851 (StoRM).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Literal, get_args

import numpy as np
import torch
from lightning.pytorch import LightningDataModule
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, DistributedSampler

from polyscore.audio.data.excerpts import Source
from polyscore.audio.data.layouts import Pair, Parts, find_pairs
from polyscore.audio.data.loading import loader
from polyscore.errors import InputError

__all__ = ["CropOrder", "PairDataset", "SpeechPairs"]

Normalise = Literal["noisy", "clean", "noisy_file", "not"]
TOLERANCE = 0.1  # s by which two files of one recording may differ in length


class PairDataset(Dataset[dict[str, Tensor]]):
    """Crops `{"clean": (L,), "noisy": (L,)}`, float32, of pairs.

    Element n is the crop of pair n mod N in epoch n div N (N pairs), at a random place with `random`, else in the middle. Of
    several channels the first is taken; other rates become `rate` Hz.

    Raises:
        InputError: no pairs; a length or rate that is not positive; and, where an element is read, a file that cannot be,
            two files of different rates or lengths, or values that are no numbers.
    """

    def __init__(
        self,
        pairs: Sequence[Pair],
        length: int,
        rate: int = 16000,
        *,
        normalise: Normalise = "noisy",
        random: bool = True,
        seed: int = 0,
    ) -> None:
        if not pairs or length < 1 or rate < 1:
            raise InputError(f"speech pairs: {len(pairs)} pairs, {length} samples at {rate} Hz; expected at least one of each")
        if normalise not in get_args(Normalise):
            raise InputError(f"speech pairs: normalise is {normalise!r}; expected one of {', '.join(get_args(Normalise))}")
        self.pairs, self.length, self.rate = tuple(pairs), length, rate
        self.normalise, self.random, self.seed = normalise, random, seed

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        epoch, number = divmod(index, len(self.pairs))
        sources = self._sources(self.pairs[number])
        total = min(source.length for source in sources)
        spare = total - self.length
        start = 0
        if spare > 0:
            start = int(np.random.default_rng([self.seed, epoch, number]).integers(spare + 1)) if self.random else spare // 2
        waves = [source.read(start, min(self.length, total)) for source in sources]
        clean, noisy = (torch.nn.functional.pad(wave, (max(-spare, 0) // 2, (max(-spare, 0) + 1) // 2)) for wave in waves)
        factor = self._factor(clean, noisy, sources[1])
        return {"clean": clean / factor, "noisy": noisy / factor}

    def whole(self, number: int) -> dict[str, Tensor]:
        """Pair `number` in its whole length, at its own level."""
        sources = self._sources(self.pairs[number])
        length = min(source.length for source in sources)
        clean, noisy = (source.read(0, length) for source in sources)
        return {"clean": clean, "noisy": noisy}

    def _sources(self, pair: Pair) -> tuple[Source, Source]:
        clean, noisy = Source(pair.clean, self.rate), Source(pair.noisy, self.rate)
        if clean.stored != noisy.stored or abs(clean.length - noisy.length) > TOLERANCE * self.rate:
            raise InputError(
                f"speech pairs: {pair.noisy} has {noisy.length / self.rate:.2f} s at {noisy.stored} Hz, {pair.clean} has "
                f"{clean.length / self.rate:.2f} s at {clean.stored} Hz; expected one recording, clean and noisy"
            )
        return clean, noisy

    def _factor(self, clean: Tensor, noisy: Tensor, source: Source) -> float:
        if self.normalise == "not":
            return 1.0
        if self.normalise == "noisy_file":
            noisy = source.read(0, source.length)
        # of silence there is nothing to scale
        return float((clean if self.normalise == "clean" else noisy).abs().max()) or 1.0


class CropOrder(DistributedSampler[int]):
    """The numbers of one epoch's crops in random order, epoch N + index, every process its share.

    Args:
        count: N.
        epoch: asked when the epoch begins.
        seed: of the order.
        rank: of this process.
        world: number of processes.
    """

    def __init__(self, count: int, epoch: Callable[[], int], *, seed: int = 0, rank: int = 0, world: int = 1) -> None:
        super().__init__(range(count), world, rank, seed=seed * 1_000_003)  # type: ignore[arg-type]
        self.count, self.now = count, epoch

    def __iter__(self) -> Iterator[int]:
        epoch = self.now()
        self.set_epoch(epoch)
        yield from (epoch * self.count + index for index in super().__iter__())


class SpeechPairs(LightningDataModule):
    """Batches `{"clean": (B, L), "noisy": (B, L)}` of pairs of files, L = (frames - 1) hop samples at `rate` Hz.

    Args:
        path: the data set's folder.
        layout: how it is laid out (`polyscore.audio.data.layouts`); `auto` looks.
        frames: F, the frames of a crop's spectrogram.
        hop: samples from one frame to the next: 128 at 16 kHz, 384 at 48 kHz.
        rate: of the model (Hz); files of other rates are resampled.
        batch_size: pairs a batch.
        normalise: what both waves are divided by: the maximum of `noisy`, of `clean`, of the `noisy_file` before it was
            cropped, or `not`.
        workers: processes that read.
        limit: the first pairs of each part only, to try a configuration out.
        held_out: share of the training files for validation where the layout has no folder for it.
        seed: of the order and the places.

    Raises:
        InputError: folders that are not as the layout says; a count that is not positive.
    """

    def __init__(
        self,
        path: str,
        layout: str = "auto",
        *,
        frames: int = 256,
        hop: int = 128,
        rate: int = 16000,
        batch_size: int = 8,
        normalise: Normalise = "noisy",
        workers: int = 0,
        limit: int | None = None,
        held_out: float = 0.02,
        seed: int = 0,
    ) -> None:
        super().__init__()
        least = {"frames": (frames, 2), "hop": (hop, 1), "rate": (rate, 1), "batch_size": (batch_size, 1)}
        for name, (value, smallest) in (least if limit is None else least | {"limit": (limit, 1)}).items():
            if value < smallest:
                raise InputError(f"speech pairs: {name} is {value}; expected at least {smallest}")
        self.path, self.layout, self.frames, self.hop, self.rate = path, layout, frames, hop, rate
        self.batch_size, self.normalise, self.workers = batch_size, normalise, workers
        self.limit, self.held_out, self.seed = limit, held_out, seed
        self._parts: Parts | None = None

    @property
    def parts(self) -> Parts:
        """The pairs for training, validation and test; found once."""
        if self._parts is None:
            self._parts = find_pairs(self.path, self.layout, held_out=self.held_out)
        return self._parts

    def dataset(self, part: Literal["train", "valid", "test"]) -> PairDataset:
        """The crops of a part, at random places in `train`.

        Raises:
            InputError: the layout has no such part.
        """
        pairs = getattr(self.parts, part)[: self.limit]
        if not pairs:
            raise InputError(f"speech pairs: {self.path} ({self.parts.layout}) has no files for {part}")
        return PairDataset(
            pairs,
            (self.frames - 1) * self.hop,
            self.rate,
            normalise=self.normalise,
            random=part == "train",
            seed=self.seed,
        )

    def examples(self, count: int) -> list[tuple[str, dict[str, Tensor]]]:
        """Names and whole waves `{"clean": (L,), "noisy": (L,)}` of the first pairs of validation (`SpeechPreview`)."""
        data = self.dataset("valid")
        return [(pair.name, data.whole(number)) for number, pair in enumerate(data.pairs[:count])]

    def train_dataloader(self) -> DataLoader[dict[str, Tensor]]:
        data, trainer = self.dataset("train"), self.trainer
        epoch = (lambda: trainer.current_epoch) if trainer is not None else (lambda: 0)
        rank, world = (trainer.global_rank, trainer.world_size) if trainer is not None else (0, 1)
        order = CropOrder(len(data), epoch, seed=self.seed, rank=rank, world=world)
        full = math.ceil(len(data) / world) >= self.batch_size
        return loader(data, self.batch_size, self.workers, sampler=order, drop_last=full)

    def val_dataloader(self) -> DataLoader[dict[str, Tensor]]:
        return loader(self.dataset("valid"), self.batch_size, self.workers)
