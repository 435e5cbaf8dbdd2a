r"""Contrastive terms of discrete diffusion (CDCD; Zhu et al. 2023, arXiv 2206.07771).

A model is trained to explain its data and, a little, not to explain other data under the same condition:

    StepContrast      loss - weight ((i - 1) / T + 1) mean_k T KL(q(x_{t-1} | x_t, x0_k) || p(x_{t-1} | x_t)),   t = i / T
    SampleContrast    loss - weight ((i - 1) / T + 1) mean_k CE(x0_k)

StepContrast's negatives x0_k are the sample itself, moved along its last axis (time) by random amounts; SampleContrast's are
other samples of the batch. The terms have no lower bound: the weights are meant to be small.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from polyscore.denoisers import Denoiser
from polyscore.errors import InputError
from polyscore.noise import NoiseLike, as_noise
from polyscore.processes.discrete.categorical import CategoricalProcess
from polyscore.processes.gaussian import expand
from polyscore.state import NONE, Given
from polyscore.training.discrete.elbo import CategoricalObjective, DiffusionELBO, cross_entropy

__all__ = ["SampleContrast", "StepContrast"]


@dataclass(frozen=True)
class _Contrast(CategoricalObjective):
    base: DiffusionELBO = field(default_factory=lambda: DiffusionELBO(auxiliary=1e-3))

    def entries(self, process: CategoricalProcess, x0: Tensor, x: Tensor, logits: Tensor, t: Tensor) -> Tensor:
        """The loss without the contrast, which needs more than one sample."""
        return self.base.entries(process, x0, x, logits, t)

    def noised(
        self, process: CategoricalProcess, x0: Tensor, t: Tensor, given: Given, noise: NoiseLike
    ) -> tuple[Tensor, Tensor]:
        return self.base.noised(process, x0, t, given, noise)

    def _growing(self, t: Tensor, x: Tensor) -> Tensor:
        i = self.base.index(t)
        return expand((i - 1) / self.base.steps + 1, i, x)


@dataclass(frozen=True)
class StepContrast(_Contrast):
    """Against the sample itself at other times, step by step.

    Args:
        base: the loss.
        weight: of the contrast.
        negatives: how many shifts a sample.

    Raises:
        InputError: no negatives; later data whose last axis has one place.
    """

    weight: float = 5e-5
    negatives: int = 10

    def __post_init__(self) -> None:
        _check(self, self.negatives)

    def __call__(
        self, denoiser: Denoiser, process: Any, x0: Tensor, *, t: Any, given: Given = NONE, noise: NoiseLike = 0
    ) -> Tensor:
        length = x0.shape[-1]
        if x0.ndim < 2 or length < 2:
            raise InputError(f"StepContrast: data of shape {tuple(x0.shape)}; expected (B, ..., L) with L of at least 2")
        source = as_noise(noise)
        time = torch.as_tensor(t, dtype=torch.float64).expand(len(x0))
        x, time = self.noised(process, x0, time, given, source)
        logits = denoiser(x, time, given).x0
        steps, i = self.base.steps, self.base.index(time)
        made = process.posterior(x, logits, i / steps, (i - 1) / steps)
        draws = torch.special.ndtr(source(torch.empty(len(x0), self.negatives, dtype=torch.float64, device=x0.device)))
        shifts = 1 + (draws * (length - 1)).long().clamp(max=length - 2)
        away = torch.zeros_like(made[..., 0])
        for k in range(self.negatives):
            place = (torch.arange(length, device=x0.device) - expand(shifts[:, k], time, x0)) % length
            other = x0.gather(-1, place.expand(x0.shape))
            away = away + self.base.divergence(process, other, x, made, time) * (steps / self.negatives)
        loss = self.base.entries(process, x0, x, logits, time)
        return loss - (self.weight * self._growing(time, x) * away).to(loss)


@dataclass(frozen=True)
class SampleContrast(_Contrast):
    """Against the batch's next samples.

    Args:
        base: the loss.
        weight: of the contrast.
        negatives: how many other samples.

    Raises:
        InputError: no negatives; later a batch that has not so many others.
    """

    weight: float = 5e-6
    negatives: int = 10

    def __post_init__(self) -> None:
        _check(self, self.negatives)

    def __call__(
        self, denoiser: Denoiser, process: Any, x0: Tensor, *, t: Any, given: Given = NONE, noise: NoiseLike = 0
    ) -> Tensor:
        if len(x0) <= self.negatives:
            raise InputError(f"SampleContrast: {self.negatives} negatives in a batch of {len(x0)}; expected a larger batch")
        time = torch.as_tensor(t, dtype=torch.float64).expand(len(x0))
        x, time = self.noised(process, x0, time, given, noise)
        logits = denoiser(x, time, given).x0
        others = [cross_entropy(logits.double(), x0.roll(-k, 0)) for k in range(1, self.negatives + 1)]
        away = torch.stack(others).mean(0)
        loss = self.base.entries(process, x0, x, logits, time)
        return loss - (self.weight * self._growing(time, x) * away).to(loss)


def _check(objective: CategoricalObjective, negatives: int) -> None:
    if negatives < 1:
        raise InputError(f"{type(objective).__name__}: {negatives} negatives, expected at least 1")
