r"""Remeshing: a closed triangle mesh whose edges are about l long, and whose vertices have about six neighbours.

One pass, of a closed oriented manifold to another one of the same genus (Botsch and Kobbelt 2004, A remeshing approach to
multiresolution modeling):

1. split: edges longer than 4 l / 3 get a vertex in their middle;
2. collapse: edges shorter than 4 l / 5 become their middle, where their ends have exactly two common neighbours (else the surface
   would be pinched) and no triangle around turns over;
3. flip: an edge between two triangles becomes the other diagonal of their quadrilateral, where that brings valences closer to 6;
4. relax: vertices move a quarter of the way to the mean of their neighbours, in their tangent plane.

Collapses and flips of one pass have disjoint neighbourhoods, so each sees the mesh as it was. Values at the vertices (an
optimiser's moments) are averaged along.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from polyscore.errors import InputError
from polyscore.shapes.mesh.topology import directed_edges, is_closed, is_oriented

__all__ = ["remesh"]

Points = NDArray[np.float64]
Faces = NDArray[np.int64]


def remesh(points: Any, faces: Any, edge: float, values: Any = None) -> tuple[Points, Faces, Points]:
    """One pass towards edges of length `edge`: points (V, 3), faces (F, 3) and values (V, K) anew.

    Raises:
        InputError: the mesh is not closed and oriented, or the length is not positive.
    """
    x, f = np.asarray(points, dtype=np.float64), np.asarray(faces, dtype=np.int64)
    if edge <= 0 or not is_closed(f) or not is_oriented(f):
        raise InputError(f"remesh: an edge of {edge:g} and {len(f)} faces; expected more than 0, and a closed oriented mesh")
    extra = np.zeros((len(x), 0)) if values is None else np.asarray(values, dtype=np.float64)
    state = np.concatenate([x, extra], axis=1)
    state, f = _split(state, f, 4 / 3 * edge)
    state, f = _collapse(state, f, 4 / 5 * edge)
    f = _flip(state[:, :3], f)
    state[:, :3] = _relax(state[:, :3], f)
    return state[:, :3], f, state[:, 3:]


def _split(state: Points, faces: Faces, longest: float) -> tuple[Points, Faces]:
    edges, number = np.unique(np.sort(directed_edges(faces), axis=1), axis=0, return_inverse=True)
    long = np.linalg.norm(state[edges[:, 0], :3] - state[edges[:, 1], :3], axis=1) > longest
    middle = np.full(len(edges), -1)
    middle[long] = len(state) + np.arange(long.sum())
    mids = middle[number.reshape(-1, 3)]  # on the sides ab, bc, ca of every face; -1 where the side stays
    parts = [faces[(mids < 0).all(axis=1)]]
    for turn in range(3):
        (a, b, c), (p, q, r) = (np.roll(array, -turn, axis=1).T for array in (faces, mids))
        one = (p >= 0) & (q < 0) & (r < 0)
        two = (p >= 0) & (q >= 0) & (r < 0)
        parts += [_rows(one, (a, p, c), (p, b, c)), _rows(two, (p, b, q), (a, p, q), (a, q, c))]
    (a, b, c), (p, q, r) = faces.T, mids.T
    parts.append(_rows(mids.min(axis=1) >= 0, (a, p, r), (p, b, q), (r, q, c), (p, q, r)))
    return np.concatenate([state, state[edges[long]].mean(axis=1)]), np.concatenate(parts)


def _rows(chosen: NDArray[np.bool_], *triangles: tuple[Faces, Faces, Faces]) -> Faces:
    return np.concatenate([np.stack(corners, axis=1)[chosen] for corners in triangles])


def _collapse(state: Points, faces: Faces, shortest: float) -> tuple[Points, Faces]:
    edges = np.unique(np.sort(directed_edges(faces), axis=1), axis=0)
    length = np.linalg.norm(state[edges[:, 0], :3] - state[edges[:, 1], :3], axis=1)
    short = np.flatnonzero(length < shortest)
    if not len(short):
        return state, faces
    around, near = _stars(faces, len(state)), _neighbours(edges, len(state))
    state, target, touched = state.copy(), np.arange(len(state)), np.zeros(len(state), dtype=np.bool_)
    for i, j in edges[short[np.argsort(length[short], kind="stable")]].tolist():
        ring = near[i] | near[j]
        if len(near[i] & near[j]) != 2 or touched[list(ring)].any() or len(ring) < 6:
            continue
        middle = (state[i] + state[j]) / 2
        rest = faces[sorted(around[i] ^ around[j])]  # the faces that stay: those with one of the two ends
        before, after = state[rest, :3], np.where(((rest == i) | (rest == j))[..., None], middle[:3], state[rest, :3])
        old, new = (np.cross(t[:, 1] - t[:, 0], t[:, 2] - t[:, 0]) for t in (before, after))
        if ((old * new).sum(axis=1) <= 0.2 * np.linalg.norm(old, axis=1) * np.linalg.norm(new, axis=1)).any():
            continue
        state[i], target[j] = middle, i
        touched[list(ring)] = True
    moved = target[faces]
    keep = (moved != np.roll(moved, 1, axis=1)).all(axis=1)
    used, index = np.unique(moved[keep], return_inverse=True)
    return state[used], index.reshape(-1, 3)


def _flip(points: Points, faces: Faces) -> Faces:
    faces = faces.copy()
    edges = directed_edges(faces)
    face = {edge: k // 3 for k, edge in enumerate(map(tuple, edges.tolist()))}
    opposite = dict(zip(face, np.roll(faces, 1, axis=1).reshape(-1).tolist(), strict=True))  # the third corner of the side's face
    valence = np.bincount(edges[:, 0], minlength=len(points))
    off = np.abs(np.stack([valence - 1, valence, valence + 1]) - 6)
    touched = np.zeros(len(points), dtype=np.bool_)
    i, j = edges[edges[:, 0] < edges[:, 1]].T
    k = np.array([opposite[edge] for edge in zip(i.tolist(), j.tolist(), strict=True)], dtype=np.int64)
    m = np.array([opposite[edge] for edge in zip(j.tolist(), i.tolist(), strict=True)], dtype=np.int64)
    gain = off[1, i] + off[1, j] + off[1, k] + off[1, m] - off[0, i] - off[0, j] - off[2, k] - off[2, m]
    for at in np.argsort(-gain, kind="stable")[: int((gain > 0).sum())].tolist():
        a, b, c, d = int(i[at]), int(j[at]), int(k[at]), int(m[at])  # faces (a, b, c) and (b, a, d)
        if touched[[a, b, c, d]].any() or (c, d) in face or (d, c) in face or min(valence[a], valence[b]) <= 3:
            continue
        old = _normal(points, (a, b, c)) + _normal(points, (b, a, d))
        first, second = (a, d, c), (d, b, c)
        if min(_normal(points, first) @ old, _normal(points, second) @ old) <= 0.2 * (old @ old) * 0.25:
            continue
        faces[face[a, b]], faces[face[b, a]] = first, second
        touched[[a, b, c, d]] = True
    return faces


def _relax(points: Points, faces: Faces) -> Points:
    edges = directed_edges(faces)
    total, count = np.zeros_like(points), np.bincount(edges[:, 0], minlength=len(points))
    np.add.at(total, edges[:, 0], points[edges[:, 1]])
    step = 0.25 * (total / np.maximum(count, 1)[:, None] - points)
    normals = np.zeros_like(points)
    a, b, c = (points[faces[:, side]] for side in range(3))
    for side in range(3):
        np.add.at(normals, faces[:, side], np.cross(b - a, c - a))
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), np.finfo(np.float64).tiny)
    moved: Points = points + step - (step * normals).sum(axis=1, keepdims=True) * normals
    return moved


def _normal(points: Points, face: tuple[int, int, int]) -> Points:
    a, b, c = points[list(face)]
    across: Points = np.cross(b - a, c - a)
    return across


def _stars(faces: Faces, count: int) -> list[set[int]]:
    """The faces at each vertex."""
    found: list[set[int]] = [set() for _ in range(count)]
    for number, corners in enumerate(faces.tolist()):
        for corner in corners:
            found[corner].add(number)
    return found


def _neighbours(edges: Faces, count: int) -> list[set[int]]:
    """The vertices that share an edge with each."""
    found: list[set[int]] = [set() for _ in range(count)]
    for i, j in edges.tolist():
        found[i].add(j)
        found[j].add(i)
    return found
