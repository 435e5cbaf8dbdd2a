r"""Partial pairs for registration: a view of a solid from one side, and the whole of it, in any pose.

The source is what a depth camera far away in direction v would see: points that face it (n . v > 0) and that no other point
hides (a depth buffer of square cells), with noise, moved by a random motion; the target is the whole surface. Both are sampled
anew, so no point is in both. Normals are those of the solid, or of the points (principal axes, with the sign of the solid's).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial import cKDTree
from torch import Tensor

from polyscore.errors import InputError
from polyscore.shapes.data.compositions import random_rotation

__all__ = ["Pair", "axis_normals", "partial_pair", "visible"]

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Pair:
    """A source, a target, and the motion (4, 4) that takes the source onto the target; float32 tensors.

    Attributes:
        source, source_normals: (N, 3).
        target, target_normals: (M, 3).
        pose: x -> R x + t, source to target.
        diameter: of the target.
    """

    source: Tensor
    source_normals: Tensor
    target: Tensor
    target_normals: Tensor
    pose: Tensor
    diameter: float


def visible(points: Any, normals: Any, direction: Any, *, cell: float, depth: float) -> NDArray[np.bool_]:
    """Which points (N, 3) with outward normals a camera far away in `direction` (3,) sees.

    Args:
        points: of the whole surface, closer together than `cell`.
        normals: outward.
        direction: to the camera.
        cell: width of a pixel of the depth buffer.
        depth: a point is hidden if another one in its cell is nearer by more than this.
    """
    v = np.asarray(direction, dtype=float) / np.linalg.norm(direction)
    side = np.linalg.svd(v[None])[2][1:]
    height = points @ v
    place = np.floor(points @ side.T / cell).astype(np.int64)
    place -= place.min(0)
    pixel = place[:, 0] * (place[:, 1].max() + 1) + place[:, 1]
    nearest = np.full(int(pixel.max()) + 1, -np.inf)
    np.maximum.at(nearest, pixel, height)
    seen: NDArray[np.bool_] = (normals @ v > 0.05) & (height >= nearest[pixel] - depth)
    return seen


def axis_normals(points: Array, like: Array, *, neighbours: int = 16) -> Array:
    """Unit normals (N, 3) of points (N, 3): the thinnest direction of the nearest neighbours, with the sign of `like` (N, 3)."""
    near = points[cKDTree(points).query(points, min(neighbours, len(points)))[1]]
    off = near - near.mean(1, keepdims=True)
    axes = np.linalg.eigh(np.einsum("nki,nkj->nij", off, off))[1][..., 0]
    return np.where((axes * like).sum(-1, keepdims=True) < 0, -axes, axes)


def partial_pair(
    points: Array,
    normals: Array,
    rng: np.random.Generator,
    *,
    source_points: int = 512,
    target_points: int = 768,
    noise: float = 0.005,
    estimated: tuple[bool, bool] = (True, True),
    move: float = 1.0,
) -> Pair:
    """A pair of a densely sampled surface, seen from a random side.

    Args:
        points, normals: (N, 3) of the whole surface, several times as many as asked for.
        rng: of the view, the choice of points, the noise and the pose.
        source_points, target_points: of the clouds; a view of fewer points repeats none and gives fewer.
        noise: standard deviation of the source's points, in diameters of the solid; a quarter of it on the target.
        estimated: whether normals of source and target are those of the points; else the solid's own.
        move: standard deviation of the translation, in diameters.

    Raises:
        InputError: fewer than 64 points, or none that is visible.
    """
    if len(points) < 64:
        raise InputError(f"partial_pair: {len(points)} points; expected the surface of a solid, 64 or more")
    half = rng.permutation(len(points))
    some = points[half[:256]]
    diameter = float(np.sqrt(np.square(some[:, None] - some[None]).sum(-1).max()))
    cell = 3.0 * diameter / np.sqrt(len(points))
    seen = half[visible(points, normals, rng.standard_normal(3), cell=cell, depth=1.5 * cell)[half]]
    if len(seen) < 16:
        raise InputError(f"partial_pair: a view with {len(seen)} points; expected 16 or more")
    source, whole = seen[:source_points], half[::-1][:target_points]
    pose = np.eye(4)
    pose[:3, :3], pose[:3, 3] = random_rotation(rng), move * diameter * rng.standard_normal(3)
    parts = []
    for index, level, guess in ((source, noise, estimated[0]), (whole, noise / 4, estimated[1])):
        x = points[index] + level * diameter * rng.standard_normal((len(index), 3))
        parts.append((x, axis_normals(x, normals[index]) if guess else normals[index]))
    (x, n), (y, m) = parts
    # the target lies in the pose, the source in the solid's own frame, turned once more so that neither frame is the solid's
    turn, shift = random_rotation(rng), move * diameter * rng.standard_normal(3)
    there = np.eye(4)
    there[:3, :3], there[:3, 3] = turn, shift
    R, t = pose[:3, :3], pose[:3, 3]
    return Pair(
        _single(x @ turn.T + shift),
        _single(n @ turn.T),
        _single(y @ R.T + t),
        _single(m @ R.T),
        _single(pose @ np.linalg.inv(there)),
        diameter,
    )


def _single(x: Array) -> Tensor:
    return torch.from_numpy(x).float()
