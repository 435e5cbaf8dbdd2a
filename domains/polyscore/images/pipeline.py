"""Images from a trained model: `ImageGenerator.from_pretrained("digits").sample([3, 1, 4])`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from polyscore.errors import InputError, PolyscoreError
from polyscore.guidance import CFG
from polyscore.hub import Pretrained
from polyscore.processes.grids import Grid
from polyscore.samplers import DPMSolverPP, sample
from polyscore.state import Given

__all__ = ["ImageGenerator"]


class ImageGenerator(Pretrained):
    """Draws images, of requested classes where the model knows classes.

    Args:
        denoiser: a denoiser of images (B, *shape) with values in [-1, 1] and a `process`; `given.cond` are labels (B,) from 0 to
            `classes`, the last one meaning "no class".
        shape: (C, H, W) of an image.
        classes: number of classes; 0 for a model without.

    Raises:
        InputError: a shape that is not three positive numbers.
    """

    def __init__(self, denoiser: nn.Module, shape: Sequence[int], *, classes: int = 0) -> None:
        super().__init__()
        if len(shape) != 3 or min(shape) < 1 or classes < 0:
            raise InputError(f"ImageGenerator: shape {tuple(shape)}, classes {classes}; expected (C, H, W) and 0 or more")
        self.denoiser = denoiser
        self.shape = tuple(int(n) for n in shape)
        self.classes = classes

    @torch.no_grad()
    def sample(
        self,
        labels: int | Sequence[int] | Tensor,
        *,
        steps: int = 10,
        sampler: Any = None,
        grid: Grid | Sequence[float] | None = None,
        guidance: float = 2.0,
        seed: int | Sequence[int] = 0,
    ) -> Tensor:
        """Images (B, C, H, W) with values in [0, 1].

        Args:
            labels: the class of each image, or a number of images of any class.
            steps: steps of the sampler.
            sampler: any sampler of `polyscore.samplers`; default DPM-Solver++ 2M.
            grid: its time grid; default that of the process.
            guidance: scale of classifier-free guidance; 1 is none and costs half.
            seed: of the noise of the first image, the next has the next; or one seed an image.

        Raises:
            InputError: a label the model does not know, fewer seeds than images, or a guidance that is no number.
            PolyscoreError: the model gave values that are not numbers.
        """
        if not math.isfinite(guidance):
            raise InputError(f"guidance: {guidance}, expected a finite number (1 is none)")
        device = next(self.parameters()).device
        cond = self._labels(labels).to(device)
        like = torch.empty((len(cond), *self.shape), device=device)
        given = Given(cond=cond) if self.classes else Given()
        denoiser: Any = self.denoiser
        if self.classes and guidance != 1:
            denoiser = CFG(denoiser, null=Given(cond=torch.tensor([self.classes], device=device)), scale=guidance)
        x: Tensor = sample(
            sampler or DPMSolverPP(), denoiser, self.denoiser.process, like, steps=steps, grid=grid, given=given, noise=seed
        )
        if not bool(torch.isfinite(x).all()):
            raise PolyscoreError("sample: the model gave values that are not numbers; was its training finished?")
        return ((x + 1) / 2).clamp(0, 1)

    def _labels(self, labels: int | Sequence[int] | Tensor) -> Tensor:
        if isinstance(labels, int):
            if labels < 1:
                raise InputError(f"labels: {labels} images, expected 1 or more")
            return torch.full((labels,), self.classes)
        wanted = torch.as_tensor(labels)
        if wanted.ndim != 1 or len(wanted) == 0 or wanted.is_floating_point():
            raise InputError(f"labels: {wanted.dtype} {tuple(wanted.shape)}, expected one whole number an image")
        if not self.classes:
            raise InputError("labels: this model has no classes; give a number of images instead")
        wrong = wanted[(wanted < 0) | (wanted > self.classes)]
        if len(wrong):
            raise InputError(f"labels: {int(wrong[0])}, expected 0 to {self.classes - 1} ({self.classes} for no class)")
        return wanted.long()
