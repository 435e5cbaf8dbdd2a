"""Pictures of samples while a model trains."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

from polyscore.errors import ConfigError
from polyscore.pictures import grid, pixels, write_png
from polyscore.samplers import DDIM, sample
from polyscore.state import Given
from polyscore.training.batches import as_batch
from polyscore.training.export import evaluated
from polyscore.training.module import ScoreTraining

__all__ = ["SamplePreview"]


class SamplePreview(Callback):
    """Every n epochs, samples with what the first batch gives (conditions, end points, masks), as `previews/epoch-0010.png`.

    Images (B, 1 or 3, H, W) are drawn as they are; of other states (B, ..., H, W) the magnitude of the first slice is drawn. The
    averaged weights are used where there are some. Seeds are fixed, so the pictures of a run differ by the model alone.

    Args:
        sampler: any sampler.
        steps: its steps.
        every_n_epochs: how often.
        count: how many samples.
        low, high: the values drawn black and white.
        seed: of the first sample.

    Raises:
        ConfigError: the module is not a `ScoreTraining`, or its states are no pictures.
    """

    def __init__(
        self,
        sampler: Any = DDIM(),  # noqa: B008
        steps: int = 20,
        every_n_epochs: int = 10,
        *,
        count: int = 16,
        low: float = -1.0,
        high: float = 1.0,
        seed: int = 0,
    ) -> None:
        self.sampler, self.steps, self.every_n_epochs = sampler, steps, every_n_epochs
        self.count, self.low, self.high, self.seed = count, low, high, seed
        self._first: tuple[Tensor, Given] | None = None

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        if self._first is not None:
            return
        read = pl_module.to_batch if isinstance(pl_module, ScoreTraining) else as_batch
        x0, given, _ = read(batch)
        if not isinstance(pl_module, ScoreTraining) or isinstance(x0, Mapping) or x0.ndim < 3:
            raise ConfigError(
                "SamplePreview draws tensor states with height and width of a ScoreTraining; take it out of the callbacks"
            )
        self._first = x0[: self.count], Given(*(_head(value, self.count) for value in given))

    @torch.no_grad()
    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self._first is None or not trainer.is_global_zero or (trainer.current_epoch + 1) % self.every_n_epochs:
            return
        like, given = self._first
        with evaluated(trainer, pl_module) as module:
            denoiser = module.denoiser
            x = sample(self.sampler, denoiser, denoiser.process, like, steps=self.steps, given=given, noise=self.seed)
        path = Path(trainer.default_root_dir) / "previews" / f"epoch-{trainer.current_epoch + 1:04d}.png"
        write_png(path, grid(self._draw(x), columns=max(1, round(len(x) ** 0.5)), zoom=max(1, 48 // x.shape[-1])))

    def _draw(self, x: Tensor) -> Any:
        if x.is_complex() or x.ndim == 3 or x.shape[1] not in (1, 3):
            size = x.abs().flatten(1, -3)[:, 0] if x.ndim > 3 else x.abs()
            return pixels(size / size.amax().clamp(min=1e-12))
        return pixels(x, low=self.low, high=self.high)


def _head(value: Any, count: int) -> Any:
    if isinstance(value, Mapping):
        return {key: _head(part, count) for key, part in value.items()}
    return value[:count] if isinstance(value, Tensor) else value
