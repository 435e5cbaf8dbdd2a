"""The work of ``polyscore sample``: samples of given numbers, in this process or through Lightning in several."""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from polyscore.images import ImageGenerator
    from polyscore.training.shards import Shards

__all__ = ["Drawing", "fingerprint", "predict"]


class Drawing:
    """Draws the samples of given numbers, and counts what it costs.

    Args:
        model: what is drawn from.
        sampler, steps, guidance: as `ImageGenerator.sample` takes them.
        seed: of sample 0; sample i has seed + i.
        labels: the class of every sample; None for a model without.
    """

    def __init__(
        self, model: ImageGenerator, sampler: Any, steps: int, *, guidance: float, seed: int, labels: Sequence[int] | None
    ) -> None:
        self.model, self.sampler, self.steps = model, sampler, steps
        self.guidance, self.seed, self.labels = guidance, seed, labels
        self.seconds: dict[int, float] = {}
        self._rows = 0
        model.denoiser.register_forward_hook(self._count)

    def __call__(self, model: ImageGenerator, items: Sequence[int]) -> Mapping[str, Tensor]:
        """`x` (m, C, H, W) and, where there are classes, `label` (m,)."""
        import torch

        started = time.perf_counter()
        labels = None if self.labels is None else [self.labels[i] for i in items]
        x = model.sample(
            len(items) if labels is None else labels,
            steps=self.steps,
            sampler=self.sampler,
            guidance=self.guidance,
            seed=[self.seed + i for i in items],
        )
        self.seconds.update(dict.fromkeys(items, (time.perf_counter() - started) / len(items)))
        return {"x": x} if labels is None else {"x": x, "label": torch.tensor(labels)}

    @property
    def evaluations(self) -> float | None:
        """Network evaluations a sample, guidance's second ones included; None before the first."""
        return self._rows / len(self.seconds) if self.seconds else None

    def _count(self, module: Any, inputs: tuple[Any, ...], output: Any) -> None:
        self._rows += len(inputs[0])


def fingerprint(name: str) -> str:
    """A short hash of a saved model's files: a run is resumed with the same weights, wherever they lie."""
    from polyscore.hub.folder import CONFIG, WEIGHTS
    from polyscore.hub.shipped import find

    folder = find(name) or Path(name)
    content = hashlib.sha256()
    for part in (CONFIG, WEIGHTS):
        with (folder / part).open("rb") as file:
            content.update(hashlib.file_digest(file, "sha256").digest())
    return content.hexdigest()[:16]


def predict(shards: Shards, work: Drawing, *, device: torch.device, devices: int, folder: Path) -> None:
    """Draw the missing shards on several processes or accelerators."""
    from lightning.pytorch import Trainer
    from torch.utils.data import DataLoader

    from polyscore.training import Generation, MissingShards, ShardWriter

    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    trainer = Trainer(
        accelerator=device.type,
        devices=devices,
        strategy="ddp",
        callbacks=[ShardWriter(shards)],
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
        default_root_dir=str(folder),
    )
    loader = DataLoader(MissingShards(shards), batch_size=None)
    trainer.predict(Generation(work.model, work), loader, return_predictions=False)
