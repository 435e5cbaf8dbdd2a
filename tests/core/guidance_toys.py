"""Mixtures, and a conditional model, whose laws are known: what methods of guidance are tried on."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from polyscore.denoisers import Prediction
from polyscore.processes import Cosine
from polyscore.state import Given
from polyscore.testing import Mixture

__all__ = ["F64", "PROCESS", "Classes", "logits", "nearest", "points", "ring", "wider"]

F64 = torch.float64
PROCESS = Cosine()


def points(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=F64)


def ring(weights: list[float], std: float = 0.1) -> Mixture:
    """Modes on a circle of radius 2."""
    angle = 2 * math.pi * torch.arange(len(weights), dtype=F64) / len(weights)
    share = torch.tensor(weights, dtype=F64)
    means = 2 * torch.stack([angle.cos(), angle.sin()], 1)
    return Mixture(share / share.sum(), means, std**2 * torch.eye(2, dtype=F64).expand(len(weights), 2, 2))


def nearest(mixture: Mixture, x: Tensor, reach: float) -> tuple[Tensor, float]:
    """The mode next to each sample, and the share of samples within `reach` of one."""
    distance, mode = (x[:, None] - mixture.means).norm(dim=-1).min(1)
    return mode, float((distance < reach).double().mean())


def wider(mixture: Mixture, variance: float) -> Mixture:
    """What a model that blurs learns."""
    return Mixture(mixture.weights, mixture.means, mixture.covs + variance * torch.eye(2, dtype=F64))


class Classes:
    """x0 ~ N(mean_c, .5^2) where `cond` is c (B,), a mixture of them where it is not given or says 3."""

    means = torch.tensor([-1.5, 0.0, 1.5], dtype=F64)

    def __call__(self, x: Tensor, t: Any, given: Given) -> Prediction:
        a, _, s = PROCESS.coefs_of(t)
        a, s = (torch.as_tensor(c).reshape(-1, *[1] * (x.ndim - 1)) for c in (a, s))
        seen = a**2 * 0.25 + s**2
        mean = self.means.view(3, *[1] * x.ndim)
        each = mean + a * 0.25 / seen * (x - a * mean)
        share = (-0.5 * (x - a * mean) ** 2 / seen).flatten(2).sum(2).softmax(0).view(3, -1, *[1] * (x.ndim - 1))
        if given.cond is None:
            return Prediction((share * each).sum(0))
        picked = each[given.cond, torch.arange(len(x))]
        return Prediction(picked)


def logits(x0: Tensor) -> Tensor:
    """Of the class means, of clean data (B, ...)."""
    mean = Classes.means.view(1, 3)
    return torch.stack([-0.5 * (x0.flatten(1) - m).square().sum(1) / 0.25 for m in mean[0]], 1)
