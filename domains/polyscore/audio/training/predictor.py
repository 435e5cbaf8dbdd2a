"""Training of a predictor: one call of the network gives the clean spectrogram, compared by `Reconstruction`."""

from __future__ import annotations

from typing import Any

from lightning.pytorch import LightningModule
from torch import Tensor, nn

from polyscore.audio.metrics import si_sdr
from polyscore.audio.pipeline import SpeechEnhancer
from polyscore.audio.training.reconstruction import Reconstruction
from polyscore.audio.training.speech import begin
from polyscore.training.optimiser import AdamW

__all__ = ["PredictorTraining"]


class PredictorTraining(LightningModule):
    """Train `network`, a map of noisy spectrograms (B, F, T), compressed by the loss's codec, to clean ones.

    Batches are `{"clean": (B, L), "noisy": (B, L)}`. Logs `train/loss`, `val/loss` and `val/si_sdr_gain` in dB.

    Args:
        network: the predictor.
        loss: what is compared; its codec and sample rate are the enhancer's.
        start: a saved enhancer whose weights training starts from (fine-tuning); without it they are random.
        optimiser: optimiser and learning rate.

    Raises:
        ConfigError: weights to start from that do not fit.
    """

    def __init__(
        self,
        network: nn.Module,
        loss: Reconstruction = Reconstruction(),  # noqa: B008
        *,
        start: str | None = None,
        optimiser: AdamW = AdamW(1e-3, (0.9, 0.99), warmup=100, decay="cosine", floor=0.03),  # noqa: B008
    ) -> None:
        super().__init__()
        self.network, self.loss, self.optimiser = network, loss, optimiser
        if start is not None:
            begin(network, SpeechEnhancer.from_pretrained(start).model, start)

    @property
    def enhancer(self) -> SpeechEnhancer:
        """What `polyscore enhance` runs: the network with its codec and rate (`ExportModel(part="enhancer")` saves it)."""
        return SpeechEnhancer(self.network, codec=self.loss.codec, sample_rate=self.loss.sample_rate)

    def forward(self, noisy: Tensor) -> Tensor:
        """Noisy waves (B, L) to predicted clean ones."""
        codec = self.loss.codec
        return codec.decode(self.network(codec.encode(noisy)), noisy.shape[-1])

    def losses(self, batch: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """The loss of every pair, unreduced, shape (B,), and the predicted waves (B, L)."""
        codec, clean = self.loss.codec, batch["clean"]
        return self.loss.compare(self.network(codec.encode(batch["noisy"])), codec.encode(clean), clean)

    def training_step(self, batch: dict[str, Tensor], index: int) -> Tensor:
        loss = self.losses(batch)[0].mean()
        self.log("train/loss", loss, prog_bar=True)
        return loss

    def validation_step(self, batch: dict[str, Tensor], index: int) -> None:
        loss, wave = self.losses(batch)
        gain = si_sdr(wave, batch["clean"]) - si_sdr(batch["noisy"], batch["clean"])
        size = len(loss)
        self.log("val/loss", loss.mean(), prog_bar=True, batch_size=size, sync_dist=True)
        self.log("val/si_sdr_gain", gain.mean(), prog_bar=True, batch_size=size, sync_dist=True)

    def configure_optimizers(self) -> Any:
        optimiser = self.optimiser.build(self.network.parameters())
        steps = max(int(self.trainer.estimated_stepping_batches), 1)
        schedule = self.optimiser.schedule(optimiser, steps)
        return {"optimizer": optimiser, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}
