r"""The Lightning module that trains a denoiser of any domain.

One step draws t from a time density, pairs data and noise by a coupling, asks the objective for the unreduced loss l (B, ...)
and takes

    mean over samples of  correction(t) * mean over entries of l.

All randomness comes from generators named by (seed, purpose, epoch, batch, sample): a run that is stopped and resumed draws what
it would have drawn, and W processes with batches of B draw what one process with a batch of W B does, where the batch of
process r holds the samples r, r + W, r + 2 W, ... as torch's `DistributedSampler` deals them. The global generator is neither
read nor moved.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from lightning.pytorch import LightningModule
from torch import Tensor, nn

from polyscore.errors import ConfigError, InputError, PolyscoreError
from polyscore.noise import Noise, Recorded
from polyscore.training.batches import Batch, DropCondition, as_batch
from polyscore.training.couplings import Coupling, Independent
from polyscore.training.discrete import CategoricalObjective
from polyscore.training.draws import SampleNoise, generator_of
from polyscore.training.leaves import LeafObjectives
from polyscore.training.objectives import Objective, VLoss
from polyscore.training.optimiser import AdamW
from polyscore.training.times import Stratified, TimeDensity, Uniform

__all__ = ["ScoreTraining", "denoiser_in", "per_sample"]


def denoiser_in(model: nn.Module) -> Any:
    """The outermost part of `model` (or itself) that has a `process`: what is trained inside a pipeline.

    Raises:
        ConfigError: there is none.
    """
    for part in model.modules():
        if hasattr(part, "process"):
            return part
    raise ConfigError(
        f"ScoreTraining: {type(model).__name__} holds no denoiser with a process; expected a polyscore.denoisers.Precondition, "
        "or a pipeline with one in it"
    )


def per_sample(loss: Any, mask: Tensor | Mapping[str, Tensor] | None = None) -> Tensor:
    """The mean over the entries of each sample, (B,); leaves of a mapping add up.

    `mask` (B, N, ...), where its shape begins that of the loss, says which entries exist.
    """
    if isinstance(loss, Mapping):
        parts = [per_sample(leaf, mask.get(name) if isinstance(mask, Mapping) else mask) for name, leaf in loss.items()]
        return torch.stack(parts).sum(0)
    if not isinstance(mask, Tensor) or mask.shape != loss.shape[: mask.ndim]:
        return loss.flatten(1).mean(1)  # type: ignore[no-any-return]
    exists = mask.to(loss).view(*mask.shape, *[1] * (loss.ndim - mask.ndim)).expand_as(loss)
    return (loss * exists).flatten(1).sum(1) / exists.flatten(1).sum(1).clamp(min=1)  # type: ignore[no-any-return]


class ScoreTraining(LightningModule):
    """Trains the denoiser in `model`; the whole `model` is what gets exported (see `ExportModel`).

    Logs `train/loss`, `val/loss` (the same draws at every validation) and `lr`.

    Args:
        model: a denoiser with a `process` (`Precondition`), or a pipeline that holds one.
        objective: the loss; see `polyscore.training.objectives`, `polyscore.training.discrete` and `polyscore.training.leaves`.
        times: the density of t.
        coupling: how data and noise of a batch are paired.
        drop: replaces conditions by "none", for classifier-free guidance.
        optimiser: optimiser and learning rate.
        seed: of all draws.
        to_batch: turns a batch of the data loader into a `Batch`; the default reads a tensor or a mapping.

    Raises:
        ConfigError: no denoiser in `model`.
        PolyscoreError: the loss was not finite (raised before the next validation, export and checkpoint).
    """

    def __init__(
        self,
        model: nn.Module,
        objective: Objective | CategoricalObjective | LeafObjectives = VLoss(),  # noqa: B008
        times: TimeDensity = Uniform(),  # noqa: B008
        *,
        coupling: Coupling = Independent(),  # noqa: B008
        drop: DropCondition | None = None,
        optimiser: AdamW = AdamW(),  # noqa: B008
        seed: int = 0,
        to_batch: Callable[[Any], Batch] = as_batch,
    ) -> None:
        super().__init__()
        self.model = model
        self.objective, self.times, self.coupling, self.drop = objective, times, coupling, drop
        self.optimiser, self.seed, self.to_batch = optimiser, seed, to_batch
        self._finite: Tensor | None = None
        denoiser_in(model)

    @property
    def denoiser(self) -> Any:
        """What is trained."""
        return denoiser_in(self.model)

    def losses(self, batch: Any, times: TimeDensity, *key: int | str) -> tuple[Tensor, Tensor]:
        """The loss of every sample and its time, each (B,), with draws named by `key`."""
        x0, given, eps = self.to_batch(batch)
        leaf = next(iter(x0.values())) if isinstance(x0, Mapping) else x0
        world, rank = (1, 0) if self._trainer is None else (self.trainer.world_size, self.global_rank)
        whole = len(leaf) * world
        generator = generator_of(self.seed, "times", *key)
        t = times.sample(whole, generator, self.denoiser.process)[rank::world]
        noise = self._noise(x0, eps, given.cond, SampleNoise((self.seed, "noise", *key), range(rank, whole, world)))
        if self.drop is not None:
            draws = torch.rand(whole, generator=generator)[rank::world]
            given = given._replace(cond=self.drop(given.cond, draws))
        objective: Any = self.objective
        loss = objective(self.denoiser, self.denoiser.process, x0, t=t, given=given, noise=noise)
        return per_sample(loss, given.mask), t

    def _noise(self, x0: Any, eps: Any, cond: Any, source: Noise) -> Noise:
        if isinstance(x0, Mapping):
            if eps is not None or not isinstance(self.coupling, Independent):
                raise InputError("ScoreTraining: couplings and stored noise are for tensor states; the batch's x0 is a mapping")
            return source
        if eps is None and isinstance(self.coupling, Independent):
            return source
        white = source(x0) if eps is None else eps
        return Recorded([white[self.coupling(x0, white, cond)]])

    def training_step(self, batch: Any, index: int) -> Tensor:
        """The mean loss of a batch."""
        losses, t = self.losses(batch, self.times, "train", self.current_epoch, index)
        loss = (self.times.correction(t).to(losses) * losses).mean()
        if self.times.adaptive:
            self.times.observe(*self._of_all_processes(t, losses.detach()))
        ok = torch.isfinite(loss.detach())
        self._finite = ok if self._finite is None else self._finite & ok
        self.log("train/loss", loss, on_step=True, on_epoch=True, prog_bar=True, batch_size=len(losses))
        return loss

    def validation_step(self, batch: Any, index: int) -> None:
        """The same draws every time, spread evenly over the density, so that epochs compare."""
        losses, t = self.losses(batch, Stratified(self.times), "validation", index)
        loss = (self.times.correction(t).to(losses) * losses).mean()
        self.log("val/loss", loss, prog_bar=True, batch_size=len(losses), sync_dist=True)

    def _of_all_processes(self, t: Tensor, losses: Tensor) -> tuple[Tensor, Tensor]:
        """Times and losses in the order of the whole batch, so that every process learns the same density."""
        if self._trainer is None or self.trainer.world_size == 1:
            return t, losses
        pairs: Any = self.all_gather(torch.stack([t.to(losses), losses]))  # (W, 2, B)
        times, values = pairs.permute(1, 2, 0).flatten(1)
        return times.double().cpu(), values

    def on_validation_start(self) -> None:
        self._check_finite()

    def on_train_epoch_end(self) -> None:
        self._check_finite()

    def _check_finite(self) -> None:
        """Look at the losses since the last look: asking at every step would make the device wait."""
        if self._finite is not None and not bool(self._finite):
            raise PolyscoreError(
                f"training: the loss was not a finite number in epoch {self.current_epoch + 1}; the last checkpoint is from "
                "before it. Lower the learning rate, clip gradients (trainer.gradient_clip_val), or look for NaN in the data"
            )
        self._finite = None

    def configure_optimizers(self) -> Any:
        optimiser = self.optimiser.build_for(self.model)
        steps = self.trainer.estimated_stepping_batches
        if self.optimiser.decay != "constant" and not math.isfinite(steps):
            raise ConfigError("ScoreTraining: a decay of the rate needs an end; set trainer.max_steps or trainer.max_epochs")
        schedule = self.optimiser.schedule(optimiser, int(steps) if math.isfinite(steps) else 1)
        return {"optimizer": optimiser, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["time_density"] = self.times.state_dict()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.times.load_state_dict(checkpoint.get("time_density", {}))
