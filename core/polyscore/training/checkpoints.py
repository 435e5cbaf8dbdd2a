"""Lightning's checkpoints, written whole or not at all and read without running what is in them."""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.plugins.io import TorchCheckpointIO

from polyscore.errors import CheckpointError
from polyscore.hub.files import atomic_path
from polyscore.training.draws import seed_of

__all__ = ["LastCheckpoint", "SafeCheckpointIO", "SeedSteps"]


class SafeCheckpointIO(TorchCheckpointIO):
    """A `CheckpointIO` whose files appear by one rename and hold tensors and plain values only (`weights_only=True`).

    Raises:
        CheckpointError: a file that is missing, damaged, or holds other objects.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | os.PathLike[str], storage_options: Any = None) -> None:
        with atomic_path(path) as name, name.open("wb") as file:
            try:
                torch.save(checkpoint, file)
            except RuntimeError as error:  # torch's archive writer gives up on a failed write in its own words
                if isinstance(error.__context__, OSError):
                    raise error.__context__ from None
                raise

    def load_checkpoint(
        self, path: str | os.PathLike[str], map_location: Any = "cpu", weights_only: bool | None = True
    ) -> dict[str, Any]:
        try:
            found = torch.load(Path(path), map_location=map_location, weights_only=True)
        except FileNotFoundError:
            raise CheckpointError(f"checkpoint {path}: there is no such file") from None
        except pickle.UnpicklingError as error:
            raise CheckpointError(
                f"checkpoint {path}: it holds more than tensors and plain values and was not loaded ({_first_line(error)})"
            ) from error
        except (RuntimeError, EOFError, ValueError, KeyError, OSError) as error:
            raise CheckpointError(f"checkpoint {path}: it is damaged ({_first_line(error)})") from error
        if not isinstance(found, dict) or "state_dict" not in found:
            raise CheckpointError(f"checkpoint {path}: it is no training checkpoint (no state_dict in it)")
        return found


class LastCheckpoint(ModelCheckpoint):
    """Keeps `folder/last.ckpt`, written anew at the end of every n-th epoch: the place to resume at."""

    def __init__(self, folder: str, every_n_epochs: int = 1) -> None:
        super().__init__(
            dirpath=folder,
            filename="last",
            save_top_k=1,
            every_n_epochs=every_n_epochs,
            save_on_train_epoch_end=True,
            enable_version_counter=False,
        )


class SeedSteps(Callback):
    """Seeds torch's global generator before each batch by (seed, epoch, batch, process).

    Dropout has no other source of randomness, and a checkpoint does not hold its state: so a resumed run drops what the first
    would have dropped.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        torch.manual_seed(seed_of(self.seed, "step", trainer.current_epoch, batch_idx, trainer.global_rank))


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:160]
