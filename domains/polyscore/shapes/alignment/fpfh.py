r"""Global registration without learning: fast point feature histograms, and random sample consensus on their matches.

Of a point p with normal n and a neighbour q with normal m, in the frame u = n, v = u x (q - p) / |.|, w = u x v:

    alpha = v . m,   phi = u . (q - p) / |q - p|,   theta = atan2(w . m, u . m),

each counted in 11 bins (SPFH); FPFH(p) = SPFH(p) + mean over neighbours of SPFH(q) / |q - p|, every third scaled to sum 1.
RANSAC draws three matches, refuses those whose triangles differ in an edge by more than a tenth, fits a motion, and keeps the
one with most matches within reach.

Sources: Rusu, Blodow and Beetz 2009 (FPFH); Fischler and Bolles 1981 (RANSAC).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from polyscore.errors import InputError
from polyscore.shapes.alignment.consensus import fit_motion

__all__ = ["RANSAC", "fpfh"]

Array = NDArray[np.float64]

_BINS = 11
_EDGE = 0.9  # of two triangles, the ratio of edges


def fpfh(points: Any, normals: Any, radius: float, *, most: int = 64) -> Array:
    """FPFH (N, 33) of points (N, 3) with unit normals (N, 3); at most `most` nearest neighbours within `radius` count."""
    p, n = np.asarray(points, dtype=np.float64), np.asarray(normals, dtype=np.float64)
    distance, index = cKDTree(p).query(p, min(most + 1, len(p)), distance_upper_bound=radius)
    distance, index = distance[:, 1:], index[:, 1:]
    there = np.isfinite(distance) & (distance > 0)
    index = np.where(there, index, 0)
    unit = (p[index] - p[:, None]) / np.where(there, distance, 1)[..., None]
    u = np.broadcast_to(n[:, None], unit.shape)
    v = np.cross(u, unit)
    v /= np.maximum(np.linalg.norm(v, axis=-1, keepdims=True), 1e-12)
    m = n[index]
    angles = (
        ((v * m).sum(-1) + 1) / 2,
        ((u * unit).sum(-1) + 1) / 2,
        (np.arctan2((np.cross(u, v) * m).sum(-1), (u * m).sum(-1)) / np.pi + 1) / 2,
    )
    rows = np.broadcast_to(np.arange(len(p))[:, None], index.shape)[there]
    simple = np.zeros((len(p), 3, _BINS))
    for k, angle in enumerate(angles):
        np.add.at(simple[:, k], (rows, np.clip((angle[there] * _BINS).astype(int), 0, _BINS - 1)), 1.0)
    simple /= np.maximum(simple.sum(-1, keepdims=True), 1)
    weight = np.where(there, 1 / np.where(there, distance, 1), 0)
    weight /= np.maximum(weight.sum(1, keepdims=True), 1e-12)
    full = simple + np.einsum("nk,nkab->nab", weight, simple[index])
    scaled: Array = (full / np.maximum(full.sum(-1, keepdims=True), 1e-12)).reshape(len(p), -1)
    return scaled


@dataclass(frozen=True)
class RANSAC:
    """The motion that brings most matched points together.

    Args:
        draws: triples of matches.
        reach: a match is met within this distance, in the clouds' unit.

    Raises:
        InputError: no draw, or a reach that is not positive.
    """

    draws: int = 20000
    reach: float = 0.1

    def __post_init__(self) -> None:
        if self.draws < 1 or not self.reach > 0:
            raise InputError(f"RANSAC: draws {self.draws}, reach {self.reach}; expected at least 1 and a positive distance")

    def __call__(self, x: Array, f: Array, y: Array, g: Array, *, seed: int = 0) -> Array:
        """The pose (4, 4) of points x (N, 3) with features f (N, C) on y (M, 3) with g (M, C); matched are nearest features."""
        rng = np.random.default_rng(seed)
        c = y[cKDTree(g).query(f)[1]]
        triples = rng.integers(len(x), size=(self.draws, 3))
        edges = [np.linalg.norm(part[triples] - part[np.roll(triples, 1, 1)], axis=-1) for part in (x, c)]
        longest, shortest = np.maximum(*edges), np.minimum(*edges)
        alike = (shortest > _EDGE * longest).all(1) & (longest > self.reach).all(1)
        if not alike.any():
            return np.eye(4)
        kept = triples[alike]
        poses = _fitted(x[kept], c[kept])
        best, most = np.eye(4), -1.0
        for part in np.array_split(poses, max(1, len(poses) * len(x) // 1_000_000)):
            off = np.einsum("kij,nj->kni", part[:, :3, :3], x) + part[:, None, :3, 3] - c
            met = (np.square(off).sum(-1) < self.reach**2).sum(1)
            if met.max() > most:
                best, most = part[met.argmax()], met.max()
        near = np.linalg.norm(x @ best[:3, :3].T + best[:3, 3] - c, axis=-1) < self.reach
        if near.sum() < 3:
            return best
        return _fitted(x[near], c[near])


def _fitted(x: Array, y: Array) -> Array:
    weight = torch.ones(x.shape[:-1], dtype=torch.float64)
    pose: Array = fit_motion(torch.from_numpy(x), torch.from_numpy(y), weight).numpy()
    return pose
