"""From a field to the mesh that is handed over."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from polyscore.shapes.engines.opaque import calm, hidden, level_of
from polyscore.shapes.fields import RadianceField, VoxelField
from polyscore.shapes.finishes import Finish
from polyscore.shapes.mesh import bake, body, paint, unit_box

if TYPE_CHECKING:
    from trimesh import Trimesh

__all__ = ["coloured", "mesh_of", "painted"]

_SEEN = 64  # voxels a side of what cameras see, about as many as fields have
_EDGE = 0.04  # vertices this close carry colours well enough
_MOST = 150_000


def mesh_of(field: RadianceField, *, resolution: int = 96, faces: int = 10_000) -> Trimesh:
    """The field's body (`polyscore.shapes.engines.opaque`) without colours, closed and of one part, slightly smoothed.

    Raises:
        InputError: the field holds no body.
        MissingExtraError: a package of the extra `shapes` is missing.
    """
    level = level_of(calm(hidden(field, min(resolution, _SEEN))).cpu())
    return body(level, resolution, faces=faces, smoothing=4)


def coloured(mesh: Trimesh, field: RadianceField, finish: Finish, *, texture: int = 0) -> Trimesh:
    """The mesh with the field's colours, at its vertices or in a texture of so many texels a side, in the unit box."""

    @torch.no_grad()
    def colour(points: Tensor) -> Tensor:
        return field.colour(points)

    if texture:
        return unit_box(bake(mesh, colour, texture, metallic=finish.metallic, roughness=finish.roughness))
    return unit_box(paint(mesh, colour, metallic=finish.metallic, roughness=finish.roughness))


def painted(mesh: Trimesh, field: VoxelField, finish: Finish, *, texture: int = 0) -> Trimesh:
    """A given mesh with the field's colours; without a texture its faces are divided until vertices lie close enough."""
    fine = mesh
    while not texture and float(fine.edges_unique_length.max()) > _EDGE and 4 * len(fine.faces) <= _MOST:
        fine = fine.subdivide()
    return coloured(fine, field, finish, texture=texture)
