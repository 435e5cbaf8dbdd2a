"""Training of a predictor: one call of the network gives the clean spectrogram.

With X^ the prediction and X the clean spectrogram, both compressed and divided by the codec's factor, and x^ and x the
waves,

    loss = mean |X^ - X|^2 + w_m mean (|X^| - |X|)^2 + w_x mean |x^ - x| + w_c (1 - C(x^, x)).

The magnitude term keeps the loss from shrinking what it cannot place in phase; the term on waves looks through the
codec; C is the correlation of third-octave envelopes that ESTOI takes (`polyscore.audio.losses`).
"""

from __future__ import annotations

import math

import torch
from lightning.pytorch import LightningModule
from torch import Tensor, nn

from polyscore.audio.codec import SpectrogramCodec
from polyscore.audio.losses import SEGMENT, band_correlation, third_octaves
from polyscore.audio.metrics import si_sdr
from polyscore.audio.pipeline import SpeechEnhancer

__all__ = ["PredictorTraining"]


class PredictorTraining(LightningModule):
    """Train `network`, a map of noisy spectrograms (B, F, T), compressed by `codec`, to clean ones.

    Adam with a linear warm-up over `warmup` steps and a cosine that falls to `floor` times `learning_rate` at the last
    step (the trainer's `max_steps`). `start` names a saved enhancer whose weights training starts from (fine-tuning);
    without it they are random. Batches are `{"clean": (B, L), "noisy": (B, L)}`. Logs `train/loss`, `val/loss`
    and `val/si_sdr_gain` in dB.
    """

    bands: Tensor

    def __init__(
        self,
        network: nn.Module,
        learning_rate: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.99),
        *,
        floor: float = 0.03,
        warmup: int = 100,
        magnitude_weight: float = 0.25,
        wave_weight: float = 0.1,
        correlation_weight: float = 0.0,
        start: str | None = None,
        codec: SpectrogramCodec = SpectrogramCodec(),  # noqa: B008
        sample_rate: int = 16000,
    ) -> None:
        super().__init__()
        self.network, self.codec, self.sample_rate = network, codec, sample_rate
        self.unit = codec.factor if codec.transform != "none" else 1.0
        self.learning_rate, self.betas, self.floor, self.warmup = learning_rate, betas, floor, warmup
        self.magnitude_weight, self.wave_weight = magnitude_weight, wave_weight
        self.correlation_weight = correlation_weight
        self.segment = round(SEGMENT * sample_rate / codec.hop)
        self.register_buffer("bands", third_octaves(codec.bins, sample_rate), persistent=False)
        if start is not None:
            network.load_state_dict(SpeechEnhancer.from_pretrained(start).model.state_dict())

    @property
    def enhancer(self) -> SpeechEnhancer:
        """What `polyscore enhance` runs: the network with its codec and rate (`ExportModel(part="enhancer")` saves it)."""
        return SpeechEnhancer(self.network, codec=self.codec, sample_rate=self.sample_rate)

    def forward(self, noisy: Tensor) -> Tensor:
        """Noisy waves (B, L) to predicted clean ones."""
        return self.codec.decode(self.network(self.codec.encode(noisy)), noisy.shape[-1])

    def losses(self, batch: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """The loss of every pair, unreduced, shape (B,), and the predicted waves (B, L)."""
        target = self.codec.encode(batch["clean"])
        found = self.network(self.codec.encode(batch["noisy"]))
        wave = self.codec.decode(found, batch["clean"].shape[-1])
        found, target = found / self.unit, target / self.unit
        difference = found - target
        spectral = _power(difference)
        magnitude = (_size(found) - _size(target)).square()
        per_pair = (spectral + self.magnitude_weight * magnitude).mean(dim=(1, 2))
        per_pair = per_pair + self.wave_weight * (wave - batch["clean"]).abs().mean(dim=1)
        if self.correlation_weight:
            powers = [_power(self.codec.stft(signal)) for signal in (wave, batch["clean"])]
            correlation = band_correlation(powers[0], powers[1], self.bands, frames=self.segment)
            per_pair = per_pair + self.correlation_weight * (1 - correlation)
        return per_pair, wave

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

    def configure_optimizers(self) -> dict[str, object]:  # type: ignore[override]
        optimizer = torch.optim.Adam(self.network.parameters(), self.learning_rate, self.betas)
        total = max(int(self.trainer.estimated_stepping_batches), 1)

        def rate(step: int) -> float:
            start = min((step + 1) / self.warmup, 1.0) if self.warmup else 1.0
            return start * (self.floor + (1 - self.floor) * 0.5 * (1 + math.cos(math.pi * min(step / total, 1.0))))

        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, rate)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def _power(spec: Tensor) -> Tensor:
    return spec.real.square() + spec.imag.square()


def _size(spec: Tensor) -> Tensor:
    return (_power(spec) + 1e-10).sqrt()
