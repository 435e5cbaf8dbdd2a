r"""Training of registration on pairs whose motion H_0 is known.

    matches (GlobalRegistration):   cross-entropy of the matches of H_t x_i, and of the same without place (t = 1), against
                                    p_ij ~ exp(-|H_0 x_i - y_j|^2 / 2 spread^2), where H_t ends in a uniform rotation;
    points (Registration):          |H x_i - H_0 x_i|_1 of the motion H found for H_t x, and of the one found for x itself, where
                                    H_t ends in the identity: the loss of DiffusionReg.

Matches are learned far faster than motions: every anchor of every pair is a label, and the gradient does not pass through a
least- squares fit of mostly wrong matches.

Source of the second: Jiang et al. 2023 (DiffusionReg), arXiv 2310.17359.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from polyscore.denoisers import Prediction
from polyscore.errors import ConfigError
from polyscore.lie import transform
from polyscore.noise import NoiseLike
from polyscore.processes import Rigid
from polyscore.shapes.global_registration import GlobalRegistration, MatchedMotion
from polyscore.shapes.metrics import rotation_error
from polyscore.shapes.registration import Clouds, Registration, RemainingMotion
from polyscore.state import NONE, Given
from polyscore.training import ScoreTraining, TimeDensity, Uniform
from polyscore.training.batches import Batch, as_batch
from polyscore.training.optimiser import AdamW

__all__ = ["MatchLoss", "PointLoss", "RegistrationTraining"]


@dataclass(frozen=True)
class MatchLoss:
    """Cross-entropy (B, n) of the matches of each anchor, at H_t and without place.

    Args:
        spread: of the true match, in the network's unit: about half the distance between anchors.
    """

    spread: float = 0.08

    def __call__(
        self, denoiser: MatchedMotion, process: Rigid, x0: Tensor, *, t: Tensor, given: Given = NONE, noise: NoiseLike = 0
    ) -> Tensor:
        """`x0` (B, 4, 4), `t` (B,), `given.y` the end points, `given.cond` the `Clouds`."""
        x = process.perturb(x0, t, given=given, noise=noise).x
        network, clouds = denoiser.network, denoiser.features(given.cond)
        truth = transform(x0, clouds.source[:, : network.source_anchors])
        square = torch.cdist(truth, clouds.target[:, : network.target_anchors]).square()
        label = (-0.5 * square / self.spread**2).softmax(-1)
        shown = [denoiser.logits(x, time, clouds).log_softmax(-1) for time in (t, torch.ones_like(t))]
        loss: Tensor = -(label * (shown[0] + shown[1]) / 2).sum(-1)
        return loss


@dataclass(frozen=True)
class PointLoss:
    """The L1 distance (B, N, 3) of the source's points from where they belong, noised and not: the two are added."""

    def __call__(
        self, denoiser: Any, process: Rigid, x0: Tensor, *, t: Tensor, given: Given = NONE, noise: NoiseLike = 0
    ) -> Tensor:
        """`x0` (B, 4, 4), `t` (B,), `given.cond` the `Clouds`; the process ends in the identity."""
        own = given._replace(y=None)
        start = torch.eye(4).to(x0).expand_as(x0)
        source = given.cond.source
        truth = transform(x0, source)
        x = process.perturb(x0, t, given=own, noise=noise).x
        loss = torch.zeros_like(truth)
        for state, time in ((x, t), (start, torch.ones_like(t))):
            found: Prediction = denoiser(state, time, own)
            loss = loss + (transform(found.x0, source) - truth).abs()
        return loss


@dataclass(frozen=True)
class _Remaining(RemainingMotion):
    """The published denoiser beside its process."""

    process: Rigid


class RegistrationTraining(ScoreTraining):
    """Trains a `GlobalRegistration` (with `MatchLoss`) or a `Registration` (with `PointLoss`) on the pairs of `PairsData`.

    Logs, beside the losses, `val/rotation`: the median rotation error in degrees of one call at t = 1, without samples or polish.

    Args:
        model: what is trained and exported.
        objective: the loss; by default the model's own.
        times: the density of t.
        optimiser: optimiser and learning rate.
        seed: of all draws.

    Raises:
        ConfigError: an objective of the other model.
    """

    def __init__(
        self,
        model: GlobalRegistration | Registration,
        objective: MatchLoss | PointLoss | None = None,
        times: TimeDensity = Uniform(),  # noqa: B008
        *,
        optimiser: AdamW = AdamW(),  # noqa: B008
        seed: int = 0,
    ) -> None:
        matches = isinstance(model, GlobalRegistration)
        chosen: Any = (MatchLoss() if matches else PointLoss()) if objective is None else objective
        if isinstance(chosen, MatchLoss) != matches:
            raise ConfigError(f"RegistrationTraining: a {type(chosen).__name__} for a {type(model).__name__}; expected the other")
        super().__init__(model, chosen, times, optimiser=optimiser, seed=seed, to_batch=_batch)
        self._errors: list[Tensor] = []

    @property
    def denoiser(self) -> Any:
        """What is trained, with its process."""
        model: Any = self.model
        return model.denoiser if isinstance(model, GlobalRegistration) else _Remaining(model.network, model.process)

    def validation_step(self, batch: Any, index: int) -> None:
        """The loss, and the rotation error of one call."""
        super().validation_step(batch, index)
        x0, given, _ = self.to_batch(batch)
        assert isinstance(x0, Tensor)
        start = given.y if isinstance(self.model, GlobalRegistration) else torch.eye(4).to(x0).expand_as(x0)
        found = self.denoiser(start, 1.0, given).x0
        self._errors.append(rotation_error(found[:, :3, :3].double(), x0[:, :3, :3].double()))

    def on_validation_epoch_end(self) -> None:
        """Log the median error."""
        if self._errors:
            self.log("val/rotation", torch.cat(self._errors).median().float(), sync_dist=True)
            self._errors.clear()


def _batch(batch: Any) -> Batch:
    read = as_batch(batch)
    return read._replace(given=read.given._replace(cond=Clouds(**read.given.cond)))
