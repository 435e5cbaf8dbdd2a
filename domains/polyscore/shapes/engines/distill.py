r"""Score distillation of the multi-view prior into a voxel field, in two stages.

1. Geometry, coarse to fine: a random rig of four views is rendered, and `rules.x0` pulls it to the guided model's clean views
with t annealed from `high` to `low` (StableDreamer, Guo et al. 2023, arXiv 2312.02189: grad = z - x0). Density and colour both
   move, so that the model is shown complete pictures; the pull on the channels of coverage and normals shapes the density.
2. Colour with the geometry fixed: the same rule at low noise on colours alone.

Low guidance and annealed times did better than the classic eps form at guidance 7 (docs/domains/shapes.md).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch

from polyscore.distillation import ScoreDistillation, rules
from polyscore.errors import InputError
from polyscore.shapes.engines.base import Engine, Frame, Request
from polyscore.shapes.engines.fit import Fit
from polyscore.shapes.fields import VoxelField
from polyscore.shapes.pictures import rig
from polyscore.shapes.text import TextToShape

__all__ = ["Distill"]


@dataclass(frozen=True)
class Place:
    """Where a step is: its number, of how many, and the progress of its stage in [0, 1)."""

    done: int
    of: int
    progress: float


@dataclass(frozen=True)
class Distill(Engine):
    """Two-stage score distillation.

    Args:
        geometry, colour: steps of the stages.
        guidance: of the words.
        sizes: voxels a side, each for an equal share of the first stage.
        high, low: times, annealed over each stage (the second starts half way down).
        elevations: range of the rigs' elevation, degrees.

    Raises:
        InputError: no steps.
    """

    geometry: int = 160
    colour: int = 40
    guidance: float = 2.0
    sizes: tuple[int, ...] = (32, 48, 64)
    high: float = 0.98
    low: float = 0.08
    elevations: tuple[float, float] = (-10.0, 45.0)

    def __post_init__(self) -> None:
        if self.geometry < len(self.sizes) or self.colour < 1 or not self.sizes:
            raise InputError(f"Distill: {self}; expected steps of both stages, and at least one a size")

    @property
    def nfe(self) -> int:
        return 2 * (self.geometry + self.colour)

    @property
    def length(self) -> int:
        return self.geometry + self.colour + 1

    def frames(self, prior: TextToShape, request: Request) -> Iterator[Frame]:
        device = next(prior.parameters()).device
        generator = torch.Generator().manual_seed(request.seed)
        painting = request.body is not None
        field = request.body if request.body is not None else VoxelField(self.sizes[0])
        fit = Fit(
            field.to(device), request.words.finish, prior.size, prior.extent, generator, rate=0.2, sketch=request.sketch,
            geometry=not painting,
        )  # fmt: skip
        shape = rules.x0(self.guidance, high=self.high, low=self.low)
        total = self.geometry + self.colour
        if not painting:
            for step in range(self.geometry):
                stage = step * len(self.sizes) // self.geometry
                if fit.field.size != self.sizes[stage]:
                    fit.refine(self.sizes[stage])
                yield self._step(shape, prior, request, fit, Place(step, total, step / self.geometry))
        fit = Fit(fit.field, request.words.finish, prior.size, prior.extent, generator, rate=0.1, geometry=False)
        tint = rules.x0(self.guidance, high=(self.high + self.low) / 2, low=self.low)
        for step in range(self.colour):
            yield self._step(tint, prior, request, fit, Place(self.geometry + step, total, step / self.colour))
        yield Frame(total, total, fit.field, fit.pictures(self._rig(generator).to(device)[0], random=False).detach())

    def _step(self, rule: ScoreDistillation, prior: TextToShape, request: Request, fit: Fit, place: Place) -> Frame:
        angles = self._rig(fit.generator).to(next(prior.parameters()).device)
        seen = fit.pictures(angles[0])[None]
        process: Any = prior.denoiser.process
        result = rule(
            seen,
            prior.prompts(request.words, angles),
            denoiser=prior.denoiser,
            process=process,
            noise=request.seed * 1_000_003 + place.done,
            generator=fit.generator,
            progress=place.progress,
        )
        fit.step(result.loss.sum() / seen.numel())
        return Frame(place.done, place.of, fit.field, result.x0[0].detach())

    def _rig(self, generator: torch.Generator) -> torch.Tensor:
        turn, rise = torch.rand(2, generator=generator)
        low, high = self.elevations
        return rig(360 * turn[None], low + (high - low) * rise[None], 4)
