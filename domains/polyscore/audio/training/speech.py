r"""Training of every enhancer that has a process: waves in, the objective on spectrograms.

A batch {"clean": (B, L), "noisy": (B, L)} becomes x0 = codec.encode(clean) and Y = codec.encode(noisy), (B, 1, F, T), with

    y = cond = Y                          score models, bridges, flows, residual processes
    y = D, cond = Y, D or (Y, D)          StoRM, with D = predictor(Y) (`polyscore.audio.storm`)

and the rest is `polyscore.training.ScoreTraining`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from polyscore.audio.codec import pad_frames
from polyscore.audio.metrics import si_sdr
from polyscore.audio.networks.dualpath import DualPathNet
from polyscore.audio.networks.dualpath_refiner import DualPathRefiner
from polyscore.audio.pipeline import SpeechEnhancer
from polyscore.audio.storm import StochasticRegeneration
from polyscore.errors import ConfigError, InputError
from polyscore.noise import Silent
from polyscore.training.batches import Batch
from polyscore.training.module import ScoreTraining
from polyscore.training.objectives import Objective
from polyscore.training.optimiser import AdamW
from polyscore.training.times import TimeDensity, Uniform

__all__ = ["Spectrograms", "SpeechTraining"]


@dataclass(frozen=True)
class Spectrograms:
    """Batches of waves to what an enhancer's denoiser is trained on (module docstring)."""

    enhancer: SpeechEnhancer

    def __call__(self, batch: Any) -> Batch:
        """`{"clean": (B, L), "noisy": (B, L)}` to spectrograms (B, 1, F, T).

        Raises:
            InputError: a batch of something else.
        """
        if not isinstance(batch, dict) or not {"clean", "noisy"} <= set(batch):
            found = f"a dict of {', '.join(map(str, batch))}" if isinstance(batch, dict) else f"a {type(batch).__name__}"
            raise InputError(f"SpeechTraining: the batch is {found}; expected waves {{'clean': (B, L), 'noisy': (B, L)}}")
        clean, noisy = (self.encode(batch[name]) for name in ("clean", "noisy"))
        return Batch(clean, self.enhancer.model.given(noisy))  # type: ignore[operator]

    def encode(self, wave: Tensor) -> Tensor:
        """Waves (B, L) to spectrograms (B, 1, F, T) as the enhancer sees them."""
        enhancer = self.enhancer
        assert enhancer.codec is not None
        return pad_frames(enhancer.codec.encode(wave), enhancer.frame_multiple, enhancer.frame_padding)[:, None]


class SpeechTraining(ScoreTraining):
    """Trains the denoiser of `enhancer` (module docstring).

    Logs `train/loss`, `val/loss` and `lr` as `ScoreTraining` does and, in validation, `val/si_sdr_gain`: the dB gained by one
    call at t = 1, and for StoRM `val/predictor_si_sdr_gain`, those of its predictor.

    Args:
        enhancer: with a codec and a denoiser (`SpectrogramDenoiser`, `StochasticRegeneration`, `ConsistencyModel`); what
            `ExportModel` saves.
        objective: the loss (`polyscore.audio.training.objectives`).
        times: the density of t; the published score models have 0.03 to 1.
        start: a saved enhancer whose weights training starts from (`begin`).
        predictor: what becomes of StoRM's predictor: "joint" trains it with the rest, "fixed" leaves it as it is.
        optimiser: optimiser and learning rate; Adam at 1e-4 in the papers.
        seed: of all draws.

    Raises:
        ConfigError: an enhancer without a denoiser or codec, a loss with another codec or sample rate than it, weights to start
            from that do not fit, or a predictor to fix that is not there.
    """

    def __init__(
        self,
        enhancer: SpeechEnhancer,
        objective: Objective,
        times: TimeDensity = Uniform(t_min=0.03),  # noqa: B008
        *,
        start: str | None = None,
        predictor: Literal["joint", "fixed"] = "joint",
        optimiser: AdamW = AdamW(1e-4, (0.9, 0.999)),  # noqa: B008
        seed: int = 0,
    ) -> None:
        if enhancer.codec is None or not hasattr(enhancer.model, "process"):
            raise ConfigError("SpeechTraining: the enhancer has no codec or no process; expected a denoiser of spectrograms")
        _check_codec(objective, enhancer)
        super().__init__(enhancer, objective, times, optimiser=optimiser, seed=seed, to_batch=Spectrograms(enhancer))
        if start is not None:
            begin(enhancer.model, SpeechEnhancer.from_pretrained(start).model, start)
        if predictor == "fixed":
            if not isinstance(enhancer.model, StochasticRegeneration):
                raise ConfigError("SpeechTraining: predictor is 'fixed', but there is none; expected a StochasticRegeneration")
            enhancer.model.predictor.requires_grad_(False)

    @property
    def enhancer(self) -> SpeechEnhancer:
        """What `polyscore enhance` runs (`ExportModel` with `part: enhancer`)."""
        assert isinstance(self.model, SpeechEnhancer)
        return self.model

    def validation_step(self, batch: Any, index: int) -> None:
        super().validation_step(batch, index)
        _, given, _ = self.to_batch(batch)
        assert self.enhancer.codec is not None
        clean, noisy = batch["clean"], batch["noisy"]
        one = torch.ones(len(clean), dtype=torch.float64)
        start = self.denoiser.process.prior(given.y, given=given, noise=Silent())
        found = {"val/si_sdr_gain": self.denoiser(start, one, given).x0}
        if isinstance(self.enhancer.model, StochasticRegeneration):
            found["val/predictor_si_sdr_gain"] = given.y
        for name, spec in found.items():
            wave = self.enhancer.codec.decode(spec[:, 0], clean.shape[-1])
            gain = si_sdr(wave, clean) - si_sdr(noisy, clean)
            self.log(name, gain.mean(), prog_bar=True, batch_size=len(gain), sync_dist=True)


def _check_codec(objective: object, enhancer: SpeechEnhancer) -> None:
    """A loss that looks at waves has the enhancer's codec and rate."""
    while hasattr(objective, "objective"):
        objective = objective.objective
    for name in ("codec", "sample_rate"):
        wanted = getattr(enhancer, name)
        found = getattr(objective, name, wanted)
        if found != wanted:
            raise ConfigError(
                f"SpeechTraining: {type(objective).__name__} has {name} {found}; expected the enhancer's, {wanted} "
                f"(give it as objective.init_args.{name}, too)"
            )


def begin(model: nn.Module, source: nn.Module, name: str) -> None:
    """Give `model` the weights of `source`: all of them, or, of a predictor to a StoRM model, those of its predictor.

    A `DualPathRefiner` on top takes over the predictor's inner weights, too (`DualPathRefiner.start_from`).

    Raises:
        ConfigError: the weights do not fit.
    """
    into: nn.Module = model
    if isinstance(model, StochasticRegeneration) and not isinstance(source, StochasticRegeneration):
        into = model.predictor
        network = model.denoiser.network
        if isinstance(network, DualPathRefiner) and isinstance(source, DualPathNet):
            network.start_from(source, 1 if model.condition in ("noisy", "both") else network.inputs - 1)
    try:
        into.load_state_dict(source.state_dict())
    except RuntimeError as error:
        raise ConfigError(f"SpeechTraining: start {name}: its weights do not fit {type(into).__name__}: {error}") from error
