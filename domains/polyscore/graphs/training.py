"""Denoising score matching on graphs, with the original's sums (Jo et al. 2022, arXiv 2202.02514).

    L_v = 1/2 sum (s score_v + z_v)^2          reduce="sum": over all entries of leaf v of a graph, every edge twice
    L_v = mean (s score_v + z_v)^2             reduce="mean": over all N F (N N) entries, padding included

With likelihood weighting (score + z / s)^2 g^2 takes the place of (s score + z)^2 (Song et al. 2021, arXiv 2101.09258).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from torch import Tensor

from polyscore.graphs.denoiser import GraphDenoiser
from polyscore.noise import NoiseLike
from polyscore.state import Given

__all__ = ["score_losses"]


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
