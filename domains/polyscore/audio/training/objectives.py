r"""Losses of the published enhancers in their own conventions, as objectives of `polyscore.training`.

With x_t = a x0 + b y + s z, sums over the entries of a spectrogram, and the mean over the batch taken by the trainer:

    system                          loss of a sample                                     here
    SGMSE+, score                   1/2 sum |s score + z|^2                              HalfSum(ScoreMatching(Variance()))
    SGMSE+, denoiser                1/2 sum w |mean - (a x0 + b y)|^2                    HalfSum(MeanLoss(w))
    SGMSE+, bridge                  1/2 mean |x0hat - x0|^2 + w_l l1 + w_p PESQ          DataPrediction()
    StoRM, joint                    (1 - w) score loss + w 1/2 sum |D - x0|^2            HalfSum(Regeneration(ScoreMatching(...)))
    FlowSE                          mean |v - vhat|^2                                    FlowMatching()
    ResShift, RDDM, Resfusion       mean |x0hat - x0|^2                                  X0Loss()

w is 1, `Variance` (s^2) or `StateEDMWeight`. A sum and a mean differ by a factor, which Adam does not see and the clipping of
gradients does. StoRM summed its score loss over the batch, too: the trainer's mean over samples takes its place, so that
the learning rate does not depend on the batch size.

Sources: Richter et al. 2023, arXiv 2208.05830, and 2024, arXiv 2409.10753 (SGMSE+); Jukic et al. 2024, arXiv 2407.16074 (bridge);
Lemercier et al. 2023, arXiv 2212.11851 (StoRM); Lee et al. 2025, arXiv 2505.19476 (FlowSE).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor

from polyscore.audio.codec import SpectrogramCodec
from polyscore.audio.losses import half_l1
from polyscore.audio.training.reconstruction import pesq_loss
from polyscore.denoisers import Denoiser
from polyscore.errors import ConfigError
from polyscore.noise import NoiseLike
from polyscore.processes import GaussianProcess
from polyscore.state import NONE, Given, State, Time
from polyscore.training.objectives import Objective, X0Loss
from polyscore.training.weightings import ConstantWeight, Weighting

__all__ = ["DataPrediction", "HalfSum", "MeanLoss", "Regeneration", "StateEDMWeight"]


@dataclass(frozen=True)
class StateEDMWeight(Weighting):
    """w = (s^2 + sd^2) / (s sd)^2: EDM's weight with the noise in the state, s, where Karras has s / a."""

    sigma_data: float = 0.1

    def __call__(self, process: GaussianProcess, t: Tensor) -> Tensor:
        variance = process.coefs_of(t).s ** 2
        return (variance + self.sigma_data**2) / (variance * self.sigma_data**2)


@dataclass(frozen=True)
class MeanLoss(Objective):
    """w |a x0 + b y - mean|^2: SGMSE's "denoiser" loss, whose target is the mean of the process and not x0."""

    weight: Weighting = field(default_factory=ConstantWeight)

    def scale(self, process: GaussianProcess, t: Tensor) -> Tensor:
        return process.coefs_of(t).a


class _Around(Objective):
    """An objective made of another one, in its space and with its weight."""

    objective: Objective

    @property
    def weight(self) -> Weighting:  # type: ignore[override]
        return self.objective.weight

    def scale(self, process: GaussianProcess, t: Tensor) -> Tensor:
        return self.objective.scale(process, t)


@dataclass(frozen=True)
class HalfSum(_Around):
    """Half the sum over the entries of a sample, (B, 1), of a loss that comes by entries."""

    objective: Objective

    def __call__(self, denoiser: Denoiser, process: Any, x0: State, *, t: Time, given: Given = NONE, noise: NoiseLike = 0) -> Any:
        """The loss of every sample."""
        loss = self.objective(denoiser, process, x0, t=t, given=given, noise=noise)
        return 0.5 * loss.flatten(1).sum(dim=1, keepdim=True)


@dataclass(frozen=True)
class Regeneration(_Around):
    """StoRM's joint loss: (1 - share) of `objective`, and `share` of the predictor's distance from x0, D = given.y.

    The estimate is in the graph, so that both parts train the predictor; with the predictor fixed the second one is a constant.
    Where the objective's loss comes by samples (B, 1) the distance does, too, as a mean.

    Args:
        objective: of the diffusion.
        share: w, `weighting_denoiser_to_score` of the original.
        distance: "mse" for |D - x0|^2, "mae" for |D - x0|.

    Raises:
        ConfigError: a share outside [0, 1], or another distance.
    """

    objective: Objective
    share: float = 0.5
    distance: Literal["mse", "mae"] = "mse"

    def __post_init__(self) -> None:
        if not 0 <= self.share <= 1 or self.distance not in ("mse", "mae"):
            raise ConfigError(f"Regeneration: share {self.share}, distance {self.distance!r}; expected 0 to 1, 'mse' or 'mae'")

    def __call__(self, denoiser: Denoiser, process: Any, x0: State, *, t: Time, given: Given = NONE, noise: NoiseLike = 0) -> Any:
        """The loss of every entry."""
        loss: Tensor = self.objective(denoiser, process, x0, t=t, given=given, noise=noise)
        error: Tensor = given.y - x0
        apart = error.abs() if self.distance == "mae" else torch.view_as_real(error).square().sum(-1)
        if loss.ndim < apart.ndim:
            apart = apart.flatten(1).mean(dim=1, keepdim=True)
        return (1 - self.share) * loss + self.share * apart


@dataclass(frozen=True)
class DataPrediction(X0Loss):
    """The bridge's loss: 1/2 mean |x0hat - x0|^2, 1/2 mean of the waves' distance, and PESQ, of spectrograms (B, 1, F, T).

    The waves have (T - 1) hop samples. `codec` and `sample_rate` are those of the enhancer. The published bridges have l1_weight
    0.001 and, where PESQ is trained, pesq_weight 5e-4.
    """

    l1_weight: float = 0.001
    pesq_weight: float = 0.0
    codec: SpectrogramCodec = SpectrogramCodec()
    sample_rate: int = 16000

    def __call__(self, denoiser: Denoiser, process: Any, x0: State, *, t: Time, given: Given = NONE, noise: NoiseLike = 0) -> Any:
        """The loss of every sample, (B, 1)."""
        assert isinstance(x0, Tensor)
        found = denoiser(process.perturb(x0, t, given=given, noise=noise).x, t, given).x0
        loss = 0.5 * self.entries(process, x0, found, t).flatten(1).mean(dim=1)  # type: ignore[arg-type]
        if self.l1_weight or self.pesq_weight:
            length = (x0.shape[-1] - 1) * self.codec.hop
            wave, clean = (self.codec.decode(spec[:, 0], length) for spec in (found, x0))
            if self.l1_weight:
                loss = loss + self.l1_weight * half_l1(wave, clean)
            if self.pesq_weight:
                loss = loss + self.pesq_weight * pesq_loss(self.sample_rate)(wave, clean)
        return loss[:, None]
