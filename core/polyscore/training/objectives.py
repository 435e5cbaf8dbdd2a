r"""Objectives: w(t) |target - prediction|^2, unreduced, in the space of a chosen prediction.

With x = a x0 + b y + s eps fixed, every prediction is affine in x0, so its error is a multiple of the error of x0:

    space       target                     d target / d x0
    x0          x0                         1
    eps         eps                        -a / s
    score       -eps / s                   a / s^2
    v           a eps - s x0               -(a^2 / s + s)
    velocity    a' x0 + b' y + s' eps      a' - s' a / s

An objective is one such factor c(t) and a weighting: loss = w(t) |c(t) (x0 - x0hat)|^2. It asks a *denoiser*, so it does not
matter what the network inside predicts. Where s = 0 there is nothing to denoise and all but the x0 loss are undefined: t is in
(0, 1]. EDM's loss is `X0Loss(EDMWeight())`, SGMSE's `ScoreMatching(Variance())`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from polyscore.denoisers import Denoiser
from polyscore.noise import NoiseLike
from polyscore.processes import GaussianProcess, Product, expand
from polyscore.state import NONE, Given, LeafTime, State, Time, leaf_time
from polyscore.training.weightings import ConstantWeight, Weighting

__all__ = ["EpsLoss", "FlowMatching", "Objective", "ScoreMatching", "VLoss", "X0Loss"]


class Objective(ABC):
    """loss = w(t) |c(t) (x0 - x0hat)|^2, with `c` written by each space."""

    weight: Weighting

    @abstractmethod
    def scale(self, process: GaussianProcess, t: Tensor) -> Tensor:
        """c(t), float64, of t's shape (plus that of per-frequency coefficients)."""

    def __call__(self, denoiser: Denoiser, process: Any, x0: State, *, t: Time, given: Given = NONE, noise: NoiseLike = 0) -> Any:
        """Noise the data, denoise it, and compare.

        Args:
            denoiser: `denoiser(x, t, given) -> Prediction`.
            process: the forward process; a `Product` for mapping states.
            x0: data (B, ...), or a mapping of such leaves.
            t: time in (0, 1] (B,), or a mapping of times; a leaf at a time that is the number 0 is known data.
            given: end point, conditioning, mask.
            noise: a noise source or seeds; sample i uses seed `noise + i`.

        Returns:
            The loss of every entry, real, shaped like x0; a mapping for mapping states.
        """
        x = process.perturb(x0, t, given=given, noise=noise).x
        prediction = denoiser(x, t, given)
        if not isinstance(x0, Mapping):
            return self.entries(process, x0, prediction.x0, t)  # type: ignore[arg-type]
        assert isinstance(process, Product)  # perturb has refused anything else
        times = {name: leaf_time(t, name) for name in x0}
        unknown = [name for name, time in times.items() if isinstance(time, Tensor) or time > 0]
        return {name: self.entries(process[name], x0[name], prediction.x0[name], times[name]) for name in unknown}

    def entries(self, process: Any, x0: Tensor, x0hat: Tensor, t: LeafTime) -> Tensor:
        """The loss of every entry of one tensor, given its prediction."""
        time = torch.as_tensor(t, dtype=torch.float64)
        dtype = x0.real.dtype if x0.is_complex() else x0.dtype
        c = expand(self.scale(process, time), time, x0).to(dtype)
        w = expand(self.weight(process, time), time, x0).to(dtype)
        error = c * (x0 - x0hat)
        return w * (torch.view_as_real(error).square().sum(-1) if error.is_complex() else error.square())


@dataclass(frozen=True)
class X0Loss(Objective):
    """w |x0 - x0hat|^2: data prediction, the loss of bridges and of SGMSE's data variant."""

    weight: Weighting = field(default_factory=ConstantWeight)

    def scale(self, process: GaussianProcess, t: Tensor) -> Tensor:
        return torch.ones_like(t)


@dataclass(frozen=True)
class EpsLoss(Objective):
    """w |eps - epshat|^2 (Ho et al. 2020, arXiv 2006.11239)."""

    weight: Weighting = field(default_factory=ConstantWeight)

    def scale(self, process: GaussianProcess, t: Tensor) -> Tensor:
        a, _, s = process.coefs_of(t)
        return -a / s


@dataclass(frozen=True)
class ScoreMatching(Objective):
    """w |grad log p(x | x0) - score|^2, denoising score matching (Vincent 2011; Song et al. 2021, arXiv 2011.13456)."""

    weight: Weighting = field(default_factory=ConstantWeight)

    def scale(self, process: GaussianProcess, t: Tensor) -> Tensor:
        a, _, s = process.coefs_of(t)
        return a / s**2


@dataclass(frozen=True)
class VLoss(Objective):
    """w |v - vhat|^2 with v = a eps - s x0 (Salimans and Ho 2022, arXiv 2202.00512)."""

    weight: Weighting = field(default_factory=ConstantWeight)

    def scale(self, process: GaussianProcess, t: Tensor) -> Tensor:
        a, _, s = process.coefs_of(t)
        return -(a**2 / s + s)


@dataclass(frozen=True)
class FlowMatching(Objective):
    """w |u - uhat|^2 with the conditional velocity u = dx/dt (Lipman et al. 2022, arXiv 2210.02747); for `Flow`, u = eps - x0."""

    weight: Weighting = field(default_factory=ConstantWeight)

    def scale(self, process: GaussianProcess, t: Tensor) -> Tensor:
        a, _, s = process.coefs_of(t)
        rates = process.rates(t)
        return rates.da - rates.ds * a / s
