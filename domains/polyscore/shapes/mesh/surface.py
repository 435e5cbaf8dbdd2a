"""Surfaces of fields: marching cubes on the cells that carry surface.

Lorensen and Cline 1987, in the tables of Lewiner et al. 2003 (scikit-image). The grid of `sample_surface` has no face whose
corners alternate in sign, so no case is ambiguous and the surface is closed: every edge has two triangles, which run along it in
opposite directions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from polyscore.errors import InputError
from polyscore.shapes.mesh.grid import Field, Samples, sample_surface
from polyscore.shapes.packages import package

if TYPE_CHECKING:
    from trimesh import Trimesh

__all__ = ["isosurface", "triangulate"]


def isosurface(field: Field, resolution: int = 128, **grid: Any) -> Trimesh:
    """The closed surface around the points where `field` is positive; `grid` are arguments of `sample_surface`.

    Raises:
        InputError: the field is positive nowhere, or has values that cannot be used.
        MissingExtraError: trimesh or scikit-image is not installed.
    """
    return triangulate(sample_surface(field, resolution, **grid))


def triangulate(samples: Samples) -> Trimesh:
    """The surface through the cells of `samples`, normals outward."""
    trimesh, measure = package("trimesh", "a mesh"), package("skimage.measure", "marching cubes")
    if not samples.cells.any():
        raise InputError("isosurface: the field is positive at no point of the grid; expected a body inside the box")
    points, faces, _, _ = measure.marching_cubes(
        samples.values, 0.0, mask=samples.cells, allow_degenerate=True, gradient_direction="ascent"
    )
    mesh: Trimesh = trimesh.Trimesh(points.astype("float64") * samples.spacing + samples.low, faces, process=False)
    return mesh
