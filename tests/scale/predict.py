"""Run as `python -m tests.scale.predict JOB FOLDER PROCESSES`: a generation job of a domain in one or more processes."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Trainer
from torch import Tensor
from torch.utils.data import DataLoader

from polyscore.training import Generation, MissingShards, Shards, ShardWriter

__all__ = ["COUNT", "JOBS", "SIZE", "graphs", "predict", "speech"]

COUNT, SIZE = 14, 3  # 5 shards, the last of 2 items; an odd number, so that two processes do unequal work


def graphs(model: Any, items: list[int]) -> Mapping[str, Tensor]:
    """Graphs of the sizes that the model draws; graph i has seed 100 + i."""
    seeds = [100 + i for i in items]
    drawn = model.sample(model.draw_sizes(seeds), seed=seeds, steps=3, preset="fast").padded(model.nodes)
    return {"adj": drawn.adj.float(), "item": torch.tensor(items), "process": _shared(items)}


def speech(model: Any, items: list[int]) -> Mapping[str, Tensor]:
    """Recordings of half a second, each noise of its own, enhanced; recording i has seed 100 + i."""
    waves = []
    for i in items:
        noisy = 0.1 * torch.randn(1, 8000, generator=torch.Generator().manual_seed(i))
        waves.append(model.enhance(noisy, 16000, preset="fast", seed=100 + i))
    return {"wave": torch.stack(waves), "item": torch.tensor(items), "process": _shared(items)}


JOBS = {"graphs": ("community-small", graphs), "speech": ("speech-16k", speech)}


def predict(job: str, folder: Path, processes: int) -> None:
    """Write what is missing of the job's shards."""
    from polyscore.hub import load

    name, make = JOBS[job]
    shards = Shards(folder, COUNT, SIZE, {"job": job})
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
    trainer.predict(Generation(load(name), make), DataLoader(MissingShards(shards), batch_size=None), return_predictions=False)


def _shared(items: list[int]) -> Tensor:
    return torch.full((len(items),), int(torch.distributed.is_initialized()))


if __name__ == "__main__":
    torch.set_num_threads(1)
    predict(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]))
