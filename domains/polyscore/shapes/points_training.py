r"""Training of clouds: `PointTraining` for a code (DPM), `ColouredPointsTraining` for the two stages of coloured clouds.

    DPM:       |eps - eps(x_t, beta_t, z)|^2 summed over the three axes' mean, plus kl (-H(q(z | x)) - log p(z)),   z ~ q(z | x)
    coloured:  |v - v(...)|^2 of the place with colour unknown, or of the colour with place known; a share of the samples each

Sources: Luo and Hu 2021, arXiv 2103.01458; Wu et al. 2023, arXiv 2308.02874.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from polyscore.errors import ConfigError
from polyscore.processes import expand
from polyscore.shapes.coloured_points import ColouredPoints
from polyscore.shapes.points import PointGenerator
from polyscore.training import ScoreTraining, TimeDensity, Uniform
from polyscore.training.draws import SampleNoise, generator_of
from polyscore.training.optimiser import AdamW

__all__ = ["ColouredPointsTraining", "PointTraining"]


class PointTraining(ScoreTraining):
    """Trains a `PointGenerator`: a variational autoencoder whose decoder is a diffusion, its flow, where there is one, as prior.

    Args:
        model: what is trained and exported.
        times: the density of t; the published one is uniform on the nodes of the table, and t is rounded up to them.
        kl: weight of the code's terms; 0 trains an autoencoder.
        optimiser: optimiser and learning rate.
        seed: of all draws.

    Raises:
        ConfigError: a model of another kind, or a negative weight.
    """

    def __init__(
        self,
        model: PointGenerator,
        times: TimeDensity = Uniform(),  # noqa: B008
        *,
        kl: float = 1e-3,
        optimiser: AdamW = AdamW(),  # noqa: B008
        seed: int = 0,
    ) -> None:
        given: object = model
        if not isinstance(given, PointGenerator) or kl < 0:
            raise ConfigError(f"PointTraining: a {type(model).__name__}, kl {kl}; expected a PointGenerator, and 0 or more")
        super().__init__(model, times=times, optimiser=optimiser, seed=seed)
        self.kl = kl

    def losses(self, batch: Any, times: TimeDensity, *key: int | str) -> tuple[Tensor, Tensor]:
        """The loss of every sample and its time, each (B,)."""
        x0 = self.to_batch(batch).x0
        model: Any = self.model
        assert isinstance(x0, Tensor)
        world, rank = (1, 0) if self._trainer is None else (self.trainer.world_size, self.global_rank)
        whole = len(x0) * world
        nodes = len(model.process)
        t = times.sample(whole, generator_of(self.seed, "times", *key), model.process)[rank::world]
        t = (t * nodes).ceil().clamp(1, nodes) / nodes
        noise = SampleNoise((self.seed, "noise", *key), range(rank, whole, world))
        mean, log_variance = model.encoder(x0)
        code = mean if self.kl == 0 else mean + (0.5 * log_variance).exp() * noise(mean)
        perturbed = model.process.perturb(x0, t, noise=noise)
        eps = model.network(perturbed.x, model.process.beta(t).to(x0), code)
        loss = (eps - perturbed.eps).square().flatten(1).mean(1)
        if self.kl > 0:
            entropy = 0.5 * (log_variance + math.log(2 * math.pi * math.e)).sum(-1)
            w, log_det = (code, 0.0) if model.flow is None else model.flow(code)
            prior = -0.5 * (w.square() + math.log(2 * math.pi)).sum(-1) + log_det
            loss = loss + self.kl * (-entropy - prior)
        return loss, t


class ColouredPointsTraining(ScoreTraining):
    """Trains a `ColouredPoints` on batches of `ColouredCloudsData`.

    Args:
        model: what is trained and exported.
        times: the density of t.
        colour: share of the samples of the second stage.
        forget: share of the samples in which each label is "not said", for classifier-free guidance.
        optimiser: optimiser and learning rate.
        seed: of all draws.

    Raises:
        ConfigError: a model of another kind, or shares outside [0, 1].
    """

    def __init__(
        self,
        model: ColouredPoints,
        times: TimeDensity = Uniform(),  # noqa: B008
        *,
        colour: float = 0.25,
        forget: float = 0.1,
        optimiser: AdamW = AdamW(),  # noqa: B008
        seed: int = 0,
    ) -> None:
        given: object = model
        if not isinstance(given, ColouredPoints) or not 0 <= colour <= 1 or not 0 <= forget <= 1:
            raise ConfigError(
                f"ColouredPointsTraining: a {type(model).__name__}, colour {colour}, forget {forget}; expected a ColouredPoints "
                "and shares from 0 to 1"
            )
        super().__init__(model, times=times, optimiser=optimiser, seed=seed)
        self.colour, self.forget = colour, forget

    def losses(self, batch: Any, times: TimeDensity, *key: int | str) -> tuple[Tensor, Tensor]:
        """The loss of every sample and its time, each (B,)."""
        x0, given, _ = self.to_batch(batch)
        model: Any = self.model
        assert isinstance(x0, Tensor)
        world, rank = (1, 0) if self._trainer is None else (self.trainer.world_size, self.global_rank)
        whole = len(x0) * world
        generator = generator_of(self.seed, "times", *key)
        t = times.sample(whole, generator, model.process)[rank::world].to(x0.device)
        second = (torch.rand(whole, generator=generator)[rank::world] < self.colour).to(x0.device)
        unsaid = (torch.rand(whole, len(model.network.labels), generator=generator)[rank::world] < self.forget).to(x0.device)
        labels = torch.where(unsaid, torch.tensor(model.network.labels, device=x0.device), given.cond["labels"])
        clean = torch.where(second[:, None, None], 2 * given.cond["rgb"] - 1, x0 / model.scale)
        noise = SampleNoise((self.seed, "noise", *key), range(rank, whole, world))
        x, eps = model.process.perturb(clean, t, noise=noise)
        a, _, s = (expand(c, t, x).to(x.dtype) for c in model.process.coefs(t))
        chosen, zero, one = second[:, None, None], torch.zeros_like(t), torch.ones_like(t)
        out = model.network(
            torch.where(chosen, x0 / model.scale, x),
            torch.where(chosen, x, torch.zeros_like(x)),
            torch.where(second, zero, t),
            torch.where(second, t, one),
            labels,
        )
        found = torch.where(chosen, out[..., 3:], out[..., :3])
        return (found - (a * eps - s * clean)).square().flatten(1).mean(1), t
