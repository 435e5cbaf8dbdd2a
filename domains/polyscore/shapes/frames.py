r"""The frame in which a network sees two clouds that are to be registered.

The source lies about its mean, the target about the middle of its bounding box, both in units of diameter(target) / extent. With
u the unit and m, n the two middles, a motion (R, t) of the network's frame is

    x -> R x + u t + n - R m        of the clouds' own.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor

from polyscore.errors import InputError
from polyscore.lie import motion

__all__ = ["Frame", "Placed", "falling", "placed", "thinned"]


@dataclass(frozen=True)
class Frame:
    """Middles (3,) of source and target, the unit, and the target's diameter, in the clouds' own coordinates."""

    source: Tensor
    target: Tensor
    unit: float
    diameter: float

    @classmethod
    def of(cls, source: Tensor, target: Tensor, extent: float, *, unit: float | None = None) -> Frame:
        """The frame of points (N, 3), (M, 3).

        Raises:
            InputError: a target without extent.
        """
        diameter = float(torch.cdist(target, target).max())
        if not diameter > 0:
            raise InputError("register: all points of the target are one; expected a cloud with an extent")
        return cls(
            source.mean(0), (target.amin(0) + target.amax(0)) / 2, diameter / extent if unit is None else unit, diameter
        )

    def inward(self, pose: Tensor) -> Tensor:
        """Motions (..., 4, 4) of the clouds' own coordinates, in the network's."""
        R, t = pose[..., :3, :3], pose[..., :3, 3]
        return motion(R, (t + R @ self.source - self.target) / self.unit)

    def outward(self, pose: Tensor) -> Tensor:
        """Motions (..., 4, 4) of the network's coordinates, in the clouds' own: the inverse of `inward`."""
        R, t = pose[..., :3, :3], pose[..., :3, 3]
        return motion(R, t * self.unit + self.target - R @ self.source)


def thinned(points: object, normals: object, count: int, draw: torch.Generator, name: str) -> tuple[Tensor, Tensor | None]:
    """At most `count` of the points (N, 3) in float64, in random order, and their normals.

    Raises:
        InputError: points that are not (N, 3) finite numbers with N at least 4, or normals that are no unit vectors.
    """
    found = torch.as_tensor(points).detach().cpu().double()
    if found.ndim != 2 or found.shape[-1] != 3 or len(found) < 4 or not bool(torch.isfinite(found).all()):
        raise InputError(f"register: {name} has shape {tuple(found.shape)}; expected (N, 3) finite numbers, N at least 4")
    keep = torch.randperm(len(found), generator=draw)[:count]
    if normals is None:
        return found[keep], None
    known = torch.as_tensor(normals).detach().cpu().double()
    if known.shape != found.shape or not bool(((known.norm(dim=-1) - 1).abs() < 1e-2).all()):
        shapes = f"{tuple(known.shape)}; expected unit vectors {tuple(found.shape)}"
        raise InputError(f"register: normals of {name} have shape {shapes}")
    return found[keep], known[keep]


class Placed(NamedTuple):
    """Two clouds in the network's frame, thinned, with their normals where these are known."""

    source: Tensor
    source_normals: Tensor | None
    target: Tensor
    target_normals: Tensor | None
    frame: Frame


def placed(
    source: object,
    target: object,
    normals: tuple[object, object] | None,
    counts: tuple[int, int],
    *,
    extent: float,
    unit: float | None,
    samples: int,
    seed: int,
) -> Placed:
    """What a registration begins with: at most `counts` points of each cloud, centred and in the network's unit.

    Raises:
        InputError: clouds or normals that are not (N, 3) finite numbers with at least four points, a target without extent,
            fewer than one sample, or a unit that is not positive.
    """
    if samples < 1 or (unit is not None and not 0 < unit < math.inf):
        raise InputError(f"register: samples {samples}, unit {unit}; expected at least 1 and a positive length")
    given = (None, None) if normals is None else normals
    draw = torch.Generator().manual_seed(seed)
    x, x_normals = thinned(source, given[0], counts[0], draw, "source")
    y, y_normals = thinned(target, given[1], counts[1], draw, "target")
    frame = Frame.of(x, y, extent, unit=unit)
    return Placed((x - frame.source) / frame.unit, x_normals, (y - frame.target) / frame.unit, y_normals, frame)


def falling(times: Sequence[float], owner: str) -> tuple[float, ...]:
    """The times of a reverse run.

    Raises:
        InputError: times that do not fall from 1 to 0.
    """
    found = tuple(float(t) for t in times)
    if len(found) < 2 or found[0] != 1 or found[-1] != 0 or any(a <= b for a, b in pairwise(found)):
        raise InputError(f"{owner}: times {found}, expected numbers that fall from 1 to 0")
    return found
