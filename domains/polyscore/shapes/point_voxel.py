r"""Clouds by PVD: the plain diffusion of points with a point-voxel network, and its tables of betas.

The published tables have 1000 steps from 1e-4 to 0.02, linear (cars: the first half, chairs: the first tenth of the steps rise,
and beta stays at its end); the network is told the index of the step and predicts the noise, and a step has the posterior
variance.

Source: Zhou, Du and Wu 2021 (PVD), arXiv 2104.03670.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from polyscore.errors import InputError, PolyscoreError
from polyscore.guidance import CFG
from polyscore.hub import Pretrained
from polyscore.processes import linear_betas
from polyscore.samplers import DDPM, sample
from polyscore.state import Given

__all__ = ["PointVoxelGenerator", "warm_betas"]


def warm_betas(n: int = 1000, start: float = 1e-4, end: float = 0.02, *, rise: float = 0.1) -> tuple[float, ...]:
    """Betas that rise linearly over the first `rise` of n steps and then stay (PVD's warm0.1, warm0.2, warm0.5).

    Raises:
        InputError: a share outside (0, 1].
    """
    if not 0 < rise <= 1:
        raise InputError(f"warm_betas: rise {rise}; expected a share above 0, up to 1")
    warm = linear_betas(max(2, int(n * rise)), start, end)
    return (*warm, *[end] * (n - len(warm)))[:n]


class PointVoxelGenerator(Pretrained):
    """Draws clouds, of a class where the network knows classes.

    Args:
        denoiser: a denoiser of clouds (B, N, 3) with a `process`, such as a `Precondition` of a `PVCNN2` and a table of betas;
            `given.cond` are labels (B,) from 0 to `classes`, the last one meaning "not said".
        classes: number of classes; 0 for a model without.

    Raises:
        InputError: a negative number of classes.
    """

    def __init__(self, denoiser: nn.Module, *, classes: int = 0) -> None:
        super().__init__()
        if classes < 0:
            raise InputError(f"PointVoxelGenerator: classes {classes}; expected 0 or more")
        self.denoiser, self.classes = denoiser, classes

    @torch.no_grad()
    def sample(
        self,
        count: int,
        points: int = 2048,
        *,
        label: int | None = None,
        steps: int = 1000,
        sampler: Any = None,
        guidance: float = 1.0,
        seed: int = 0,
    ) -> Tensor:
        """Clouds (count, points, 3), in the data's scale; cloud i has seed + i.

        Args:
            count: clouds.
            points: of each.
            label: the class of all.
            steps: of the sampler; the published table has 1000.
            sampler: default DDPM, the published one ("fixedsmall").
            guidance: scale of classifier-free guidance; 1 is none.
            seed: of the first cloud.

        Raises:
            InputError: no clouds, or a label that the network does not know.
            PolyscoreError: the model gave values that are not numbers.
        """
        classes = self.classes
        if count < 1 or (label is not None and not 0 <= label < classes):
            raise InputError(f"sample: {count} clouds of label {label}; expected 1 or more, and a label below {classes}")
        device = next(self.parameters()).device
        labels = torch.full((count,), classes if label is None else label, device=device) if classes else None
        denoiser: Any = self.denoiser
        if classes and guidance != 1:
            denoiser = CFG(denoiser, null=Given(cond=torch.tensor([classes], device=device)), scale=guidance)
        x: Tensor = sample(
            sampler or DDPM(),
            denoiser,
            self.denoiser.process,
            torch.empty(count, points, 3, device=device),
            steps=steps,
            given=Given(cond=labels),
            noise=seed,
        )
        if not bool(torch.isfinite(x).all()):
            raise PolyscoreError("sample: the model gave values that are not numbers; was its training finished?")
        return x
