"""The fields that distillation can begin with, all of them empty, and a field's values on a grid of voxels."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Literal

import torch

from polyscore.errors import InputError
from polyscore.shapes.data.procedural import grid_points
from polyscore.shapes.fields import HashField, RadianceField, SdfField, TriplaneField, VoxelField

__all__ = ["FieldName", "empty_field", "on_voxels"]

FieldName = Literal["voxel", "triplane", "hash", "sdf"]

# A signed distance of nowhere has no slope to begin with: beta is wide, and the surface 0.15 below the middle.
_MAKERS: Mapping[str, Callable[[int], RadianceField]] = MappingProxyType(
    {
        "voxel": lambda size: VoxelField(size),
        "triplane": lambda size: TriplaneField(2 * size),
        "hash": lambda size: HashField(fine=2 * size),
        "sdf": lambda size: SdfField(size, beta=0.06, radius=-0.15),
    }
)


def empty_field(name: str, size: int) -> RadianceField:
    """A field of about `size` details a side with nothing in it.

    Raises:
        InputError: no field of that name.
    """
    if name not in _MAKERS:
        raise InputError(f"field {name!r}: unknown; expected one of {', '.join(_MAKERS)}")
    return _MAKERS[name](size)


@torch.no_grad()
def on_voxels(field: RadianceField, size: int) -> VoxelField:
    """The density and the colours of any field at the centres of voxels.

    A voxel field's density and colour have parameters of their own, so that one can be held while the other moves.
    """
    if isinstance(field, VoxelField) and field.size == size:
        return field
    first = next(field.parameters())
    grid = VoxelField(size).to(first)
    points = grid_points(size).reshape(-1, 3).to(first)
    density = torch.cat([field.density(part) for part in torch.split(points, 1 << 16)])
    colour = torch.cat([field.colour(part) for part in torch.split(points, 1 << 16)])
    share = (density / grid.scale).clamp(min=grid.haze / grid.scale)
    raw = share + torch.log(-torch.expm1(-share)) - grid.bias  # the inverse of softplus
    grid.raw.copy_(raw.view_as(grid.raw))
    grid.raw_colour.copy_(torch.logit(colour.clamp(0.01, 0.99)).T.reshape(grid.raw_colour.shape))
    return grid
