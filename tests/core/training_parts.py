"""A tiny score model on tensor data, its data module, and the runs that several test files share."""

from __future__ import annotations

from typing import Any

import torch
from lightning.pytorch import Callback, LightningDataModule, Trainer
from torch import Tensor, nn
from torch.utils.data import DataLoader, DistributedSampler

from polyscore.denoisers import Precondition
from polyscore.processes import Cosine
from polyscore.state import Given
from polyscore.training import AdamW, DropCondition, EpsLoss, ScoreTraining, Stratified, TimeDensity, Uniform

__all__ = ["Net", "Rows", "Tensors", "run_training", "training"]


class Net(nn.Module):
    """x, time and a label in, x out, with dropout."""

    def __init__(self, width: int = 16, dropout: float = 0.0) -> None:
        super().__init__()
        self.width, self.dropout = width, dropout
        self.label = nn.Embedding(4, width)
        self.first, self.last = nn.Linear(5, width), nn.Linear(width, 4)
        self.drop = nn.Dropout(dropout)

    def forward(self, x: Tensor, time: Tensor, given: Given) -> Tensor:
        hidden = self.first(torch.cat([x.flatten(1), time[:, None].to(x)], 1)) + self.label(given.cond)
        out: Tensor = self.last(self.drop(torch.tanh(hidden))).view_as(x)
        return out


class Rows(torch.utils.data.Dataset[dict[str, Tensor]]):
    """Fixed samples (1, 2, 2) with labels 0..2; label 3 means none."""

    def __init__(self, count: int) -> None:
        g = torch.Generator().manual_seed(0)
        self.cond = torch.randint(0, 3, (count,), generator=g)
        self.x0 = torch.randn(count, 1, 2, 2, generator=g) + self.cond.view(-1, 1, 1, 1)

    def __len__(self) -> int:
        return len(self.cond)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        return {"x0": self.x0[index], "cond": self.cond[index]}


class Tensors(LightningDataModule):
    """Batches of `Rows` in their order, in several processes dealt out one by one (Lightning's own sampler would shuffle)."""

    def __init__(self, count: int = 32, batch_size: int = 8, *, validation: bool = True) -> None:
        super().__init__()
        self.count, self.batch_size, self.validation = count, batch_size, validation

    def train_dataloader(self) -> DataLoader[dict[str, Tensor]]:
        rows = Rows(self.count)
        several = self.trainer is not None and self.trainer.world_size > 1
        return DataLoader(rows, self.batch_size, sampler=DistributedSampler(rows, shuffle=False) if several else None)

    def val_dataloader(self) -> Any:
        return DataLoader(Rows(self.count), self.batch_size) if self.validation else []


def training(*, times: TimeDensity | None = None, dropout: float = 0.0, **more: Any) -> ScoreTraining:
    """The module that is trained, with the same initial weights each time."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = Precondition(Net(dropout=dropout), Cosine(), predicts="v")
    settings: dict[str, Any] = {"drop": DropCondition(0.25, 3), "optimiser": AdamW(1e-2), "seed": 5, **more}
    return ScoreTraining(model, EpsLoss(), times or Stratified(Uniform(0.05)), **settings)


def run_training(
    folder: str, module: ScoreTraining, *callbacks: Callback, devices: int = 1, batch_size: int = 8, epochs: int = 2, **more: Any
) -> Trainer:
    """Train on the CPU without output."""
    trainer = Trainer(
        accelerator="cpu",
        strategy="ddp" if devices > 1 else "auto",
        devices=devices,
        max_epochs=epochs,
        gradient_clip_val=0.5,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=folder,
        callbacks=list(callbacks),
        **more,
    )
    trainer.fit(module, datamodule=Tensors(batch_size=batch_size))
    return trainer
