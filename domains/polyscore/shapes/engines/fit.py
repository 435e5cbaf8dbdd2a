"""Fitting a voxel field to pictures: a few steps of Adam on what a volume renderer shows."""

from __future__ import annotations

from dataclasses import dataclass
from dataclasses import field as later

import torch
from torch import Tensor

from polyscore.shapes.engines.hull import carve, fog, hull, room_of
from polyscore.shapes.engines.sketch import Sketch
from polyscore.shapes.fields import VoxelField
from polyscore.shapes.finishes import Finish
from polyscore.shapes.pictures import layers
from polyscore.shapes.render.cameras import Orthographic
from polyscore.shapes.render.volume import render, shaded

__all__ = ["Fit", "camera_of"]


def camera_of(angles: Tensor, extent: float) -> Orthographic:
    """Cameras at angles (N, 2) in degrees."""
    azimuth, elevation = angles.unbind(-1)
    return Orthographic.orbit(azimuth, elevation, 2.0, height=extent)


@dataclass
class Fit:
    """A field under its optimiser.

    Attributes:
        field: what is fitted.
        finish: how its surface looks.
        size: pixels of the pictures.
        extent: what their height covers.
        generator: of the places of samples along rays, and of the choice of views.
        rate: learning rate of the raw values.
        smooth: weight of the field's roughness.
        sketch: a body to follow, with its weight.
        geometry: whether the density moves too, or the colours alone.
        hull, room: of the last pictures (see `inside`); outside of the room rays are not followed.
    """

    field: VoxelField
    finish: Finish
    size: int
    extent: float
    generator: torch.Generator
    rate: float = 0.3
    smooth: float = 0.02
    sketch: Sketch | None = None
    follow: float = 0.5
    geometry: bool = True
    hull: Tensor | None = later(default=None, init=False)
    room: Tensor | None = later(default=None, init=False)

    def __post_init__(self) -> None:
        moved = [self.field.raw_colour, *([self.field.raw] if self.geometry else [])]
        self.optimiser = torch.optim.Adam(moved, self.rate, betas=(0.9, 0.95))

    def pictures(self, angles: Tensor, *, random: bool = True) -> Tensor:
        """What cameras at angles (N, 2) see of the field now, (N, 7, size, size)."""
        camera = camera_of(angles, self.extent)
        generator = self.generator if random else None
        seen = render(self.field, camera, self.size, samples=self.field.size, generator=generator, room=self.room)
        return shaded(seen, self.finish)

    def step(self, loss: Tensor) -> None:
        """One step down a loss of the pictures, with the regularisers."""
        if self.geometry:
            loss = loss + self.smooth * self.field.roughness()
            if self.sketch is not None:
                loss = loss + self.follow * self.sketch.loss(self.field)
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimiser.step()

    def to(self, angles: Tensor, wanted: Tensor, steps: int, *, views: int = 4, share: float = 1.0) -> None:
        """`steps` steps towards pictures `wanted` (N, 7, size, size), each on `views` of them in a random order.

        The learning rate is `share` of the full one: small at the end of a run, where it would leave specks.
        """
        for group in self.optimiser.param_groups:
            group["lr"] = share * self.rate
        order: list[int] = []
        for _ in range(steps):
            if len(order) < views:
                order += torch.randperm(len(angles), generator=self.generator).tolist()
            pick, order = order[:views], order[views:]
            self.step((self.pictures(angles[pick]) - wanted[pick]).square().mean())

    def inside(self, angles: Tensor, wanted: Tensor) -> None:
        """Keep the density inside the visual hull of pictures (N, 7, size, size); an empty field is filled with fog there."""
        if self.geometry:
            self.hull = hull(camera_of(angles, self.extent), layers(wanted).coverage.clamp(0, 1), self.field.size)
            self.room = room_of(self.hull)
            if not bool(self.field.raw.any()):
                fog(self.field, self.hull)
            self.carve()

    def carve(self) -> None:
        """Take away what has grown out of the last hull."""
        if self.hull is not None:
            carve(self.field, self.hull)

    def refine(self, size: int) -> None:
        """Go on with another number of voxels."""
        self.field = self.field.refined(size)
        self.hull = self.room = None
        self.__post_init__()
