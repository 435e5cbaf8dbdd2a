"""Meshes made fit for use: cleaned, one body, smooth, few faces, in the unit box. Every function gives a new mesh.

`largest_body`, `smooth` and `simplify` keep a closed mesh closed: the first two by construction, the third by looking.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import numpy as np

from polyscore.errors import InputError
from polyscore.shapes.mesh.topology import bodies, directed_edges, is_closed, is_oriented, volumes, weld
from polyscore.shapes.packages import package

if TYPE_CHECKING:
    from trimesh import Trimesh

__all__ = ["clean", "is_solid", "largest_body", "simplify", "smooth", "unit_box"]


def is_solid(mesh: Trimesh) -> bool:
    """Whether the mesh is one closed body with its normals outward."""
    faces = np.asarray(mesh.faces)
    if not is_closed(faces) or not is_oriented(faces):
        return False
    volume = volumes(mesh.vertices, faces, bodies(faces, len(mesh.vertices)))
    return len(volume) == 1 and bool(volume[0] > 0)


def clean(mesh: Trimesh) -> Trimesh:
    """Equal vertices made one, faces of no area or with a corner that is no number dropped, then vertices without a face.

    Raises:
        InputError: nothing is left.
    """
    points, faces = weld(np.asarray(mesh.vertices, dtype=np.float64), np.asarray(mesh.faces))
    faces = faces[np.isfinite(points[faces]).all(axis=(1, 2))]
    a, b, c = (points[faces[:, i]] for i in range(3))
    faces = faces[np.linalg.norm(np.cross(b - a, c - a), axis=-1) > 0]
    if not len(faces):
        raise InputError("clean: no face of the mesh has an area; expected triangles with three different corners")
    return _of(points, faces)


def largest_body(mesh: Trimesh) -> Trimesh:
    """The body of largest volume, without the others and without cavities."""
    faces = np.asarray(mesh.faces)
    body = bodies(faces, len(mesh.vertices))
    return _of(mesh.vertices, faces[body == int(volumes(mesh.vertices, faces, body).argmax())])


def smooth(mesh: Trimesh, iterations: int = 10) -> Trimesh:
    """Taubin's filter: steps of +0.5 and -0.53 along the umbrella operator in turn, which smooths without shrinking.

    Source: Taubin 1995, A signal processing approach to fair surface design, doi 10.1145/218380.218473.
    """
    sparse = package("scipy.sparse", "smoothing")
    edges = np.unique(np.sort(directed_edges(mesh.faces), axis=1), axis=0)
    both = np.concatenate([edges, edges[:, ::-1]])
    links = sparse.csr_matrix((np.ones(len(both)), both.T), shape=(len(mesh.vertices),) * 2)
    share = 1 / np.maximum(np.asarray(links.sum(axis=1)), 1)
    points = np.array(mesh.vertices, dtype=np.float64)
    for _ in range(iterations):
        for step in (0.5, -0.53):
            points = points + step * (share * (links @ points) - points)
    return _of(points, mesh.faces)


def simplify(mesh: Trimesh, faces: int) -> Trimesh:
    """About `faces` triangles by quadric error (Garland and Heckbert 1997); the mesh itself where it has no more.

    Collapsing edges may pinch a closed surface, or close a handle. Then fewer are collapsed: the target doubles until the result
    is closed, in one body and of the same Euler number as the mesh was.

    Raises:
        InputError: fewer than four faces are asked for.
        MissingExtraError: fast-simplification is not installed.
    """
    if faces < 4:
        raise InputError(f"simplify: {faces} faces; a closed body has at least 4")
    quadric = package("fast_simplification", "simplification")
    solid, target = is_solid(mesh), faces
    while target < len(mesh.faces):
        points, triangles = quadric.simplify(
            np.ascontiguousarray(mesh.vertices, dtype=np.float32), np.ascontiguousarray(mesh.faces, dtype=np.int32),
            target_count=target,
        )
        small = _of(points, triangles)
        if not solid or (is_solid(clean(small)) and small.euler_number == mesh.euler_number):
            return small
        target *= 2
    return _of(mesh.vertices, mesh.faces)


def unit_box(mesh: Trimesh) -> Trimesh:
    """The mesh centred on the origin, with the longest side of its box 1; colours and texture stay."""
    low, high = np.asarray(mesh.bounds)
    normals = np.array(mesh.vertex_normals)
    moved: Any = mesh.copy()
    moved.vertices = (np.asarray(mesh.vertices) - (low + high) / 2) / max(float((high - low).max()), np.finfo(np.float64).tiny)
    moved.vertex_normals = normals  # of a textured mesh they are those of the whole surface, not those of its charts
    return cast("Trimesh", moved)


def _of(points: object, faces: object) -> Trimesh:
    """A mesh of these faces and of the points they use."""
    trimesh = package("trimesh", "a mesh")
    used, index = np.unique(np.asarray(faces), return_inverse=True)
    mesh: Trimesh = trimesh.Trimesh(np.asarray(points, dtype=np.float64)[used], index.reshape(-1, 3), process=False)
    return mesh
