"""Run as `python -m tests.core.predict_in_processes FOLDER PROCESSES`: a generation job in one or more processes."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

import torch
from lightning.pytorch import Trainer
from tests.core.training_parts import training
from torch import Tensor
from torch.utils.data import DataLoader

from polyscore.denoisers import Precondition
from polyscore.noise import Seeded
from polyscore.samplers import DDIM, sample
from polyscore.state import Given
from polyscore.training import Generation, MissingShards, Shards, ShardWriter

__all__ = ["COUNT", "SIZE", "generate"]

COUNT, SIZE = 50, 4  # 13 shards, the last of 2 items; an odd number, so that two processes do unequal work


def make(model: Precondition, items: list[int]) -> Mapping[str, Tensor]:
    """Stochastic samples, item i from seed 100 + i."""
    given = Given(cond=torch.tensor(items) % 3)
    like = torch.zeros(len(items), 1, 2, 2)
    x = sample(DDIM(eta=1.0), model, model.process, like, steps=5, given=given, noise=Seeded([100 + i for i in items]))
    assert isinstance(x, Tensor)
    return {"x": x, "item": torch.tensor(items), "process": torch.full((len(items),), int(torch.distributed.is_initialized()))}


def generate(folder: Path, processes: int) -> None:
    """Write what is missing of the job's shards."""
    shards = Shards(folder, COUNT, SIZE, {"seed": 100})
    shards.create()
    trainer = Trainer(
        accelerator="cpu",
        devices=processes,
        strategy="ddp" if processes > 1 else "auto",
        callbacks=[ShardWriter(shards)],
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=str(folder),
    )
    loader = DataLoader(MissingShards(shards), batch_size=None)
    trainer.predict(Generation(training().model, make), loader, return_predictions=False)


if __name__ == "__main__":
    torch.set_num_threads(1)
    generate(Path(sys.argv[1]), int(sys.argv[2]))
