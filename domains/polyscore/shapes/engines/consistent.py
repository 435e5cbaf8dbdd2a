r"""A sampler whose views are views of one body: denoise, fit a field, look at it again, put the noise back.

Rigs of four views are denoised together. At every step from t to u the clean views x0 of the guided model are drawn towards what
one field shows of itself, z, after a few steps of fitting it to them:

    x0 = D(x_t, t),      field <- fit(field, x0),      z = (1 - m) x0 + m render(field),
    eps = (x_t - a_t z) / s_t,      x_u = a_u z + s_u eps

(the idea of Human-3Diffusion and Gen-3Diffusion: Xue et al. 2024, arXiv 2406.08475, 2412.06698, here with a fitted field in place
of a trained reconstructor). It is a wrapper of the denoiser under plain DDIM. The field begins, below the time `begin`, as fog in
the visual hull of the views; below `free` the views go their own way, which keeps them sharp; at the end the field is fitted to
them at full resolution, and coloured with its geometry fixed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from polyscore.denoisers import Prediction
from polyscore.errors import InputError
from polyscore.samplers import DDIM, trajectory
from polyscore.shapes.engines.base import Frame, Request
from polyscore.shapes.engines.colour import carry_back
from polyscore.shapes.engines.fit import Fit, camera_of
from polyscore.shapes.engines.result import OpaqueBody
from polyscore.shapes.engines.sketch import Sketch, body_field
from polyscore.shapes.engines.views import FromViews
from polyscore.shapes.fields import VoxelField
from polyscore.shapes.pictures import CHANNELS, rig
from polyscore.shapes.text import TextToShape
from polyscore.shapes.words import Words
from polyscore.state import Given

__all__ = ["Consistent", "OneBody"]


@dataclass(frozen=True)
class OneBody:
    """The denoiser whose clean views are drawn towards those of one field.

    Attributes:
        denoiser: of rigs (B, V, 7, H, W).
        fit: the field.
        angles: of all views (B, V, 2).
        steps: of fitting at a call.
        between: times (low, high] at which views are drawn to the field's; above there is no field yet.
        share: m.
    """

    denoiser: Any
    fit: Fit
    angles: Tensor
    steps: int
    between: tuple[float, float]
    share: float

    def __call__(self, x: Tensor, t: Any, given: Given) -> Prediction:
        """`x` (B, V, 7, H, W)."""
        with torch.no_grad():
            wanted = self.denoiser(x, t, given).x0
        low, high = self.between
        if not low < float(torch.as_tensor(t).max()) <= high:
            return Prediction(wanted)
        flat, angles = wanted.flatten(0, 1), self.angles.flatten(0, 1)
        with torch.enable_grad():
            self.fit.inside(angles, flat)
            self.fit.to(angles, flat, self.steps)
        with torch.no_grad():
            seen = self.fit.pictures(angles, random=False).view_as(wanted)
        return Prediction(wanted + self.share * (seen - wanted))


@dataclass(frozen=True)
class Consistent(FromViews):
    """The sampler above.

    Args:
        steps: of DDIM.
        guidance: of the words.
        elevations: one rig of four views at each, in degrees; every rig is turned on by 45 degrees.
        coarse, fine: voxels a side during the run and at its end.
        fits: steps of fitting after a denoising.
        last: steps of fitting at the end.
        begin, free: the field has its say at times from `begin` down to `free`.
        share: how much of a view it replaces there.

    Raises:
        InputError: no steps or no rig.
    """

    steps: int = 12
    guidance: float = 2.0
    elevations: tuple[float, ...] = (15.0, 40.0, -8.0)
    coarse: int = 40
    fine: int = 64
    fits: int = 5
    last: int = 100
    begin: float = 0.8
    free: float = 0.25
    share: float = 0.8

    def __post_init__(self) -> None:
        if min(self.steps, self.fits, self.last, len(self.elevations)) < 1:
            raise InputError(f"Consistent: {self}; expected at least one step of each kind and one rig")

    @property
    def nfe(self) -> int:
        return self.steps * len(self.elevations) * (2 if self.guidance != 1 else 1)

    @property
    def length(self) -> int:
        return self.steps + 2 + self.last // 10

    def frames(self, prior: TextToShape, request: Request[Words]) -> Iterator[Frame]:
        device = next(prior.parameters()).device
        generator = torch.Generator().manual_seed(request.seed)
        first = 90 * torch.rand(1, generator=generator)
        turns = first + 45.0 * torch.arange(len(self.elevations))
        angles = rig(turns, torch.tensor(self.elevations), 4).to(device)
        painting = request.paint is not None
        field = VoxelField(self.coarse) if request.paint is None else body_field(request.paint, size=self.fine)
        fit = Fit(
            field.to(device),
            request.words.finish,
            prior.size,
            prior.extent,
            generator,
            sketch=None if request.sketch is None else Sketch.of(request.sketch),
            geometry=not painting,
        )
        total = self.steps + self.last
        between = (0.0, 1.0) if painting else (self.free, self.begin)
        denoiser = OneBody(prior.guided(self.guidance), fit, angles, self.fits, between, self.share)
        like = angles.new_empty(*angles.shape[:2], CHANNELS, prior.size, prior.size)
        given = Given(cond=prior.prompts(request.words, angles)["cond"])
        process: Any = prior.denoiser.process
        views = like
        for frame in trajectory(DDIM(), denoiser, process, like, steps=self.steps, given=given, noise=request.seed):
            views = frame.prediction.x0
            yield Frame(frame.i, total, OpaqueBody(fit.field), views[0])
        flat, seen = views.flatten(0, 1), angles.flatten(0, 1)
        if not painting:
            fit.refine(self.fine)
            fit.inside(seen, flat)
            for done in range(0, self.last, 10):
                fit.carve()
                fit.to(seen, flat, min(10, self.last - done), share=1 - 0.85 * done / self.last)
                yield Frame(self.steps + done, total, OpaqueBody(fit.field), views[0])
        carry_back(fit.field, camera_of(seen, prior.extent), flat, request.words.finish)
        with torch.no_grad():
            yield Frame(total, total, OpaqueBody(fit.field), fit.pictures(angles[0], random=False))
