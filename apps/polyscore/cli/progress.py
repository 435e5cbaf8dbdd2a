"""What a training run shows where no person watches a bar: one line an epoch."""

from __future__ import annotations

import time

from lightning.pytorch import Callback, LightningModule, Trainer

from polyscore.cli.console import say

__all__ = ["EpochLines"]


class EpochLines(Callback):
    """Prints the epoch, its losses and the time it took, in the first process."""

    def __init__(self) -> None:
        self.started = 0.0

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.started = time.monotonic()

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not trainer.is_global_zero:
            return
        last = "" if trainer.max_epochs in (None, -1) else f"/{trainer.max_epochs}"
        values = {
            key.removesuffix("_epoch"): float(v) for key, v in trainer.callback_metrics.items() if not key.endswith("_step")
        }
        shown = "  ".join(f"{key} {value:.4g}" for key, value in sorted(values.items()))
        say(f"epoch {trainer.current_epoch + 1}{last}  {shown}  ({time.monotonic() - self.started:.1f} s)")
