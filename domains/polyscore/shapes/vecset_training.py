r"""Training of codes of solids.

    loss = mean |f(p) - clamp(d(p) / reach, -1, 1)|  +  paint * cross-entropy of the paint, at places with |d| < reach / 2,

with f decoded from codes z + noise * eps.
"""

from __future__ import annotations

from typing import Any

import torch
from lightning.pytorch import LightningModule
from torch import Tensor
from torch.nn import functional

from polyscore.errors import ConfigError, PolyscoreError
from polyscore.shapes.vecset import SolidCodes
from polyscore.training.draws import SampleNoise
from polyscore.training.optimiser import AdamW

__all__ = ["SolidCodesTraining", "trained_codes"]


def trained_codes(name: str) -> SolidCodes:
    """`SolidCodes.from_pretrained`, with a return type that a configuration's `class_path` can be checked against.

    Raises:
        CheckpointError: there is no such model.
    """
    return SolidCodes.from_pretrained(name)


class SolidCodesTraining(LightningModule):
    """Trains a `SolidCodes` on batches of `polyscore.shapes.data.procedural_surfaces.SolidSurfacesData`.

    Logs `train/loss`, `val/loss` and `val/wrong`: the share of places near the surface whose side is wrong.

    Args:
        model: what is trained and exported.
        paint: weight of the paints.
        optimiser: optimiser and learning rate.
        seed: of the noise on the codes.

    Raises:
        ConfigError: a model of another kind, or a negative weight.
    """

    def __init__(
        self,
        model: SolidCodes,
        *,
        paint: float = 0.1,
        optimiser: AdamW = AdamW(),  # noqa: B008
        seed: int = 0,
    ) -> None:
        given: object = model
        if not isinstance(given, SolidCodes) or paint < 0:
            raise ConfigError(f"SolidCodesTraining: a {type(model).__name__}, paint {paint}; expected a SolidCodes and 0 or more")
        super().__init__()
        self.model, self.paint, self.optimiser, self.seed = model, paint, optimiser, seed

    def losses(self, batch: dict[str, Tensor], *key: int | str) -> tuple[Tensor, Tensor]:
        """The loss of every solid (B,), and the share of its places within the reach whose side is wrong (B,)."""
        model: Any = self.model
        codes = model.encoder(batch["points"], batch["normals"], batch["paints"])
        world, rank = (1, 0) if self._trainer is None else (self.trainer.world_size, self.global_rank)
        noise = SampleNoise((self.seed, "noise", *key), range(rank, len(codes) * world, world))
        out = model.decoder(codes + model.noise * noise(codes), batch["places"]).float()
        true = (batch["distances"] / model.reach).clamp(-1, 1)
        near = (true.abs() < 1).float()
        shell = (true.abs() < 0.5).float()
        entropy = functional.cross_entropy(out[..., 1:].mT, batch["nearest"], reduction="none")
        painted = (entropy * shell).sum(1) / shell.sum(1).clamp(min=1)
        wrong = (((out[..., 0] < 0) != (true < 0)).float() * near).sum(1) / near.sum(1).clamp(min=1)
        return (out[..., 0] - true).abs().mean(1) + self.paint * painted, wrong

    def training_step(self, batch: dict[str, Tensor], index: int) -> Tensor:
        """The mean loss of a batch.

        Raises:
            PolyscoreError: it is not finite.
        """
        loss = self.losses(batch, "train", self.current_epoch, index)[0].mean()
        if not bool(torch.isfinite(loss)):
            raise PolyscoreError("training: the loss was not a finite number; lower the learning rate, or clip gradients")
        self.log("train/loss", loss, prog_bar=True)
        return loss

    def validation_step(self, batch: dict[str, Tensor], index: int) -> None:
        """The same draws at every validation."""
        loss, wrong = self.losses(batch, "validation", index)
        size = len(loss)
        self.log("val/loss", loss.mean(), prog_bar=True, batch_size=size, sync_dist=True)
        self.log("val/wrong", wrong.mean(), prog_bar=True, batch_size=size, sync_dist=True)

    def configure_optimizers(self) -> Any:
        optimiser = self.optimiser.build_for(self.model)
        steps = max(int(self.trainer.estimated_stepping_batches), 1)
        schedule = self.optimiser.schedule(optimiser, steps)
        return {"optimizer": optimiser, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}
