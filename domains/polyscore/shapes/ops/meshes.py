r"""Meshes as tensors: normals, edges, losses that keep a surface even, points drawn from it.

Vertices (V, 3), faces (F, 3). With e_ij the edges, n_f the unit normals of faces and N(i) the neighbours of vertex i,

    edge length        mean_ij (|e_ij| - target)^2
    Laplacian          mean_i |mean_{j in N(i)} v_j - v_i|                        (uniform weights)
    normal consistency mean over edges between two faces f, g of 1 - n_f . n_g

Sources: Wang et al. 2018 (Pixel2Mesh), arXiv 1804.01654; Desbrun et al. 1999, doi 10.1145/311535.311576; defined as PyTorch3D
(Ravi et al. 2020, arXiv 2007.08501) does for one mesh.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import normalize

from polyscore.errors import InputError

__all__ = [
    "edge_length_loss",
    "edges_of",
    "face_areas",
    "face_normals",
    "face_pairs",
    "laplacian_loss",
    "normal_consistency",
    "sample_points",
    "vertex_normals",
]


def face_normals(vertices: Tensor, faces: Tensor) -> Tensor:
    """(b - a) x (c - a) (..., F, 3) of faces with corners a, b, c: twice the area long, outward where they turn left."""
    a, b, c = (vertices[..., faces[:, i], :] for i in range(3))
    across: Tensor = torch.linalg.cross(b - a, c - a)
    return across


def face_areas(vertices: Tensor, faces: Tensor) -> Tensor:
    """Areas (..., F)."""
    areas: Tensor = face_normals(vertices, faces).norm(dim=-1) / 2
    return areas


def vertex_normals(vertices: Tensor, faces: Tensor) -> Tensor:
    """Unit normals (..., V, 3): over a vertex's faces the sum of their normals times their areas; 0 at one without a face."""
    across = face_normals(vertices, faces)
    total = torch.zeros_like(vertices)
    for i in range(3):
        total = total.index_add(-2, faces[:, i], across)
    return normalize(total, dim=-1, eps=1e-12)


def edges_of(faces: Tensor) -> Tensor:
    """Every edge once, (E, 2) with the smaller index first, sorted."""
    return _unique(faces)[0]


def face_pairs(faces: Tensor) -> Tensor:
    """Pairs of faces (P, 2) that share an edge; k faces at one edge make k (k - 1) / 2 pairs."""
    _, number, count = _unique(faces)
    face = torch.arange(len(faces), device=faces.device).repeat_interleave(3)[number.argsort(stable=True)]
    first = count.cumsum(0) - count
    found = []
    for i in range(int(count.max()) if len(count) else 0):
        for j in range(i + 1, int(count.max())):
            there = first[count > j]
            found.append(torch.stack([face[there + i], face[there + j]], -1))
    return torch.cat(found) if found else faces.new_zeros(0, 2)


def edge_length_loss(vertices: Tensor, faces: Tensor, target: float = 0.0) -> Tensor:
    """The mean squared difference of an edge's length from `target`."""
    a, b = edges_of(faces).unbind(-1)
    return _mean((torch.linalg.vector_norm(vertices[a] - vertices[b], dim=-1) - target).square())


def laplacian_loss(vertices: Tensor, faces: Tensor) -> Tensor:
    """The mean distance of a vertex from the mean of its neighbours."""
    a, b = edges_of(faces).unbind(-1)
    ends, others = torch.cat([a, b]), torch.cat([b, a])
    total = torch.zeros_like(vertices).index_add(0, ends, vertices[others])
    count = torch.zeros_like(vertices[:, :1]).index_add(0, ends, torch.ones_like(vertices[ends, :1]))
    off = torch.where(count > 0, total / count.clamp_min(1) - vertices, 0.0)
    return _mean(torch.linalg.vector_norm(off, dim=-1))


def normal_consistency(vertices: Tensor, faces: Tensor) -> Tensor:
    """The mean over edges of 1 - cos of the angle between the normals of the two faces there; 0 on a plane."""
    pairs = face_pairs(faces)
    normals = normalize(face_normals(vertices, faces), dim=-1, eps=1e-12)
    return (1 - (normals[pairs[:, 0]] * normals[pairs[:, 1]]).sum(-1)).mean()


def sample_points(
    vertices: Tensor, faces: Tensor, count: int, *, generator: torch.Generator
) -> tuple[Tensor, Tensor, Tensor]:
    """Points drawn evenly from the surface (count, 3), the faces they lie on (count,), their coordinates there (count, 3).

    A face is drawn with its area's share; on it, with u, v uniform, the coordinates are 1 - sqrt u, sqrt u (1 - v), sqrt u v
    (Osada et al. 2002, Shape distributions). Points are differentiable in the vertices.

    Raises:
        InputError: the mesh has no area, or fewer than one point is asked for.
    """
    areas = face_areas(vertices.detach(), faces)
    if count < 1 or not float(areas.sum()) > 0:
        raise InputError(f"sample_points: {count} points of an area of {float(areas.sum()):g}; expected more than 0 of both")
    draws = torch.rand(3, count, generator=generator, dtype=torch.float64, device=generator.device).to(vertices.device)
    share = areas.double().cumsum(0)
    face = torch.searchsorted(share, draws[0] * share[-1], right=True).clamp_max(len(faces) - 1)
    root, v = draws[1].sqrt().to(vertices.dtype), draws[2].to(vertices.dtype)
    place = torch.stack([1 - root, root * (1 - v), root * v], -1)
    return (place[..., None] * vertices[faces[face]]).sum(-2), face, place


def _unique(faces: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Every edge once (E, 2), the number (3 F,) of the edge of each side of a face, and how many sides an edge has (E,)."""
    low, high = faces[:, [0, 1, 1, 2, 2, 0]].long().reshape(-1, 2).sort(-1).values.unbind(-1)
    base = int(faces.max()) + 1 if len(faces) else 1
    # one number an edge: unique rows cost 25 times as much
    key, number, count = torch.unique(low * base + high, return_inverse=True, return_counts=True)
    return torch.stack([key // base, key % base], -1).to(faces), number, count


def _mean(x: Tensor) -> Tensor:
    return x.mean()
