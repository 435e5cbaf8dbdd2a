"""What an enhancer in training does to recordings of validation: scores, waves and spectrograms."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

from polyscore.audio.io import AudioFormat, resample, write
from polyscore.audio.metrics import estoi, pesq, si_sdr
from polyscore.audio.spectrogram_plot import draw_before_after
from polyscore.errors import ConfigError
from polyscore.training.export import evaluated

__all__ = ["SpeechPreview"]

PESQ_RATE = 16000  # Hz


class SpeechPreview(Callback):
    """Every n epochs, enhance the first recordings of validation as `polyscore enhance` does.

    Logs the means of `enhanced/si_sdr` and `enhanced/si_sdr_gain` (dB), `enhanced/estoi` and, with the package pesq,
    `enhanced/pesq`. Of the first `keep` recordings it leaves the noisy, the enhanced and the clean wave and, with matplotlib, the
    spectrograms before and after, in `previews/epoch-0010/`. Averaged weights are used where there are some, and seeds are fixed:
    the scores of a run differ by the model alone.

    Args:
        count: recordings that are scored; the data module's `examples(count)` gives them.
        every_n_epochs: how often.
        keep: of how many the waves are written.
        preset: of the enhancer; predictors have one.

    Raises:
        ConfigError: a module without an `enhancer`, or data without `examples`.
    """

    def __init__(self, count: int = 8, every_n_epochs: int = 10, *, keep: int = 3, preset: str = "fast") -> None:
        self.count, self.every_n_epochs, self.keep, self.preset = count, every_n_epochs, keep, preset

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        if not hasattr(pl_module, "enhancer") or not hasattr(trainer.datamodule, "examples"):  # type: ignore[attr-defined]
            raise ConfigError(
                f"SpeechPreview: {type(pl_module).__name__} has no enhancer or its data no examples; take it out of the callbacks"
            )

    @torch.no_grad()
    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if (trainer.current_epoch + 1) % self.every_n_epochs or not trainer.is_global_zero:
            return
        with evaluated(trainer, pl_module) as module:
            scores = self._enhance(trainer, module.enhancer)
        for name, value in scores.items():
            pl_module.log(f"enhanced/{name}", value, rank_zero_only=True, batch_size=self.count)

    def _enhance(self, trainer: Trainer, enhancer: Any) -> dict[str, float]:
        rate = enhancer.sample_rate
        folder = Path(trainer.default_root_dir) / "previews" / f"epoch-{trainer.current_epoch + 1:04d}"
        found: list[dict[str, float]] = []
        for number, (name, pair) in enumerate(trainer.datamodule.examples(self.count)):  # type: ignore[attr-defined]
            wave = enhancer.enhance(pair["noisy"], rate, preset=self.preset)
            found.append(_scores(wave, pair["clean"], pair["noisy"], rate))
            if number < self.keep:
                self._keep(folder, f"{number:02d}-{name.replace('/', '-')}", {**pair, "enhanced": wave}, rate)
        return {key: sum(row[key] for row in found) / len(found) for key in found[0]}

    def _keep(self, folder: Path, name: str, waves: dict[str, Tensor], rate: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        for kind, wave in waves.items():
            write(folder / f"{name}-{kind}.wav", wave[None], AudioFormat(rate, 1))
        if find_spec("matplotlib") is not None:
            draw_before_after(folder / f"{name}.png", waves["noisy"][None], waves["enhanced"][None], rate)


def _scores(wave: Tensor, clean: Tensor, noisy: Tensor, rate: int) -> dict[str, float]:
    scores = {
        "si_sdr": float(si_sdr(wave, clean)),
        "si_sdr_gain": float(si_sdr(wave, clean) - si_sdr(noisy, clean)),
        "estoi": float(estoi(wave, clean, rate)),
    }
    if find_spec("pesq") is not None:
        scores["pesq"] = float(pesq(*(resample(x, rate, PESQ_RATE) for x in (wave, clean))))
    return scores
