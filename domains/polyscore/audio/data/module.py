"""The Lightning data module of speech mixtures: folders in, batches of `{"clean": (B, L), "noisy": (B, L)}` out."""

from __future__ import annotations

from dataclasses import replace

from lightning.pytorch import LightningDataModule
from torch import Tensor
from torch.utils.data import DataLoader

from polyscore.audio.data.loading import loader
from polyscore.audio.data.mixture import Mixing, MixtureDataset
from polyscore.errors import InputError

__all__ = ["SpeechMixtures"]


class SpeechMixtures(LightningDataModule):
    """Mix clean speech and noise on the fly, for predictors and for score models alike.

    `clean` and `noise` map folders (searched recursively for wav, flac, ogg, mp3 of any rate) to relative weights;
    `rooms` lists folders of room responses. An epoch is `items_per_epoch` mixtures; no mixture repeats in the next. A
    share `held_out` of the files, fixed by their names, is used for the `validation_items` mixtures of validation only;
    those are the same in every epoch.

    Raises:
        InputError: a folder is missing or empty, or a count is not positive.
    """

    def __init__(
        self,
        clean: dict[str, float],
        noise: dict[str, float],
        rooms: list[str] | None = None,
        *,
        seconds: float = 2.0,
        rate: int = 16000,
        batch_size: int = 8,
        items_per_epoch: int = 6000,
        validation_items: int = 64,
        validation_seconds: float = 3.0,
        held_out: float = 0.02,
        mixing: Mixing = Mixing(),  # noqa: B008
        workers: int = 0,
        seed: int = 0,
    ) -> None:
        super().__init__()
        for name, count in (
            ("batch_size", batch_size),
            ("items_per_epoch", items_per_epoch),
            ("validation_items", validation_items),
        ):
            if count < 1:
                raise InputError(f"speech mixtures: {name} is {count}; expected at least 1")
        self.clean, self.noise, self.rooms = clean, noise, rooms or []
        self.seconds, self.rate, self.mixing = seconds, rate, mixing
        self.batch_size, self.items_per_epoch, self.workers, self.seed = batch_size, items_per_epoch, workers, seed
        self.validation_items, self.validation_seconds, self.held_out = validation_items, validation_seconds, held_out

    def train_dataloader(self) -> DataLoader[dict[str, Tensor]]:
        """The next epoch's mixtures; call again for each epoch (`reload_dataloaders_every_n_epochs: 1`)."""
        data = MixtureDataset(
            self.clean,
            self.noise,
            self.rooms,
            seconds=self.seconds,
            rate=self.rate,
            mixing=self.mixing,
            held_out=self.held_out,
            items=self.items_per_epoch,
            seed=self.seed,
        )
        epoch = self.trainer.current_epoch if self.trainer is not None else 0
        data.first = epoch * self.items_per_epoch
        return self._loader(data)

    def val_dataloader(self) -> DataLoader[dict[str, Tensor]]:
        return self._loader(self._validation())

    def examples(self, count: int) -> list[tuple[str, dict[str, Tensor]]]:
        """Names and waves `{"clean": (L,), "noisy": (L,)}` of the first mixtures of validation (`SpeechPreview`)."""
        data = self._validation()
        return [(f"mixture-{number}", data.item(number)) for number in range(min(count, self.validation_items))]

    def _validation(self) -> MixtureDataset:
        mixing = replace(self.mixing, noise_only_share=0.0, clean_share=0.0)
        return MixtureDataset(
            self.clean,
            self.noise,
            self.rooms,
            seconds=self.validation_seconds,
            rate=self.rate,
            mixing=mixing,
            stage="validate",
            held_out=self.held_out,
            items=self.validation_items,
            seed=self.seed + 1,
        )

    def _loader(self, data: MixtureDataset) -> DataLoader[dict[str, Tensor]]:
        if self.trainer is not None:
            data.rank, data.world = self.trainer.global_rank, self.trainer.world_size
        return loader(data, self.batch_size, self.workers)
