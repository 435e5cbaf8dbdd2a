r"""Objectives of discrete processes, unreduced, in nats a cell.

With p = p(x0 | x_t) the model's, and CE = -log p(x0) of a cell,

    DiffusionELBO    T KL(q(x_{t-1} | x_t, x0) || p(x_{t-1} | x_t)) + auxiliary (2 - (i - 1) / T) T CE,   t = i / T
    MaskedELBO       -A' / (1 - A) [x_t = MASK] CE                     the first for T to infinity, in an absorbing process
    MaskRatio        D / n [x_t = MASK] CE, n of D cells masked        the same by number of cells: no time is needed
    CrossEntropy     CE

The mean over uniform t and the sum over cells of each of the first three bounds -log p(data) from above. At i = 1, q(x_0 | x_1,
x0) is certain and the KL is -log p(x_0 | x_1), which is also what the auxiliary term takes there, as in VQ-Diffusion.

Sources: Austin et al. 2021 (D3PM), arXiv 2107.03006; Gu et al. 2022 (VQ-Diffusion), arXiv 2111.14822; Sahoo et al. 2024 (MDLM),
arXiv 2406.07524; Hoogeboom et al. 2022 (order-agnostic), arXiv 2110.02037; Vignac et al. 2023 (DiGress), arXiv 2209.14734.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from polyscore.denoisers import Denoiser
from polyscore.errors import InputError
from polyscore.noise import NoiseLike, as_noise
from polyscore.processes.discrete.categorical import CategoricalProcess
from polyscore.processes.discrete.rows import uniforms
from polyscore.processes.gaussian import expand
from polyscore.state import NONE, Given

__all__ = [
    "CategoricalObjective",
    "CrossEntropy",
    "DiffusionELBO",
    "MaskRatio",
    "MaskedELBO",
    "cross_entropy",
    "divergence",
]


def cross_entropy(logits: Tensor, x0: Tensor) -> Tensor:
    """-log p(x0) of every cell (B, ...), logits (B, ..., N), in their dtype (at least float32)."""
    logits = logits.float() if logits.dtype in (torch.float16, torch.bfloat16) else logits
    return -logits.log_softmax(-1).gather(-1, x0.unsqueeze(-1)).squeeze(-1)


def divergence(true: Tensor, made: Tensor) -> Tensor:
    """KL(true || made) over the last axis, of probabilities; made is taken to be at least 1e-300."""
    return (torch.xlogy(true, true) - true * made.clamp(min=1e-300).log()).sum(-1)


class CategoricalObjective(ABC):
    """A loss of categories."""

    @abstractmethod
    def entries(self, process: CategoricalProcess, x0: Tensor, x: Tensor, logits: Tensor, t: Tensor) -> Tensor:
        """The loss of every cell (B, ...), given the noised state x, the prediction (B, ..., N) and the times (B,)."""

    def noised(
        self, process: CategoricalProcess, x0: Tensor, t: Tensor, given: Given, noise: NoiseLike
    ) -> tuple[Tensor, Tensor]:
        """The noised state and its time."""
        return process.perturb(x0, t, given=given, noise=noise).x, t

    def __call__(
        self, denoiser: Denoiser, process: Any, x0: Tensor, *, t: Any, given: Given = NONE, noise: NoiseLike = 0
    ) -> Tensor:
        """Noise the data, ask for it, and compare.

        Args:
            denoiser: `denoiser(x, t, given) -> Prediction` of logits.
            process: a discrete process.
            x0: data (B, ...), int64. For mapping states see `polyscore.training.LeafObjectives`.
            t: times in (0, 1], (B,).
            given: conditioning, and in `mask` the cells that are noised.
            noise: a noise source or seeds; sample i uses seed `noise + i`.

        Returns:
            The loss of every cell in nats, shaped like x0.
        """
        x, time = self.noised(process, x0, torch.as_tensor(t, dtype=torch.float64).expand(len(x0)), given, noise)
        return self.entries(process, x0, x, denoiser(x, time, given).x0, time)


@dataclass(frozen=True)
class DiffusionELBO(CategoricalObjective):
    """T KL + auxiliary CE of a chain of T steps, for any discrete process (VQ-Diffusion, GETMusic).

    Args:
        steps: T; t is rounded up to a multiple of 1 / T.
        auxiliary: weight of the cross-entropy term; 0 leaves the bound.

    Raises:
        InputError: no steps, or a negative weight.
    """

    steps: int = 100
    auxiliary: float = 0.0

    def __post_init__(self) -> None:
        if self.steps < 1 or self.auxiliary < 0:
            raise InputError(f"DiffusionELBO: {self.steps} steps, auxiliary {self.auxiliary}; expected at least 1 and 0")

    def index(self, t: Tensor) -> Tensor:
        """i in 1..T with t = i / T, rounded up."""
        return torch.ceil(t * self.steps - 1e-4).clamp(1, self.steps)  # float32 times round up by mistake

    def noised(
        self, process: CategoricalProcess, x0: Tensor, t: Tensor, given: Given, noise: NoiseLike
    ) -> tuple[Tensor, Tensor]:
        return super().noised(process, x0, self.index(t) / self.steps, given, noise)

    def entries(self, process: CategoricalProcess, x0: Tensor, x: Tensor, logits: Tensor, t: Tensor) -> Tensor:
        i = self.index(t)
        kl = self.divergence(process, x0, x, process.posterior(x, logits, i / self.steps, (i - 1) / self.steps), t)
        if self.auxiliary == 0:
            return (self.steps * kl).to(logits.dtype)
        place = expand(i, i, x)
        rest = torch.where(place == 1, kl, cross_entropy(logits.double(), x0))
        return (self.steps * (kl + self.auxiliary * (2 - (place - 1) / self.steps) * rest)).to(logits.dtype)

    def divergence(self, process: CategoricalProcess, x0: Tensor, x: Tensor, made: Tensor, t: Tensor) -> Tensor:
        """KL(q(x_{t-1} | x_t, x0) || made) of every cell, float64."""
        i = self.index(t)
        return divergence(process.posterior(x, x0, i / self.steps, (i - 1) / self.steps), made)


@dataclass(frozen=True)
class MaskedELBO(CategoricalObjective):
    """-A' / (1 - A) CE of the masked cells: the continuous-time bound of an absorbing process (MDLM)."""

    def entries(self, process: CategoricalProcess, x0: Tensor, x: Tensor, logits: Tensor, t: Tensor) -> Tensor:
        weight = expand(process.rates(t).mask / process.coefs_of(t).mask, t, x).to(logits)
        return weight * (x == process.mask_token) * cross_entropy(logits, x0)


@dataclass(frozen=True)
class MaskRatio(CategoricalObjective):
    """n = ceil(t D) of the D cells that may be noised are masked, and each counts D / n: a bound that knows no time.

    Fewer random numbers than `MaskedELBO` decide how much is masked, so the loss varies less. A network that is told the time is
    told that at which a share n / D is masked.

    Raises:
        InputError: a process that is not absorbing.
    """

    def noised(
        self, process: CategoricalProcess, x0: Tensor, t: Tensor, given: Given, noise: NoiseLike
    ) -> tuple[Tensor, Tensor]:
        if not process.masks or process.replaces:
            raise InputError(f"MaskRatio: {type(process).__name__}; expected an absorbing process")
        free = process.free(x0, given).flatten(1)
        keys = torch.where(free, uniforms(process.law, as_noise(noise), x0, given).flatten(1), torch.inf)
        total = free.sum(1)
        n = torch.ceil(t.to(x0.device) * total - 1e-9).clamp(min=1)
        place = keys.argsort(1).argsort(1)
        hidden = (free & (place < n.unsqueeze(1))).view_as(x0)
        return torch.where(hidden, process.mask_token, x0), process.time_at_mask((n / total.clamp(min=1)).clamp(max=1))

    def entries(self, process: CategoricalProcess, x0: Tensor, x: Tensor, logits: Tensor, t: Tensor) -> Tensor:
        weight = expand(1 / process.coefs_of(t).mask.clamp(min=1e-12), t, x).to(logits)
        return weight * (x == process.mask_token) * cross_entropy(logits, x0)


@dataclass(frozen=True)
class CrossEntropy(CategoricalObjective):
    """CE of every cell: what DiGress trains with."""

    def entries(self, process: CategoricalProcess, x0: Tensor, x: Tensor, logits: Tensor, t: Tensor) -> Tensor:
        return cross_entropy(logits, x0)
