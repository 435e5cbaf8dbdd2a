"""Denoising score matching on graphs, with the original's sums (Jo et al. 2022, arXiv 2202.02514).

    L_v = 1/2 sum (s score_v + z_v)^2          reduce="sum": over all entries of leaf v of a graph, every edge twice
    L_v = mean (s score_v + z_v)^2             reduce="mean": over all N F (N N) entries, padding included

With likelihood weighting (score + z / s)^2 g^2 takes the place of (s score + z)^2 (Song et al. 2021, arXiv 2101.09258).

A `CategoricalDenoiser` learns by the cross-entropy of the categories, summed over the nodes and the pairs of a graph,

    L_x = - sum_i log p(k_i | v),   L_adj = - sum_(i<j) log p(k_ij | v).

GDSS's two networks share no weights, so the sum of their losses trains each as if alone; each has a learning rate and a clipping
of its own, which one rate for both does not replace: the adjacency network gets stuck at a rate that suits the other.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn import functional

from polyscore.errors import ConfigError, InputError
from polyscore.graphs.categorical import CategoricalDenoiser
from polyscore.graphs.denoiser import GraphDenoiser, ScoreNetworks
from polyscore.graphs.pipeline import GraphGenerator
from polyscore.noise import NoiseLike
from polyscore.state import Given
from polyscore.training import ScoreTraining, Stratified, TimeDensity, Uniform
from polyscore.training.draws import SampleNoise, generator_of
from polyscore.training.optimiser import AdamW

__all__ = ["CategoricalTraining", "GraphTraining", "OnGraphs", "category_losses", "score_losses"]


def score_losses(
    denoiser: GraphDenoiser,
    x0: Mapping[str, Tensor],
    t: Tensor,
    *,
    mask: Tensor,
    noise: NoiseLike,
    reduce: Literal["sum", "mean"] = "sum",
    likelihood: bool = False,
) -> dict[str, Tensor]:
    """The loss of both leaves, one number a graph, (B,).

    Args:
        denoiser: networks and processes.
        x0: data {"x": (B, N, F), "adj": (B, N, N)}.
        t: times (B,) in (0, 1], float64.
        mask: (B, N), 1 where a node exists.
        noise: a noise source or seeds.
        reduce: what is done with the entries of a graph.
        likelihood: weight by g^2.
    """
    given = Given(mask=mask)
    perturbed: Any = denoiser.process.perturb(x0, t, given=given, noise=noise)
    scores, losses = denoiser.score(perturbed.x, t, given), {}
    for name, score in scores.items():
        process: Any = denoiser.process[name]
        s = process.coefs_of(t).s.to(score).view(-1, 1, 1)
        error = s * score + perturbed.eps[name]
        weight = process.rates(t).g2.to(score).view(-1, 1, 1) / s**2 if likelihood else 1.0
        squares = (weight * error.square()).flatten(1)
        losses[name] = squares.sum(1) / 2 if reduce == "sum" else squares.mean(1)
    return losses


def category_losses(
    denoiser: CategoricalDenoiser, x0: Mapping[str, Tensor], t: Tensor, *, mask: Tensor, noise: NoiseLike
) -> dict[str, Tensor]:
    """The cross-entropy in nats of both leaves, one number a graph, (B,); arguments as those of `score_losses`."""
    given = Given(mask=mask)
    perturbed: Any = denoiser.process.perturb(x0, t, given=given, noise=noise)
    nodes, edges, table = denoiser.logits(perturbed.x, t, given)
    levels = edges.new_tensor(denoiser.levels)
    order = (table.read(x0["adj"]).unsqueeze(-1) - levels).abs().argmin(-1)
    both = table.read(mask.unsqueeze(2) * mask.unsqueeze(1))
    x = functional.cross_entropy(nodes.mT, x0["x"].argmax(-1), reduction="none") * mask
    adj = functional.cross_entropy(edges.mT, order, reduction="none") * both
    return {"x": x.sum(1), "adj": adj.sum(1)}


class OnGraphs(ScoreTraining, ABC):
    """Logs the losses of both leaves beside their sum; batches are `{"x0": {"x", "adj"}, "mask"}`.

    The sizes that the model draws are counted in the training data, where the data module has `facts`.
    """

    def configure_model(self) -> None:
        """Take over what the data say.

        Raises:
            ConfigError: the model is for other atoms or another number of features.
        """
        facts = getattr(getattr(self.trainer, "datamodule", None), "facts", None)
        if facts is None:
            return
        model: Any = self.model
        if (model.atoms, model.features) != (facts.atoms, facts.features):
            raise ConfigError(
                f"{type(self).__name__}: the model has {model.features} features for the atoms {model.atoms}, the data have "
                f"{facts.features} for {facts.atoms}; set both alike, or let TransformerTraining make the model from the data"
            )
        model.sizes = facts.sizes

    @abstractmethod
    def parts(self, x0: Mapping[str, Tensor], t: Tensor, *, mask: Tensor, noise: NoiseLike) -> dict[str, Tensor]:
        """The losses of the leaves, each (B,)."""

    def losses(self, batch: Any, times: TimeDensity, *key: int | str) -> tuple[Tensor, Tensor]:
        """The summed loss of every graph and its time, each (B,), with draws named by `key`."""
        x0, given, _ = self.to_batch(batch)
        if not isinstance(x0, Mapping) or given.mask is None:
            raise InputError(f"{type(self).__name__}: expected batches with leaves x and adj, and a mask of nodes")
        world, rank = (1, 0) if self._trainer is None else (self.trainer.world_size, self.global_rank)
        whole = len(x0["x"]) * world
        t = times.sample(whole, generator_of(self.seed, "times", *key), self.denoiser.process["x"])[rank::world]
        noise = SampleNoise((self.seed, "noise", *key), range(rank, whole, world))
        parts = self.parts(x0, t, mask=given.mask, noise=noise)
        if self._trainer is not None:
            stage = "val" if isinstance(times, Stratified) and key[0] == "validation" else "train"
            for name, part in parts.items():
                self.log(f"{stage}/loss_{name}", part.mean(), batch_size=len(part), sync_dist=stage == "val")
        return sum(parts.values(), torch.zeros(())), t


class CategoricalTraining(OnGraphs):
    """Trains the `CategoricalDenoiser` of a `GraphGenerator`; the whole generator is exported.

    Args:
        model: what is trained.
        times: the density of t.
        optimiser: optimiser and learning rate.
        seed: of all draws.

    Raises:
        ConfigError: the model's denoiser is of another kind.
    """

    def __init__(
        self,
        model: GraphGenerator,
        times: TimeDensity = Uniform(),  # noqa: B008
        *,
        optimiser: AdamW = AdamW(),  # noqa: B008
        seed: int = 0,
    ) -> None:
        super().__init__(model, times=times, optimiser=optimiser, seed=seed)
        if not isinstance(model.denoiser, CategoricalDenoiser):
            found = type(model.denoiser).__name__
            raise ConfigError(f"CategoricalTraining: the denoiser is a {found}, expected a CategoricalDenoiser")

    def parts(self, x0: Mapping[str, Tensor], t: Tensor, *, mask: Tensor, noise: NoiseLike) -> dict[str, Tensor]:
        """`category_losses`."""
        return category_losses(self.denoiser, x0, t, mask=mask, noise=noise)


class GraphTraining(OnGraphs):
    """Trains the two networks of a `GraphGenerator`; the whole generator is exported.

    Batches are `{"x0": {"x": (B, N, F), "adj": (B, N, N)}, "mask": (B, N)}`. Logs the losses of both leaves beside their sum.

    Args:
        model: what is trained.
        times: the density of t.
        optimiser: of the network of node features.
        optimiser_adj: of that of the adjacency; its warm-up and decay are its own.
        reduce: "sum" as published, or "mean".
        clip: largest norm of the gradient of each network.
        seed: of all draws.

    Raises:
        ConfigError: the model's network is not a pair of networks.
    """

    def __init__(
        self,
        model: GraphGenerator,
        times: TimeDensity = Uniform(),  # noqa: B008
        *,
        optimiser: AdamW = AdamW(),  # noqa: B008
        optimiser_adj: AdamW = AdamW(),  # noqa: B008
        reduce: Literal["sum", "mean"] = "sum",
        clip: float = 1.0,
        seed: int = 0,
    ) -> None:
        super().__init__(model, times=times, optimiser=optimiser, seed=seed)
        if not isinstance(model.denoiser.network, ScoreNetworks):
            raise ConfigError(f"GraphTraining: the network is a {type(model.denoiser.network).__name__}, expected ScoreNetworks")
        self.optimiser_adj, self.reduce, self.clip = optimiser_adj, reduce, clip

    @property
    def _networks(self) -> Any:
        model: Any = self.model
        return model.denoiser.network

    def parts(self, x0: Mapping[str, Tensor], t: Tensor, *, mask: Tensor, noise: NoiseLike) -> dict[str, Tensor]:
        """`score_losses`."""
        return score_losses(self.denoiser, x0, t, mask=mask, noise=noise, reduce=self.reduce)

    def configure_gradient_clipping(self, *args: Any, **settings: Any) -> None:
        """Each network by itself, whatever the trainer's setting."""
        for part in (self._networks.x, self._networks.adj):
            torch.nn.utils.clip_grad_norm_(part.parameters(), self.clip)

    def configure_optimizers(self) -> Any:
        chosen = [(self.optimiser, self._networks.x), (self.optimiser_adj, self._networks.adj)]
        if any(part.decay != "constant" for part, _ in chosen) and self.trainer.estimated_stepping_batches == float("inf"):
            raise ConfigError("GraphTraining: a decay of the rate needs an end; set trainer.max_steps or trainer.max_epochs")
        steps = self.trainer.estimated_stepping_batches
        groups: list[dict[str, Any]] = []
        rates: list[Callable[[int], float]] = []
        for settings, part in chosen:
            built = settings.build(part.parameters())
            for group in built.param_groups:
                groups.append({key: group[key] for key in ("params", "lr", "betas", "eps", "weight_decay")})
                rates.append(partial(_factor, settings, int(steps) if steps != float("inf") else 1))
        optimiser = torch.optim.AdamW(groups)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, rates)
        return {"optimizer": optimiser, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def _factor(settings: AdamW, steps: int, n: int) -> float:
    return settings.factor(n, steps)
