r"""Minority guidance: towards samples that the model itself finds unlikely, while they stay on the data's support.

A denoiser makes of a noised datum the typical datum near it, so what is rare is what it changes:

    l(x) = E d(x, x0(x_t)),   x_t = a x + s eps at one t                         `minority_score`

Scores of the training data are cut at their quantiles into levels of equal size (`levels`); a classifier of noisy states learns
the level (`label_loss`), and `ClassifierGuidance` with `class_log_prob` asks for a high one.

Source: Um et al. 2023, arXiv 2301.12334.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from polyscore.denoisers.base import Denoiser
from polyscore.errors import InputError
from polyscore.noise import NoiseLike, as_noise
from polyscore.state import NONE, Given

__all__ = ["levels", "minority_score", "squared"]


def squared(x: Tensor, other: Tensor) -> Tensor:
    """|x - y|^2 of each sample, (B,)."""
    return (x - other).abs().square().flatten(1).sum(1)


@torch.no_grad()
def minority_score(
    denoiser: Denoiser,
    process: Any,
    x: Tensor,
    *,
    t: float = 0.6,
    draws: int = 5,
    distance: Callable[[Tensor, Tensor], Tensor] = squared,
    given: Given = NONE,
    noise: NoiseLike = 0,
) -> Tensor:
    """l(x) of data (B, ...), (B,): the mean over `draws` of the distance between a datum and what the denoiser makes of it at t.

    Args:
        denoiser: the model.
        process: of the model.
        x: data.
        t: the time; high enough that what is near x could have become x_t too (the paper: a tenth of the signal is left).
        draws: how often.
        distance: of two batches of data, (B,); perceptual ones for large pictures.
        given: end point, conditioning, mask.
        noise: a noise source or seeds.

    Raises:
        InputError: no draws.
    """
    if draws < 1:
        raise InputError(f"minority_score: {draws} draws; expected at least 1")
    source = as_noise(noise)
    found = [distance(x, denoiser(process.perturb(x, t, given=given, noise=source).x, t, given).x0) for _ in range(draws)]
    return torch.stack(found).mean(0)


def levels(scores: Tensor, count: int) -> Tensor:
    """The level 0 .. count - 1 of each score (N,): cut at the quantiles, so all levels have the same size; ties go down."""
    cuts = torch.quantile(scores.double(), torch.arange(1, count, dtype=torch.float64, device=scores.device) / count)
    return torch.bucketize(scores.double(), cuts)
