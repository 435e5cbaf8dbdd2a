"""From a field to a solid: the whole chain in one call."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from polyscore.errors import InputError
from polyscore.shapes.mesh.bodies import is_solid, largest_body, simplify, smooth, unit_box
from polyscore.shapes.mesh.grid import Field
from polyscore.shapes.mesh.paint import Colour, paint
from polyscore.shapes.mesh.surface import isosurface

if TYPE_CHECKING:
    from trimesh import Trimesh

__all__ = ["body", "solid"]


def body(field: Field, resolution: int = 128, *, faces: int = 10_000, smoothing: int = 0, **grid: Any) -> Trimesh:
    """One closed body of at most about `faces` triangles, where the field has it.

    The surface of `field`, its largest body, `smoothing` iterations of Taubin's filter, simplification.

    Args:
        field: points (N, 3) -> values (N,), positive inside.
        resolution: cells a side.
        faces: triangles wanted.
        smoothing: iterations.
        **grid: further arguments of `sample_surface` (coarse, box, batch, device).

    Raises:
        InputError: the field is positive nowhere, its values cannot be used, or what it encloses is no body.
        MissingExtraError: a package of the extra `shapes` is missing.
    """
    mesh = simplify(smooth(largest_body(isosurface(field, resolution, **grid)), smoothing), faces)
    if not is_solid(mesh):
        raise InputError(f"body: {len(mesh.faces)} faces that are not one closed body; expected one larger than a cell")
    return mesh


def solid(field: Field, colour: Colour, resolution: int = 128, **options: Any) -> Trimesh:
    """The `body` of a field with the colours of its vertices, in the unit box [-1/2, 1/2]^3.

    Colours are asked where the field has the body. With a texture: `unit_box(bake(body(field, resolution), colour))`.

    Raises:
        InputError: as `body`, or colours cannot be used.
        MissingExtraError: a package of the extra `shapes` is missing.
    """
    return unit_box(paint(body(field, resolution, **options), colour))
