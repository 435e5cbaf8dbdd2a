"""Fitting a field to pictures: a few steps of Adam on what a volume renderer shows."""

from __future__ import annotations

from dataclasses import dataclass
from dataclasses import field as later

import torch
from torch import Tensor, nn

from polyscore.shapes.engines.hull import carve, fog, hull, room_of
from polyscore.shapes.engines.sketch import Sketch
from polyscore.shapes.fields import RadianceField, VoxelField
from polyscore.shapes.finishes import Finish
from polyscore.shapes.pictures import layers
from polyscore.shapes.render.cameras import Orthographic
from polyscore.shapes.render.volume import render, shaded

__all__ = ["FieldFit", "Fit", "camera_of"]


def camera_of(angles: Tensor, extent: float) -> Orthographic:
    """Cameras at angles (N, 2) in degrees."""
    azimuth, elevation = angles.unbind(-1)
    return Orthographic.orbit(azimuth, elevation, 2.0, height=extent)


@dataclass
class FieldFit:
    """A field under its optimiser.

    Attributes:
        field: what is fitted.
        finish: how its surface looks.
        size: pixels of the pictures.
        extent: what their height covers.
        generator: of the places of samples along rays, and of the choice of views.
        rate: learning rate of raw values; a field's own `pace` is a factor of it.
        smooth: weight of the field's roughness.
        sketch: a body to follow, with its weight.
    """

    field: RadianceField
    finish: Finish
    size: int
    extent: float
    generator: torch.Generator
    rate: float = 0.3
    smooth: float = 0.02
    sketch: Sketch | None = None
    follow: float = 0.5

    def __post_init__(self) -> None:
        self.optimiser = torch.optim.Adam(self.moved(), self.rate * self.field.pace, betas=(0.9, 0.95))

    def moved(self) -> list[nn.Parameter]:
        """What the optimiser moves."""
        return list(self.field.parameters())

    def pictures(self, angles: Tensor, *, random: bool = True) -> Tensor:
        """What cameras at angles (N, 2) see of the field now, (N, 7, size, size)."""
        camera = camera_of(angles, self.extent)
        generator = self.generator if random else None
        seen = render(
            self.field, camera, self.size, samples=self.field.resolution, generator=generator, room=self.looked_at()
        )
        return shaded(seen, self.finish)

    def looked_at(self) -> Tensor | None:
        """Where something may be (n, n, n); None: everywhere."""
        return None

    def step(self, loss: Tensor) -> None:
        """One step down a loss of the pictures, with the regularisers."""
        self.descend(self.regular(loss))

    def regular(self, loss: Tensor) -> Tensor:
        """The loss with the regularisers of the geometry."""
        loss = loss + self.smooth * self.field.roughness()
        return loss if self.sketch is None else loss + self.follow * self.sketch.loss(self.field)

    def descend(self, loss: Tensor) -> None:
        """One step of the optimiser."""
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimiser.step()

    def to(self, angles: Tensor, wanted: Tensor, steps: int, *, views: int = 4, share: float = 1.0) -> None:
        """`steps` steps towards pictures `wanted` (N, 7, size, size), each on `views` of them in a random order.

        The learning rate is `share` of the full one: small at the end of a run, where it would leave specks.
        """
        for group in self.optimiser.param_groups:
            group["lr"] = share * self.rate * self.field.pace
        order: list[int] = []
        for _ in range(steps):
            if len(order) < views:
                order += torch.randperm(len(angles), generator=self.generator).tolist()
            pick, order = order[:views], order[views:]
            self.step((self.pictures(angles[pick]) - wanted[pick]).square().mean())

    def refine(self, size: int) -> None:
        """Go on with another number of details, where the field has such a number."""
        finer = self.field.refined(size)
        if finer is not self.field:
            self.field = finer
            self.__post_init__()


@dataclass
class Fit(FieldFit):
    """A voxel field under its optimiser, kept inside the hull of what it is fitted to.

    Attributes:
        geometry: whether the density moves too, or the colours alone.
        hull, room: of the last pictures (see `inside`); outside of the room rays are not followed.
    """

    field: VoxelField
    geometry: bool = True
    hull: Tensor | None = later(default=None, init=False)
    room: Tensor | None = later(default=None, init=False)

    def moved(self) -> list[nn.Parameter]:
        return [self.field.raw_colour, *([self.field.raw] if self.geometry else [])]

    def looked_at(self) -> Tensor | None:
        return self.room

    def step(self, loss: Tensor) -> None:
        self.descend(self.regular(loss) if self.geometry else loss)

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
        self.hull = self.room = None
        super().refine(size)
