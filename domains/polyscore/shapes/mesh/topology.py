"""How triangles hang together: edges, bodies, closedness. `weld` makes vertices of equal position one."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from polyscore.shapes.packages import package

__all__ = ["bodies", "directed_edges", "is_closed", "is_oriented", "volumes", "weld"]

Faces = NDArray[Any]
Points = NDArray[np.float64]


def weld(points: Points, faces: Faces) -> tuple[Points, Faces]:
    """Points that are equal become one, and faces that have two equal corners go.

    A file splits a vertex where texture or normals jump; the surface does not.
    """
    unique, inverse = np.unique(points, axis=0, return_inverse=True)
    joined = inverse.reshape(-1)[faces].reshape(-1, 3)
    flat = (joined == np.roll(joined, 1, axis=1)).any(axis=1)
    return unique, joined[~flat]


def directed_edges(faces: Faces) -> Faces:
    """The three edges of every face, in its sense: (3 F, 2)."""
    return np.asarray(faces)[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2)


def is_closed(faces: Faces) -> bool:
    """Whether there are faces and every edge belongs to exactly two of them."""
    _, count = np.unique(np.sort(directed_edges(faces), axis=1), axis=0, return_counts=True)
    return len(count) > 0 and bool((count == 2).all())


def is_oriented(faces: Faces) -> bool:
    """Whether no two faces run along an edge in the same direction."""
    edges = directed_edges(faces)
    return len(np.unique(edges, axis=0)) == len(edges)


def bodies(faces: Faces, vertices: int) -> NDArray[np.int64]:
    """For every face the number of its body: faces that share a vertex, also through others, are one.

    Raises:
        MissingExtraError: scipy is not installed.
    """
    sparse, graph = package("scipy.sparse", "a mesh's bodies"), package("scipy.sparse.csgraph", "a mesh's bodies")
    edges = directed_edges(faces)
    links = sparse.coo_matrix((np.ones(len(edges), dtype=np.int8), edges.T), shape=(vertices, vertices))
    label = graph.connected_components(links, directed=False)[1][np.asarray(faces)[:, 0]] if len(faces) else np.zeros(0)
    numbers: NDArray[np.int64] = np.unique(label, return_inverse=True)[1].reshape(-1)
    return numbers


def volumes(points: Points, faces: Faces, body: NDArray[np.int64]) -> Points:
    """The signed volume of every body, sum det(a, b, c) / 6; below 0 for a cavity. It means something for closed bodies."""
    a, b, c = (np.asarray(points, dtype=np.float64)[np.asarray(faces)[:, i]] for i in range(3))
    return np.bincount(body, weights=(np.cross(a, b) * c).sum(-1) / 6).astype(np.float64)
