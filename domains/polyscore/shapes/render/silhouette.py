r"""Soft silhouettes: how much of a pixel a mesh covers, differentiable in its vertices also where it does not cover it yet.

For pixel i and triangle j, d_ij is the distance in pixels from the centre to the triangle's boundary, and delta_ij is +1 inside
and -1 outside. With a softness s in pixels,

    D_ij = sigmoid(delta_ij d_ij^2 / s^2),      S_i = 1 - prod_j (1 - D_ij),

computed as 1 - exp(sum_j log sigmoid(-delta_ij d_ij^2 / s^2)). Triangles farther than 3.5 s from a pixel add less than 5e-6 and
are left out. Every triangle counts, also one behind others: a silhouette has no depth.

Source: Liu et al. 2019 (Soft Rasterizer), arXiv 1904.01786, whose sigma is s^2 in squared units of the picture.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from polyscore.errors import InputError
from polyscore.shapes.render.cameras import Camera, Size, shape_of
from polyscore.shapes.render.rasterise import boxes, check_mesh, inside, pairs

__all__ = ["silhouette"]

_REACH = 3.5  # in units of the softness


def silhouette(
    vertices: Tensor, faces: Tensor, camera: Camera, size: Size, *, softness: float = 0.7, near: float = 1e-3
) -> Tensor:
    """Coverage (B, H, W) in [0, 1] of vertices (V, 3) or (B, V, 3) with faces (F, 3), as B cameras see them.

    Args:
        vertices, faces: the mesh.
        camera: B cameras.
        size: of the picture.
        softness: s in pixels. The rim is a smooth step about 2 s wide; gradients reach 3.5 s beyond it.
        near: faces with a corner closer to the plane of a perspective camera are left out.

    Raises:
        InputError: another shape, or a softness that is not positive.
    """
    check_mesh(vertices, faces)
    if softness <= 0:
        raise InputError(f"silhouette: softness {softness} pixels, expected more than 0")
    height, width = shape_of(size)
    seen = camera.project(vertices, size)
    corners = seen.xy[:, faces].flatten(0, 1)
    w = seen.w.detach()[:, faces].flatten(0, 1)
    low, high = boxes(corners.detach(), w, (height, width), near=near, reach=_REACH * softness)
    missed = corners.new_zeros(len(seen.xy) * height * width)
    for triangle, x, y in pairs(low, high):
        centre = torch.stack([x, y], -1) + 0.5
        part = corners[triangle]
        square = _to_boundary(part, centre.to(part))
        signed = torch.where(inside(part, centre.to(part)), square, -square)
        pixel = triangle // len(faces) * (height * width) + y * width + x
        missed = missed.index_add(0, pixel, logsigmoid(-signed / softness**2))
    return 1 - missed.exp().reshape(-1, height, width)


def _to_boundary(corners: Tensor, centre: Tensor) -> Tensor:
    """The squared distance (N,) from points (N, 2) to the boundaries of triangles (N, 3, 2)."""
    along = corners.roll(-1, 1) - corners
    off = centre[:, None] - corners
    length = along.square().sum(-1)
    share = ((off * along).sum(-1) / torch.where(length > 0, length, 1.0)).clamp(0, 1)
    return (off - share[..., None] * along).square().sum(-1).amin(-1)
