"""Generation through `Trainer.predict`: one process or many, one folder of shards.

shards = Shards(folder, count=100_000, size=256, settings={"seed": 0})
shards.create()
trainer = Trainer(devices=8, callbacks=[ShardWriter(shards)], logger=False)
trainer.predict(Generation(make), DataLoader(MissingShards(shards), batch_size=None), return_predictions=False)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import BasePredictionWriter
from torch import Tensor, nn

from polyscore.training.shards import Shards

__all__ = ["Generation", "ShardWriter"]


class Generation(LightningModule):
    """Runs `make(model, items)` for every shard, items (m,) int64; what it returns, name -> tensor (m, ...), becomes the shard.

    `make` must draw the noise of item i from a seed of its own (`Seeded([seed + i for i in items])`).
    """

    def __init__(self, model: nn.Module, make: Callable[[Any, list[int]], Mapping[str, Tensor]]) -> None:
        super().__init__()
        self.model, self.make = model, make

    def predict_step(self, batch: Tensor, batch_idx: int) -> Mapping[str, Tensor]:
        return self.make(self.model, batch.tolist())


class ShardWriter(BasePredictionWriter):
    """Writes each prediction as the shard its items belong to, in the process that made it."""

    def __init__(self, shards: Shards) -> None:
        super().__init__("batch")
        self.shards = shards

    def write_on_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        prediction: Any,
        batch_indices: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int,
    ) -> None:
        self.shards.write(int(batch[0]) // self.shards.size, prediction)

    def on_predict_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Wait for all processes: afterwards every shard is there."""
        trainer.strategy.barrier("shards")
