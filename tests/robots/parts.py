"""Small policies and demonstrations that several tests use."""

from __future__ import annotations

from typing import Any

import torch

from polyscore.denoisers import Precondition
from polyscore.processes import EDM
from polyscore.robots.demonstrations import Demonstrations, Episode
from polyscore.robots.features import First
from polyscore.robots.networks import ScoreGPT
from polyscore.robots.normalise import Normaliser, Scaling
from polyscore.robots.policy import Policy
from polyscore.robots.sampling import Sampling

__all__ = ["demonstrations", "policy"]


def policy(*, goals: int = 1, window: int = 4, **sampling: Any) -> Policy:
    """A policy of states of 6 and actions of 2 features with random weights, seeded."""
    network = ScoreGPT(6, 2, window=window, goals=goals, width=16, layers=2, heads=2)
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.15 * torch.randn(parameter.shape, generator=generator))
    denoiser = Precondition(network, EDM(1.0, 0.05), predicts="edm", time="edm")
    normaliser = Normaliser(Scaling(6), Scaling(2))
    out = Policy(denoiser, normaliser, First(6, (0, 1)), sampling=Sampling(**sampling), environment="toy").eval()
    out.prepare(demonstrations())
    return out


def demonstrations(episodes: int = 8, length: int = 20, *, seed: int = 0) -> Demonstrations:
    """Episodes of `length` + their number frames of smooth random numbers, observations of 8 and actions of 2 features."""
    generator = torch.Generator().manual_seed(seed)
    made = []
    for i in range(episodes):
        steps = torch.randn(length + i, 10, generator=generator).cumsum(0)
        made.append(Episode(steps[:, :8], steps[:, 8:]))
    return Demonstrations.of(made, {"environment": "toy"})
