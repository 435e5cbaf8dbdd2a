"""What a mesh is: closed or not, how many bodies, which genus, how large."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from polyscore.shapes.mesh.topology import bodies, directed_edges, volumes, weld

if TYPE_CHECKING:
    from trimesh import Trimesh

__all__ = ["MeshFacts", "examine"]


@dataclass(frozen=True)
class MeshFacts:
    """Facts of a mesh whose equal vertices count as one, as they do for the surface.

    Attributes:
        vertices, faces: as the file has them.
        watertight: every edge has exactly two faces, and no vertex of a face is not finite.
        winding: no two faces run along an edge in the same direction.
        bodies: parts without a common vertex.
        euler_number: V - E + F; 2 for each body without holes, 2 less for each handle.
        open_edges, crowded_edges: edges of one face, and of more than two.
        degenerate_faces: faces with two equal corners or without area.
        nan_vertices: vertices with a coordinate that is not finite.
        volume: signed; None unless watertight.
        area: of all faces.
        low, high: corners of the box around the finite vertices.
        colours: "texture", "vertex", "face" or None.
    """

    vertices: int
    faces: int
    watertight: bool
    winding: bool
    bodies: int
    euler_number: int
    open_edges: int
    crowded_edges: int
    degenerate_faces: int
    nan_vertices: int
    volume: float | None
    area: float
    low: tuple[float, ...]
    high: tuple[float, ...]
    colours: str | None


def examine(mesh: Trimesh) -> MeshFacts:
    """The facts of a mesh.

    Raises:
        MissingExtraError: scipy is not installed.
    """
    points, given = np.asarray(mesh.vertices, dtype=np.float64), np.asarray(mesh.faces)
    finite = np.isfinite(points.sum(axis=1))
    whole = given[finite[given].all(axis=1)]
    joined, faces = weld(np.where(finite[:, None], points, 0.0), whole)
    a, b, c = (joined[faces[:, i]] for i in range(3))
    area = np.linalg.norm(np.cross(b - a, c - a), axis=-1) / 2
    edges = directed_edges(faces)
    count = np.unique(np.sort(edges, axis=1), axis=0, return_counts=True)[1]
    number = bodies(faces, len(joined))
    watertight = len(faces) > 0 and bool((count == 2).all()) and len(whole) == len(given)
    box = points[finite] if finite.any() else np.full((1, 3), np.nan)
    return MeshFacts(
        vertices=len(points),
        faces=len(given),
        watertight=watertight,
        winding=len(np.unique(edges, axis=0)) == len(edges),
        bodies=int(number.max()) + 1 if len(number) else 0,
        euler_number=len(np.unique(faces)) - len(count) + len(faces),
        open_edges=int((count == 1).sum()),
        crowded_edges=int((count > 2).sum()),
        degenerate_faces=len(whole) - len(faces) + int((area == 0).sum()),
        nan_vertices=int((~finite).sum()),
        volume=float(volumes(joined, faces, number).sum()) if watertight else None,
        area=float(area.sum()),
        low=tuple(map(float, box.min(axis=0))),
        high=tuple(map(float, box.max(axis=0))),
        colours=getattr(mesh.visual, "kind", None),
    )
