"""Normals of a point cloud: the direction in which a neighbourhood is thinnest."""

from __future__ import annotations

import torch
from torch import Tensor

from polyscore.errors import InputError
from polyscore.shapes.ops.neighbours import gather, knn

__all__ = ["estimate_normals"]


def estimate_normals(
    points: Tensor, *, neighbours: int = 30, radius: float = float("inf"), toward: Tensor | None = None
) -> Tensor:
    """Unit normals (..., N, 3): the last principal axis of a point's nearest neighbours, itself included, within `radius`.

    A principal axis has no sign. It is chosen to point to `toward` (..., 3), the camera of a scan; without one, away from the
    mean of the cloud, which is outward for convex bodies and consistent under rigid motions for all.

    Raises:
        InputError: fewer than three points, or something that is not (..., N, 3).
    """
    if points.ndim < 2 or points.shape[-1] != 3 or points.shape[-2] < 3:
        raise InputError(f"normals: points of shape {tuple(points.shape)}; expected (..., N, 3) with at least three points")
    distance, index = knn(points, points, min(neighbours, points.shape[-2]))
    near = gather(points, index)
    weight = (distance <= radius).to(points.dtype)
    weight = torch.where(weight.sum(-1, keepdim=True) < 3, torch.ones_like(weight), weight)[..., None]  # a plane needs three
    off = (near - (weight * near).sum(-2, keepdim=True) / weight.sum(-2, keepdim=True)) * weight
    normals = torch.linalg.eigh(off.mT @ off).eigenvectors[..., 0]
    outward = points - points.mean(-2, keepdim=True) if toward is None else toward[..., None, :] - points
    return torch.where((normals * outward).sum(-1, keepdim=True) < 0, -normals, normals)
