r"""Point-pair features: what of two points with normals no rigid motion changes.

For a point p with normal n and a neighbour q with normal m, d = q - p:  (angle(n, d), angle(m, d), angle(n, m), |d|)
(Drost et al. 2010, Model globally, match locally).
"""

from __future__ import annotations

import torch
from torch import Tensor

from polyscore.shapes.ops.neighbours import gather

__all__ = ["between", "point_pairs"]


def between(a: Tensor, b: Tensor) -> Tensor:
    """The angle atan2(|a x b|, a b) in [0, pi] of vectors (..., 3); 0 where one of them is 0."""
    return torch.atan2(torch.linalg.cross(a, b).norm(dim=-1), (a * b).sum(-1))


def point_pairs(points: Tensor, normals: Tensor, index: Tensor) -> tuple[Tensor, Tensor]:
    """Offsets d (..., N, k, 3) and pair features (..., N, k, 4) of points (..., N, 3) and neighbours `index` (..., N, k)."""
    offset = gather(points, index) - points[..., None, :]
    near, own = gather(normals, index), normals[..., None, :]
    features = [between(own, offset), between(near, offset), between(own, near), offset.norm(dim=-1)]
    return offset, torch.stack(features, -1)
