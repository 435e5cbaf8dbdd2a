r"""The discrete processes: what replaces the share 1 - alpha of the data that is gone.

    Absorbing        A = alpha,      B = 0,              C = 1 - alpha        masked diffusion
    Replacing        A = alpha,      B = 1 - alpha,      C = 0                uniform, or the marginal law of the data
    MaskAndReplace   A = alpha,      B = 1 - A - C,      C = 1 - gamma        both, each by its own schedule

The tables of VQ-Diffusion and GETMusic are linear in A and C between their ends, over T steps: `vq_table`.

Sources: Austin et al. 2021 (D3PM), arXiv 2107.03006; Vignac et al. 2023 (DiGress, marginal law), arXiv 2209.14734; Gu et al. 2022
(VQ-Diffusion), arXiv 2111.14822; Lv et al. 2023 (GETMusic), arXiv 2305.10841.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from polyscore.errors import InputError
from polyscore.noise import NoiseLaw, Normal
from polyscore.processes.discrete.categorical import CategoricalProcess, Shares
from polyscore.processes.discrete.schedules import Linear, Schedule, Table

__all__ = ["Absorbing", "MaskAndReplace", "Replacing", "vq_table"]


@dataclass(frozen=True)
class Absorbing(CategoricalProcess):
    """Cells become MASK and stay so.

    Args:
        classes: N; MASK is category N.
        schedule: alpha.
        law: which cells share their noise.

    Raises:
        InputError: no category.
    """

    classes: int
    schedule: Schedule = field(default_factory=Linear)
    law: NoiseLaw = field(default_factory=Normal)
    masks = True
    replaces = False

    def __post_init__(self) -> None:
        _check(self, 1)

    def coefs(self, t: Tensor) -> Shares:
        alpha = self.schedule(t)
        return Shares(alpha, torch.zeros_like(alpha), 1 - alpha)


@dataclass(frozen=True)
class Replacing(CategoricalProcess):
    """Cells are replaced by draws from pi.

    Args:
        classes: N.
        schedule: alpha.
        probabilities: pi, up to a factor; uniform where it is empty. The law of the categories in the data is DiGress's choice.
        law: which cells share their noise.

    Raises:
        InputError: fewer than two categories, or probabilities that are not N numbers >= 0 with a positive sum.
    """

    classes: int
    schedule: Schedule = field(default_factory=Linear)
    probabilities: Sequence[float] = ()
    law: NoiseLaw = field(default_factory=Normal)
    masks = False
    replaces = True

    def __post_init__(self) -> None:
        _check(self, 2)
        object.__setattr__(self, "probabilities", tuple(float(p) for p in self.probabilities))
        p = self.probabilities
        if p and (len(p) != self.classes or min(p) < 0 or not 0 < sum(p) < float("inf")):
            raise InputError(f"Replacing: probabilities {p[:8]} for {self.classes} categories; expected as many numbers >= 0")

    def stationary(self) -> Tensor:
        if not self.probabilities:
            return super().stationary()
        p = torch.tensor(self.probabilities, dtype=torch.float64)
        return p / p.sum()

    def coefs(self, t: Tensor) -> Shares:
        alpha = self.schedule(t)
        return Shares(alpha, 1 - alpha, torch.zeros_like(alpha))


@dataclass(frozen=True)
class MaskAndReplace(CategoricalProcess):
    """Cells become MASK, or are replaced by a uniform draw: VQ-Diffusion and GETMusic.

    Args:
        classes: N; MASK is category N.
        schedule: A, the share that is kept.
        unmasked: 1 - C, the share that is not MASK; A / (1 - C) must not rise with t.
        law: which cells share their noise.

    Raises:
        InputError: no category, or schedules of which A / (1 - C) rises or exceeds 1.
    """

    classes: int
    schedule: Schedule = field(default_factory=lambda: vq_table(100)[0])
    unmasked: Schedule = field(default_factory=lambda: vq_table(100)[1])
    law: NoiseLaw = field(default_factory=Normal)
    masks = True
    replaces = True

    def __post_init__(self) -> None:
        _check(self, 1)
        t = torch.linspace(0, 1, 201, dtype=torch.float64)
        share = self.schedule(t) / self.unmasked(t).clamp(min=1e-300)
        if bool((share > 1 + 1e-12).any() or (share.diff() > 1e-12).any()):
            raise InputError("MaskAndReplace: A / (1 - C) rises with t; expected schedules of which it falls from 1")

    def coefs(self, t: Tensor) -> Shares:
        keep, unmasked = self.schedule(t), self.unmasked(t)
        return Shares(keep, (unmasked - keep).clamp(min=0), 1 - unmasked)


def vq_table(
    steps: int, keep: tuple[float, float] = (0.99999, 0.000009), mask: tuple[float, float] = (0.000009, 0.99999)
) -> tuple[Table, Table]:
    """The schedules A and 1 - C of VQ-Diffusion over T = `steps` steps.

    Both are 1 at t = 0, and linear from the first step's value to the last's.
    GETMusic's index i = 0..T-1 is the time (i + 1) / T.
    """
    kept, masked = (torch.linspace(*ends, steps, dtype=torch.float64) for ends in (keep, mask))
    return Table((1.0, *kept.tolist())), Table((1.0, *(1 - masked).tolist()))


def _check(process: CategoricalProcess, least: int) -> None:
    if process.classes < least:
        raise InputError(f"{type(process).__name__}: {process.classes} categories, expected at least {least}")
