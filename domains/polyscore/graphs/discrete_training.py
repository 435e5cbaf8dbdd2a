"""Training of discrete graph diffusion by the cross-entropy of the kinds of nodes and pairs, in nats a graph.

    L = - sum_i log p(x0_i | G_t) - w sum_(i<j) log p(x0_ij | G_t)

Source: Vignac et al. 2023 (DiGress), arXiv 2209.14734.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor
from torch.nn import functional

from polyscore.errors import ConfigError
from polyscore.graphs.discrete import DiscreteGraphDenoiser, DiscreteGraphGenerator
from polyscore.graphs.training import OnGraphs
from polyscore.noise import NoiseLike
from polyscore.state import Given
from polyscore.training import TimeDensity, Uniform
from polyscore.training.optimiser import AdamW

__all__ = ["DiscreteGraphTraining", "discrete_losses"]


def discrete_losses(
    denoiser: DiscreteGraphDenoiser, x0: Mapping[str, Tensor], t: Tensor, *, mask: Tensor, noise: NoiseLike
) -> dict[str, Tensor]:
    """The cross-entropy in nats of both leaves, one number a graph, (B,).

    Args:
        denoiser: network and processes.
        x0: data {"x": (B, N, F) unit vectors, "adj": (B, N, N) levels}.
        t: times (B,) in (0, 1], float64.
        mask: (B, N), 1 where a node exists.
        noise: a noise source or seeds.
    """
    given, data = Given(mask=mask), denoiser.categories(x0["x"], x0["adj"])
    noised = denoiser.process.perturb(data, t, given=given, noise=noise).x
    nodes, edges, table = denoiser.logits(noised, t, given)
    both = table.read(mask.unsqueeze(2) * mask.unsqueeze(1))
    x = functional.cross_entropy(nodes.mT, data["x"], reduction="none") * mask
    adj = functional.cross_entropy(edges.mT, table.read(data["adj"]), reduction="none") * both
    return {"x": x.sum(1), "adj": adj.sum(1)}


class DiscreteGraphTraining(OnGraphs):
    """Trains a `DiscreteGraphGenerator`; the whole generator is exported.

    Args:
        model: what is trained.
        times: the density of t.
        edges: w, the weight of the pairs (DiGress takes 5 with means in place of sums).
        optimiser: optimiser and learning rate.
        seed: of all draws.

    Raises:
        ConfigError: a model of another kind.
    """

    def __init__(
        self,
        model: DiscreteGraphGenerator,
        times: TimeDensity = Uniform(),  # noqa: B008
        *,
        edges: float = 1.0,
        optimiser: AdamW = AdamW(),  # noqa: B008
        seed: int = 0,
    ) -> None:
        super().__init__(model, times=times, optimiser=optimiser, seed=seed)
        if not isinstance(model, DiscreteGraphGenerator):
            raise ConfigError(f"DiscreteGraphTraining: the model is a {type(model).__name__}, expected a DiscreteGraphGenerator")
        self.edges = edges

    def parts(self, x0: Mapping[str, Tensor], t: Tensor, *, mask: Tensor, noise: NoiseLike) -> dict[str, Tensor]:
        """`discrete_losses`, weighted."""
        losses = discrete_losses(self.denoiser, x0, t, mask=mask, noise=noise)
        return {"x": losses["x"], "adj": self.edges * losses["adj"]}
