r"""Hard rasterisation of triangles: which face a pixel sees, and where on it.

A pixel belongs to the nearest triangle that covers its centre p. With the corners a, b, c of the triangle in the picture and
their divisors w (see `cameras`),

    l_a = (b - p) x (c - p) / ((b - a) x (c - a)),  and so on;         beta_i = (l_i / w_i) / sum_j l_j / w_j

are its barycentric coordinates in the picture and on the triangle in space, so an attribute sum_i beta_i u_i is correct in
perspective. Every triangle is scanned over its own bounding box, all of them at once; a z-buffer by scatter-minimum keeps the
nearest, and of equals the one of lower index, so the picture does not depend on the order of execution. The coordinates are then
computed anew for the faces that won, differentiably in the vertices; which face wins has no derivative (`silhouette` has one).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from polyscore.errors import InputError
from polyscore.shapes.render.cameras import Camera, Projection, Size, shape_of

__all__ = ["Fragments", "interpolate", "rasterise", "scan"]

_PAIRS = 1 << 20  # pairs of triangle and pixel held at once
_EDGE = 1e-5  # a centre on an edge belongs to both of its triangles, in spite of rounding


class Fragments(NamedTuple):
    """What pixels see.

    Attributes:
        face: index of the face (B, H, W), -1 where there is none.
        barycentric: coordinates on it in space (B, H, W, 3), 0 where there is none.
        depth: along the viewing axis (B, H, W), infinite where there is none.
    """

    face: Tensor
    barycentric: Tensor
    depth: Tensor

    @property
    def hit(self) -> Tensor:
        """Where there is a face, (B, H, W)."""
        return self.face >= 0


def rasterise(vertices: Tensor, faces: Tensor, camera: Camera, size: Size, *, near: float = 1e-3) -> Fragments:
    """Fragments of vertices (V, 3) or (B, V, 3) and faces (F, 3), as B cameras see them. Both sides of a face are visible.

    Faces with a corner closer than `near` to the plane of a perspective camera are left out.

    Raises:
        InputError: vertices or faces of other shapes.
    """
    check_mesh(vertices, faces)
    return scan(camera.project(vertices, size), faces, size, near=near)


def scan(projection: Projection, faces: Tensor, size: Size, *, near: float = 1e-3) -> Fragments:
    """Fragments of triangles that lie in the picture already."""
    height, width = shape_of(size)
    count, places = len(projection.xy), height * width
    # one list of triangles for all pictures; picture b has the pixels b H W to (b + 1) H W - 1
    corners = projection.xy[:, faces].flatten(0, 1)
    depth, w = projection.depth[:, faces].flatten(0, 1), projection.w[:, faces].flatten(0, 1)
    best = torch.full((count * places,), torch.inf, dtype=depth.dtype, device=depth.device)
    winner = torch.full_like(best, len(corners), dtype=torch.long)
    with torch.no_grad():
        for triangle, x, y in pairs(*boxes(corners, w, (height, width), near=near)):
            flat, covers = _flat(corners[triangle], torch.stack([x, y], -1) + 0.5)
            triangle, x, y, flat = triangle[covers], x[covers], y[covers], flat[covers]
            found = (_space(flat, w[triangle]) * depth[triangle]).sum(-1)
            pixel = triangle // len(faces) * places + y * width + x
            nearest = best.scatter_reduce(0, pixel, found, "amin")
            winner[nearest < best] = len(corners)
            wins = found == nearest[pixel]
            winner.scatter_reduce_(0, pixel[wins], triangle[wins], "amin")
            best = nearest
        hit = torch.nonzero(winner < len(corners))[:, 0]
    triangle = winner[hit]
    centre = torch.stack([hit % places % width, hit % places // width], -1) + 0.5
    beta = _space(_flat(corners[triangle], centre.to(corners))[0], w[triangle])
    face = torch.full_like(winner, -1).scatter(0, hit, triangle % len(faces))
    full = torch.zeros(len(winner), 3, dtype=beta.dtype, device=beta.device).index_put((hit,), beta)
    far = torch.full_like(best, torch.inf).index_put((hit,), (beta * depth[triangle]).sum(-1))
    shape = (count, height, width)
    return Fragments(face.reshape(shape), full.reshape(*shape, 3), far.reshape(shape))


def interpolate(fragments: Fragments, faces: Tensor, values: Tensor, *, background: float = 0.0) -> Tensor:
    """Values (V, C) or (B, V, C) of the vertices, at the pixels: (B, H, W, C)."""
    batch, row, column = where = torch.nonzero(fragments.hit, as_tuple=True)
    corners = faces[fragments.face[where]]
    known = values[corners] if values.ndim == 2 else values[batch[:, None], corners]
    mixed = (fragments.barycentric[where][..., None] * known).sum(-2)
    empty = mixed.new_full((*fragments.face.shape, values.shape[-1]), background)
    return empty.index_put((batch, row, column), mixed)


def check_mesh(vertices: Tensor, faces: Tensor) -> None:
    """Raise InputError unless these are vertices ([B,] V, 3) and faces (F, 3) of whole numbers."""
    flat = vertices.ndim in (2, 3) and vertices.shape[-1] == 3
    if not flat or faces.ndim != 2 or faces.shape[-1] != 3 or faces.is_floating_point():
        raise InputError(
            f"mesh: vertices of shape {tuple(vertices.shape)} and faces of shape {tuple(faces.shape)} ({faces.dtype}); expected "
            "([B,] V, 3) numbers and (F, 3) indices"
        )


def boxes(corners: Tensor, w: Tensor, shape: tuple[int, int], *, near: float, reach: float = _EDGE) -> tuple[Tensor, Tensor]:
    """First and last pixel (N, 2), x and y, whose centres lie within `reach` of the bounding boxes of triangles (N, 3, 2).

    The last lies before the first where a triangle is outside the picture, has a corner with w <= `near`, or is not finite.
    """
    whole = (torch.isfinite(corners).all(-1).all(-1) & (w > near).all(-1))[:, None]
    limit = torch.tensor([shape[1], shape[0]], device=corners.device)
    box = torch.where(whole[..., None], corners, 0.0)
    low = (box.amin(1) - 0.5 - reach).ceil().clamp(min=0).minimum(limit).long()
    high = (box.amax(1) - 0.5 + reach).floor().clamp(min=-1).minimum(limit - 1).long()
    return low, torch.where(whole, high, low - 1)


def pairs(low: Tensor, high: Tensor) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Triangles and the pixels (x, y) in their boxes, about `_PAIRS` at a time."""
    extent = (high - low + 1).clamp_min(0)
    count = extent.prod(-1)
    index = torch.nonzero(count)[:, 0]
    group = (count[index].cumsum(0) - 1) // _PAIRS
    sizes: list[int] = torch.unique_consecutive(group, return_counts=True)[1].tolist()
    for part in torch.split(index, sizes) if sizes else ():
        many = count[part]
        triangle = part.repeat_interleave(many)
        place = torch.arange(len(triangle), device=low.device) - (many.cumsum(0) - many).repeat_interleave(many)
        columns = extent[triangle, 0]
        yield triangle, low[triangle, 0] + place % columns, low[triangle, 1] + place // columns


def inside(corners: Tensor, centre: Tensor) -> Tensor:
    """Whether points (N, 2) lie in triangles (N, 3, 2) or on their edges."""
    return _flat(corners, centre)[1]


def _flat(corners: Tensor, centre: Tensor) -> tuple[Tensor, Tensor]:
    """Barycentric coordinates (N, 3) of points in the picture, and whether they are inside."""
    a, b, c = (corners - centre[:, None]).unbind(1)
    parts = torch.stack([_cross(b, c), _cross(c, a), _cross(a, b)], -1)
    area = parts.sum(-1, keepdim=True)
    flat = parts / torch.where(area == 0, 1.0, area)
    return flat, (area[:, 0] != 0) & (flat >= -_EDGE).all(-1)


def _space(flat: Tensor, w: Tensor) -> Tensor:
    """Barycentric coordinates on the triangle in space."""
    part = flat / w
    return part / part.sum(-1, keepdim=True)


def _cross(a: Tensor, b: Tensor) -> Tensor:
    return a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]
