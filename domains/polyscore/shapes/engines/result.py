"""What an engine hands over, and the mesh that it becomes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from polyscore.shapes.engines.opaque import calm, hidden, level_of
from polyscore.shapes.fields import RadianceField
from polyscore.shapes.finishes import Finish
from polyscore.shapes.mesh import Colour, Field, bake, body, paint, unit_box

if TYPE_CHECKING:
    from trimesh import Trimesh

__all__ = ["Body", "LevelBody", "OpaqueBody", "coloured", "mesh_of", "painted"]

_SEEN = 64  # voxels a side of what cameras see, about as many as fields have
_EDGE = 0.04  # vertices this close carry colours well enough
_MOST = 150_000


class Body(ABC):
    """A shape in [-1/2, 1/2]^3 that can become a mesh, with a colour at every point."""

    @abstractmethod
    def mesh(self, *, resolution: int = 96, faces: int = 10_000) -> Trimesh:
        """The body without colours, closed and of one part, in about so many triangles.

        Raises:
            InputError: it holds no body.
            MissingExtraError: a package of the extra `shapes` is missing.
        """

    @abstractmethod
    def colour(self, points: Tensor) -> Tensor:
        """Red, green, blue in [0, 1] at points (N, 3), (N, 3)."""


@dataclass(frozen=True)
class OpaqueBody(Body):
    """What cameras do not see through a field of density and colour, see `polyscore.shapes.engines.opaque`."""

    field: RadianceField

    def mesh(self, *, resolution: int = 96, faces: int = 10_000) -> Trimesh:
        return mesh_of(self.field, resolution=resolution, faces=faces)

    @torch.no_grad()
    def colour(self, points: Tensor) -> Tensor:
        device = next(self.field.parameters()).device
        return self.field.colour(points.to(device)).to(points.device)


@dataclass(frozen=True)
class LevelBody(Body):
    """Where a level is positive.

    Attributes:
        level: points (N, 3) -> values (N,), positive inside.
        tint: points (N, 3) -> colours (N, 3).
        smoothing: iterations of Taubin's filter on its surface.
    """

    level: Field
    tint: Colour
    smoothing: int = 0

    def mesh(self, *, resolution: int = 96, faces: int = 10_000) -> Trimesh:
        return body(self.level, resolution, faces=faces, smoothing=self.smoothing)

    @torch.no_grad()
    def colour(self, points: Tensor) -> Tensor:
        return self.tint(points)


def mesh_of(field: RadianceField, *, resolution: int = 96, faces: int = 10_000) -> Trimesh:
    """The field's body (`polyscore.shapes.engines.opaque`) without colours, closed and of one part, slightly smoothed.

    Raises:
        InputError: the field holds no body.
        MissingExtraError: a package of the extra `shapes` is missing.
    """
    level = level_of(calm(hidden(field, min(resolution, _SEEN))).cpu())
    return body(level, resolution, faces=faces, smoothing=4)


def coloured(mesh: Trimesh, colour: Colour, finish: Finish, *, texture: int = 0) -> Trimesh:
    """The mesh with these colours, at its vertices or in a texture of so many texels a side, in the unit box."""
    if texture:
        return unit_box(bake(mesh, colour, texture, metallic=finish.metallic, roughness=finish.roughness))
    return unit_box(paint(mesh, colour, metallic=finish.metallic, roughness=finish.roughness))


def painted(mesh: Trimesh, colour: Colour, finish: Finish, *, texture: int = 0) -> Trimesh:
    """A given mesh with these colours; without a texture its faces are divided until vertices lie close enough."""
    fine = mesh
    while not texture and float(fine.edges_unique_length.max()) > _EDGE and 4 * len(fine.faces) <= _MOST:
        fine = fine.subdivide()
    return coloured(fine, colour, finish, texture=texture)
