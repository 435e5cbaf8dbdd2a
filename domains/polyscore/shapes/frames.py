r"""The frame in which a network sees two clouds that are to be registered.

The source lies about its mean, the target about the middle of its bounding box, both in units of diameter(target) / extent. With
u the unit and m, n the two middles, a motion (R, t) of the network's frame is

    x -> R x + u t + n - R m        of the clouds' own.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from polyscore.errors import InputError
from polyscore.lie import motion

__all__ = ["Frame", "thinned"]


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
