r"""A body around a cloud of points of its surface: the closing of the cloud, with its inside filled.

Let O be what a ball of radius r reaches from far away without touching a point. With the distance d(p, O),

    body = { p : d(p, O) > r - h },        level(p) = d(p, O) - (r - h),

the morphological closing of the points (Serra 1982), which is what balls around them fill once they are shrunk again, here by h
less, so that thin parts keep some thickness. It needs no normals, and it is closed as soon as r bridges the largest
hole between the points. For points spread evenly over a surface, pi r^2 holds k of them on average when r is their typical
distance to the k-th neighbour, and a place has a hole of that radius with probability exp(-k). Where the body still leaks, a
somewhat larger r makes it much larger, and r grows. Hollows narrower than 2 r are filled.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from polyscore.errors import InputError
from polyscore.shapes.engines.opaque import blurred, level_of
from polyscore.shapes.engines.result import LevelBody
from polyscore.shapes.packages import package

__all__ = ["closed_body", "nearest_colours"]

_HALF = 0.75  # of the grid: the box and what surrounds it
_CELL = 0.0125
_THICK = 0.0125  # h
_NEIGHBOUR = 12  # k
_MOST = 0.24  # what surrounds it must be wider
_GROWTH, _TRIES, _LEAK = 1.3, 5, 1.5
_FAR = 2.5  # a point this many typical distances from its neighbours is no part of the surface


def closed_body(xyz: Tensor, rgb: Tensor, *, reach: float | None = None) -> LevelBody:
    """The body of points (N, 3) of its surface in [-1/2, 1/2]^3 with colours (N, 3).

    Args:
        xyz, rgb: the cloud.
        reach: r; by default the median distance to the twelfth neighbour.

    Raises:
        InputError: fewer than 16 points, points that are not finite or not in the box, or a reach outside (0, .24).
        MissingExtraError: scipy is not installed.
    """
    if xyz.ndim != 2 or xyz.shape[1:] != (3,) or rgb.shape != xyz.shape or len(xyz) < 16:
        raise InputError(f"closed_body: points {tuple(xyz.shape)}, colours {tuple(rgb.shape)}; expected (N, 3), N at least 16")
    if not bool((xyz.abs() <= 0.5).all()):
        raise InputError(f"closed_body: points reach {float(xyz.abs().max()):g}; expected points in [-1/2, 1/2]^3")
    spatial = package("scipy.spatial", "a body of points")
    places: NDArray[np.float64] = xyz.double().cpu().numpy()
    apart = spatial.cKDTree(places).query(places, _NEIGHBOUR + 1)[0][:, -1]
    keep = apart <= _FAR * np.median(apart)
    r = float(np.median(apart[keep])) if reach is None else reach
    if not 0 < r < _MOST:
        raise InputError(
            f"closed_body: balls of radius {r:g} around {len(xyz)} points; expected less than {_MOST} and more than 0, "
            "which some hundred points spread over a surface give"
        )
    cloud = _Cloud(places[keep])
    level = cloud.closing(r)
    for _ in range(_TRIES if reach is None else 0):
        r = _GROWTH * r
        if r >= _MOST:
            break
        wider = cloud.closing(r)
        if (wider > 0).sum() < _LEAK * (level > 0).sum():
            break
        level = wider
    at = level_of(blurred(torch.from_numpy(level).float().clamp(-4 * _CELL, 4 * _CELL), 1.0))
    return LevelBody(lambda points: at(points / (2 * _HALF)), nearest_colours(xyz, rgb), smoothing=6)


class _Cloud:
    """Points and a grid around them."""

    def __init__(self, places: NDArray[np.float64]) -> None:
        self.image = package("scipy.ndimage", "a body of points")
        self.tree = package("scipy.spatial", "a body of points").cKDTree(places)
        self.n = round(2 * _HALF / _CELL)
        empty = np.ones((self.n,) * 3, np.bool_)
        column, row, layer = np.floor((places + _HALF) / _CELL).astype(int).T
        empty[layer, row, column] = False
        self.about = _CELL * self.image.distance_transform_edt(empty)

    def closing(self, r: float) -> NDArray[np.float64]:
        """The level on the grid; distances to the points are asked exactly where they decide."""
        far = self.about.copy()
        near = np.abs(far - r) < 2 * _CELL
        layer, row, column = near.nonzero()
        centres = (np.stack([column, row, layer], 1) + 0.5) * _CELL - _HALF
        far[near] = self.tree.query(centres)[0]
        parts, _ = self.image.label(far > r)
        distance: NDArray[np.float64] = _CELL * self.image.distance_transform_edt(parts != parts[0, 0, 0])
        return distance - _CELL / 2 - (r - _THICK)


def nearest_colours(xyz: Tensor, rgb: Tensor, *, count: int = 6) -> _Nearest:
    """Colours at any points: the mean of the nearest of a coloured cloud, weighted by 1 / distance^2.

    Raises:
        MissingExtraError: scipy is not installed.
    """
    return _Nearest(xyz, rgb, count)


class _Nearest:
    def __init__(self, xyz: Tensor, rgb: Tensor, count: int) -> None:
        self.tree = package("scipy.spatial", "colours of points").cKDTree(xyz.double().cpu().numpy())
        self.rgb, self.count = rgb.cpu(), min(count, len(xyz))

    def __call__(self, points: Tensor) -> Tensor:
        distance, index = self.tree.query(points.double().cpu().numpy(), list(range(1, self.count + 1)))
        weight = torch.from_numpy(1 / (distance**2 + 1e-6)).float()
        found: Tensor = (self.rgb[torch.from_numpy(index)] * weight[..., None]).sum(1) / weight.sum(1, keepdim=True)
        return found.to(points)
