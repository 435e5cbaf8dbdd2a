"""Writes what is being trained as a folder that `polyscore.hub.load` and every command understand."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import WeightAveraging

from polyscore.errors import ConfigError
from polyscore.hub import save

__all__ = ["ExportModel", "averaged", "evaluated"]


def averaged(trainer: Trainer, module: LightningModule) -> Any:
    """The module with averaged weights where the trainer has a weight-averaging callback, else `module` itself.

    Valid outside validation only: during it the two have changed places.
    """
    for callback in trainer.callbacks:  # type: ignore[attr-defined]
        if isinstance(callback, WeightAveraging) and callback._average_model is not None:
            return callback._average_model.module
    return module


@contextmanager
def evaluated(trainer: Trainer, module: LightningModule) -> Iterator[Any]:
    """`averaged`, in evaluation mode while the block runs: what callbacks look at between two steps of training."""
    found = averaged(trainer, module)
    was_training = found.training
    found.eval()
    try:
        yield found
    finally:
        found.train(was_training)


class ExportModel(Callback):
    """Saves a part of the module (its averaged weights, if any) to `folder` after each validation and at the end of training.

    Each save replaces the one before, whole or not at all. A run that is found to be finished when it is resumed saves once
    more, so that one which was killed between its last checkpoint and its end has its model too.

    Args:
        folder: where; default `model` in the trainer's `default_root_dir`.
        part: the module's attribute to save.
        card: text of the model card; the default says which class it is.

    Raises:
        ConfigError: the module has no such part.
    """

    def __init__(self, folder: str | None = None, part: str = "model", card: str = "") -> None:
        self.folder, self.part, self.card = folder, part, card

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not trainer.sanity_checking:
            self.export(trainer, pl_module)

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.export(trainer, pl_module)

    def export(self, trainer: Trainer, module: LightningModule) -> None:
        """Write the folder now (on the first process)."""
        if not trainer.is_global_zero:
            return
        model = getattr(averaged(trainer, module), self.part, None)
        if model is None:
            raise ConfigError(f"ExportModel: {type(module).__name__} has no `{self.part}`; give ExportModel(part=...)")
        save(Path(self.folder) if self.folder else Path(trainer.default_root_dir) / "model", model, card=self.card)
