r"""Score distillation of the multi-view prior into a field, in two stages.

1. Geometry, coarse to fine: a random rig of four views is rendered, and `rules.x0` pulls it to the guided model's clean views
with t annealed from `high` to `low` (StableDreamer, Guo et al. 2023, arXiv 2312.02189: grad = z - x0). Density and colour both
   move, so that the model is shown complete pictures; the pull on the channels of coverage and normals shapes the density.
2. Colour with the geometry fixed: the same rule at low noise on colours alone, whichever the field was, on a grid of voxels.

Low guidance and annealed times did better than the classic eps form at guidance 7 (docs/domains/shapes.md).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, get_args

import torch

from polyscore.distillation import Record, ScoreDistillation, rules
from polyscore.errors import InputError
from polyscore.shapes.engines.base import Frame, Request
from polyscore.shapes.engines.fit import FieldFit, Fit
from polyscore.shapes.engines.result import OpaqueBody
from polyscore.shapes.engines.sketch import Sketch, body_field
from polyscore.shapes.engines.start import FieldName, empty_field, on_voxels
from polyscore.shapes.engines.views import FromViews
from polyscore.shapes.pictures import rig
from polyscore.shapes.text import TextToShape
from polyscore.shapes.words import Words

__all__ = ["Distill"]

_SHOWN = 16  # clean views of a rig that are kept for the record


@dataclass(frozen=True)
class Place:
    """Where a step is: its number, of how many, the progress of its stage in [0, 1), and what was done before."""

    done: int
    of: int
    progress: float
    record: Record


@dataclass(frozen=True)
class Distill(FromViews):
    """Two-stage score distillation.

    Args:
        geometry, colour: steps of the stages.
        guidance: of the words.
        sizes: voxels a side, each for an equal share of the first stage.
        high, low: times, annealed over each stage (the second starts half way down).
        elevations: range of the rigs' elevation, degrees.
        field: what is fitted in the first stage; a tri-plane and a hash grid have their detail from the start.

    Raises:
        InputError: no steps, or a field of another name.
    """

    geometry: int = 160
    colour: int = 40
    guidance: float = 2.0
    sizes: tuple[int, ...] = (32, 48, 64)
    high: float = 0.98
    low: float = 0.08
    elevations: tuple[float, float] = (-10.0, 45.0)
    field: FieldName = "voxel"

    def __post_init__(self) -> None:
        if self.geometry < len(self.sizes) or self.colour < 1 or not self.sizes:
            raise InputError(f"Distill: {self}; expected steps of both stages, and at least one a size")
        if self.field not in get_args(FieldName):
            raise InputError(f"Distill: field {self.field!r}; expected one of {', '.join(get_args(FieldName))}")

    @property
    def nfe(self) -> int:
        return 2 * (self.geometry + self.colour)

    @property
    def length(self) -> int:
        return self.geometry + self.colour + 1

    def frames(self, prior: TextToShape, request: Request[Words]) -> Iterator[Frame]:
        device = next(prior.parameters()).device
        generator = torch.Generator().manual_seed(request.seed)
        total = self.geometry + self.colour
        record = Record(every=max(1, total // _SHOWN))
        view = (request.words.finish, prior.size, prior.extent, generator)
        if request.paint is not None:
            body = body_field(request.paint, size=self.sizes[-1]).to(device)
        else:
            sketch = None if request.sketch is None else Sketch.of(request.sketch)
            shaping = FieldFit(empty_field(self.field, self.sizes[0]).to(device), *view, rate=0.2, sketch=sketch)
            shape = rules.x0(self.guidance, high=self.high, low=self.low)
            for step in range(self.geometry):
                size = self.sizes[step * len(self.sizes) // self.geometry]
                if shaping.field.resolution != size:
                    shaping.refine(size)
                yield self._step(shape, prior, request, shaping, Place(step, total, step / self.geometry, record))
            body = on_voxels(shaping.field, self.sizes[-1])
        fit = Fit(body, *view, rate=0.1, geometry=False)
        tint = rules.x0(self.guidance, high=(self.high + self.low) / 2, low=self.low)
        for step in range(self.colour):
            yield self._step(tint, prior, request, fit, Place(self.geometry + step, total, step / self.colour, record))
        shown = fit.pictures(self._rig(generator).to(device)[0], random=False).detach()
        yield Frame(total, total, OpaqueBody(fit.field), shown, record)

    def _step(self, rule: ScoreDistillation, prior: TextToShape, request: Request[Words], fit: FieldFit, place: Place) -> Frame:
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
        place.record.add(result)
        return Frame(place.done, place.of, OpaqueBody(fit.field), result.x0[0].detach(), place.record)

    def _rig(self, generator: torch.Generator) -> torch.Tensor:
        turn, rise = torch.rand(2, generator=generator)
        low, high = self.elevations
        return rig(360 * turn[None], low + (high - low) * rise[None], 4)
