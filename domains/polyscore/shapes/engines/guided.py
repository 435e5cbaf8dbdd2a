r"""Score distillation of a text-to-image pipeline into a field: open vocabulary, with a model of one's own.

A view of the field from a random side, on a ground of a random grey, is what the pipeline judges; the rule `rules.sds`, or with
`apart` > 0 perpendicular negative prompts, pulls it to the text, which says where the camera stands:

    "TEXT, front view"    |azimuth| < 45                     "TEXT, side view"        up to 135
    "TEXT, back view"     beyond                             "TEXT, overhead view"    elevation above 60

(Poole et al. 2022, DreamFusion, arXiv 2209.14988). The perpendicular negatives of a view are the other two sides (Armandpour et
al. 2023, arXiv 2304.04968), against the many-faces problem. The field starts as fog in a ball, because a guided model says
nothing about an empty picture; the binary entropy of the coverage keeps what forms solid (Metzer et al. 2023, arXiv 2211.07600).
Free text names no finish: surfaces are matte, and their colours are those of the field.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import torch
from torch import Tensor

from polyscore.distillation import Record, ScoreDistillation, Window, rules
from polyscore.errors import InputError
from polyscore.interchange.diffusers.text_to_image import TextToImage
from polyscore.shapes.data.procedural import grid_points
from polyscore.shapes.engines.base import Aid, Engine, Frame, Request
from polyscore.shapes.engines.fit import Fit
from polyscore.shapes.engines.hull import fog
from polyscore.shapes.engines.result import OpaqueBody
from polyscore.shapes.engines.sketch import Sketch, body_field
from polyscore.shapes.fields import VoxelField
from polyscore.shapes.finishes import FINISHES, Finish
from polyscore.shapes.pictures import layers

__all__ = ["Guided", "Prompt", "side"]

_SIDES = ("front", "side", "back", "overhead")
_BALL = 0.35  # radius of the fog


@dataclass(frozen=True)
class Prompt:
    """Free text."""

    text: str
    finish: Finish = FINISHES[0]

    def coloured(self, seed: int) -> Self:
        """The same: a text may name a colour or not."""
        return self

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True)
class Guided(Engine[TextToImage, Prompt]):
    """Distillation of a pipeline.

    Args:
        steps: of the optimiser.
        views: pictures a step.
        size: their pixels a side; they are enlarged to what the pipeline was made for.
        guidance: of the text, in form A.
        apart: weight of the perpendicular negative prompts; 0 asks for none.
        voxels: a side.
        rate: learning rate.
        opaque: weight of the coverage's entropy.
        elevations: range of the cameras, degrees.
        extent: what a picture's height covers.

    Raises:
        InputError: no steps, views or pixels, or a negative weight.
    """

    steps: int = 2000
    views: int = 2
    size: int = 64
    guidance: float = 100.0
    apart: float = 0.0
    voxels: int = 64
    rate: float = 0.05
    opaque: float = 5e-4
    elevations: tuple[float, float] = (-10.0, 75.0)
    extent: float = 1.3

    shipped: ClassVar[str | None] = None
    aids: ClassVar[frozenset[Aid]] = frozenset({"sketch", "paint"})

    def __post_init__(self) -> None:
        if min(self.steps, self.views, self.size) < 1 or min(self.apart, self.opaque) < 0:
            raise InputError(f"Guided: {self}; expected at least one step, view and pixel, and weights of 0 or more")

    @property
    def nfe(self) -> int:
        return self.steps * (4 if self.apart else 2)

    @property
    def length(self) -> int:
        return self.steps + 1

    def load(self, name: str, *, device: str | torch.device = "cpu") -> TextToImage:
        return TextToImage.from_folder(name, device=device)

    def read(self, phrase: str) -> Prompt:
        if not phrase.strip():
            raise InputError('no words; expected what to make, such as "a stone lion"')
        return Prompt(phrase.strip())

    def frames(self, model: TextToImage, request: Request[Prompt]) -> Iterator[Frame]:
        device = next(model.parameters()).device
        generator = torch.Generator().manual_seed(request.seed)
        fit = self._fit(request, generator, device)
        texts = [f"{request.words.text}, {name} view" for name in _SIDES]
        told = dict(zip((*_SIDES, "null"), model.told([*texts, ""])["encoder_hidden_states"], strict=True))
        rule, record = self._rule(), Record(every=self.steps)
        for step in range(self.steps):
            azimuth, elevation, grey = torch.rand(3, self.views, generator=generator)
            low, high = self.elevations
            angles = torch.stack([360 * azimuth - 180, low + (high - low) * elevation], 1)
            seen = layers(fit.pictures(angles.to(device)))
            ground = (1 - seen.coverage)[..., None] * grey.to(device)[:, None, None, None]
            judged = model.states((seen.colour + ground).movedim(-1, 1).clamp(0, 1))
            result = rule(
                judged,
                self._prompts(told, angles),
                denoiser=model.denoiser,
                process=model.process,
                noise=request.seed * 1_000_003 + step * self.views,
                generator=generator,
                progress=step / self.steps,
            )
            record.add(result)
            fit.step(result.loss.mean() / judged[0].numel() + self.opaque * _entropy(seen.coverage))
            yield Frame(step, self.steps, OpaqueBody(fit.field), seen.colour.detach().movedim(-1, 1), record)
        yield Frame(self.steps, self.steps, OpaqueBody(fit.field), record=record)

    def _fit(self, request: Request[Prompt], generator: torch.Generator, device: torch.device) -> Fit:
        if request.paint is not None:
            field = body_field(request.paint, size=self.voxels)
        else:
            field = VoxelField(self.voxels)
            fog(field, ((_BALL - grid_points(self.voxels).norm(dim=-1)) / _BALL).clamp(0, 1))
        sketch = None if request.sketch is None else Sketch.of(request.sketch)
        return Fit(
            field.to(device),
            request.words.finish,
            self.size,
            self.extent,
            generator,
            rate=self.rate,
            sketch=sketch,
            geometry=request.paint is None,
        )

    def _rule(self) -> ScoreDistillation:
        """One time for all views of a step: a network of diffusers is asked at one."""
        others = {f"other {k}": -self.apart for k in (1, 2)}
        rule = rules.perpendicular(others, self.guidance) if self.apart else rules.sds(self.guidance)
        return replace(rule, times=Window((0.02, 0.02, 1.0), (0.98, 0.5, 1.0), shared=True))

    def _prompts(self, told: dict[str, Tensor], angles: Tensor) -> dict[str, Any]:
        names = [side(float(a), float(e)) for a, e in angles]
        asked = {"cond": names, "null": ["null"] * len(names)}
        if self.apart:
            for k in (1, 2):
                asked[f"other {k}"] = [_other(name, k) for name in names]
        return {key: {"encoder_hidden_states": torch.stack([told[name] for name in row])} for key, row in asked.items()}


def side(azimuth: float, elevation: float) -> str:
    """Where a camera at angles in degrees stands: front, side, back or overhead."""
    if elevation > 60:
        return "overhead"
    turned = abs((azimuth + 180) % 360 - 180)
    return "front" if turned < 45 else "side" if turned <= 135 else "back"


def _other(name: str, k: int) -> str:
    """The k-th other side; from overhead none is wrong, and a prompt's own perpendicular part is 0."""
    return name if name == "overhead" else _SIDES[(_SIDES.index(name) + k) % 3]


def _entropy(coverage: Tensor) -> Tensor:
    """The mean binary entropy of coverages, in nats."""
    w = coverage.clamp(1e-4, 1 - 1e-4)
    return -(w * w.log() + (1 - w) * (1 - w).log()).mean()
