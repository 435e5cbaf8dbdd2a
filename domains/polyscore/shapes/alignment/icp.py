r"""Iterative closest points: match every source point with the nearest target point, move by least squares, repeat.

With normals m_j of the target the distance is taken along them (Chen and Medioni 1992), which lets surfaces slide: linearised
at the present pose, sum_i w_i (m_i . (w x x_i + v + x_i - y_i))^2 is a 6 x 6 system for the twist (w, v); without them it is
the distance of the points (Besl and McKay 1992). Matches farther than `reach` weigh nothing, the others w = (1 - (d /
reach)^2)^2. ICP finds the nearest minimum of a function with many: it polishes a pose that is right to some 20 degrees, and
finds none itself.
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
from polyscore.lie import nearest_rotation, se3_exp

__all__ = ["ICP", "Surface", "overlap"]

Array = NDArray[np.float64]


class Surface:
    """A target (M, 3), with normals (M, 3) or None, whose nearest points are asked for many times."""

    def __init__(self, points: Any, normals: Any = None) -> None:
        self.points = np.asarray(points, dtype=np.float64)
        self.normals = None if normals is None else np.asarray(normals, dtype=np.float64)
        self._tree = cKDTree(self.points)

    def nearest(self, queries: Array) -> tuple[Array, NDArray[np.intp]]:
        """Distance and index (Q,) of the point nearest to each query (Q, 3)."""
        distance, index = self._tree.query(queries)
        return distance, index


def overlap(source: Array, normals: Array | None, target: Surface, pose: Array, *, within: float) -> float:
    """The share, 0 to 1, of moved source points with a target point `within` reach; normals, if known, within 60 degrees."""
    R, t = pose[:3, :3], pose[:3, 3]
    distance, index = target.nearest(source @ R.T + t)
    met = 1 - np.square(distance / within)
    if normals is not None and target.normals is not None:
        met = np.where(((normals @ R.T) * target.normals[index]).sum(-1) > 0.5, met, 0.0)
    return float(np.clip(met, 0, 1).mean())


@dataclass(frozen=True)
class ICP:
    """Refines a pose.

    Args:
        steps: at most.
        reach: distances beyond it are no matches, in the clouds' unit.
        shrink: of `reach`, from the first to the last step.

    Raises:
        InputError: no step, or a reach that is not positive.
    """

    steps: int = 30
    reach: float = 0.2
    shrink: float = 0.25

    def __post_init__(self) -> None:
        if self.steps < 1 or not self.reach > 0 or not 0 < self.shrink <= 1:
            raise InputError(f"ICP: steps {self.steps}, reach {self.reach}, shrink {self.shrink}; expected 1, above 0, to 1")

    def __call__(self, source: Array, target: Surface, pose: Array) -> Array:
        """The refined pose (4, 4) of a source (N, 3); with less than six matches it is left as it is."""
        for k in range(self.steps):
            reach = self.reach * self.shrink ** (k / max(1, self.steps - 1))
            moved = source @ pose[:3, :3].T + pose[:3, 3]
            distance, index = target.nearest(moved)
            near = distance < reach
            if near.sum() < 6:
                break
            x, y, w = moved[near], target.points[index[near]], np.square(1 - np.square(distance[near] / reach))
            change = _to_points(x, y, w) if target.normals is None else _to_planes(x, y, target.normals[index[near]], w)
            pose = change @ pose
            if np.abs(change - np.eye(4)).max() < 1e-7:
                break
        return pose


def _to_points(x: Array, y: Array, w: Array) -> Array:
    share = (w / w.sum())[:, None]
    here, there = (share * x).sum(0), (share * y).sum(0)
    R = nearest_rotation(torch.from_numpy((y - there).T @ (share * (x - here)))).numpy()
    return _motion(R, there - R @ here)


def _to_planes(x: Array, y: Array, m: Array, w: Array) -> Array:
    middle = x.mean(0)  # the twist is about it, which keeps the system well conditioned
    rows = np.concatenate([np.cross(x - middle, m), m], 1)
    weighted = rows * w[:, None]
    system = weighted.T @ rows
    twist = np.linalg.solve(system + 1e-6 * np.trace(system) / 6 * np.eye(6), weighted.T @ ((y - x) * m).sum(-1))
    change: Tensor = se3_exp(torch.from_numpy(twist))
    R, t = change[:3, :3].numpy(), change[:3, 3].numpy()
    return _motion(R, t + middle - R @ middle)


def _motion(R: Array, t: Array) -> Array:
    out = np.eye(4)
    out[:3, :3], out[:3, 3] = R, t
    return out
