r"""Fields: what fills space. A field has a density sigma >= 0 per unit length and a colour at every point of [-1/2, 1/2]^3.

Light from inside is absorbed at the rate sigma, so a stretch of length l lets exp(-sigma l) through. A field starts empty: its
density is `haze` everywhere, which absorbs 1 - exp(-haze) across the whole cube. (A density that starts at the activation of 0
fills the cube with grey fog, which takes on the colours of the views before any surface can form.)
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import ClassVar

import torch
from torch import Tensor, nn

from polyscore.errors import InputError

__all__ = ["SURFACE", "RadianceField", "empty_bias"]

SURFACE = math.log(2) / 0.03
"""The density that absorbs half the light in a thirtieth of the unit box: where the surface of a body is put."""


def empty_bias(haze: float, scale: float) -> float:
    """b with scale * softplus(b) = haze.

    Raises:
        InputError: numbers that are not positive.
    """
    if not (haze > 0 and scale > 0):
        raise InputError(f"field: haze {haze}, scale {scale}; expected positive numbers")
    return math.log(math.expm1(haze / scale))


class RadianceField(nn.Module, ABC):
    """A density and a colour at every point.

    Attributes:
        pace: the learning rate that suits its parameters, as a share of what suits a grid of raw values.
    """

    pace: ClassVar[float] = 1.0

    @property
    @abstractmethod
    def resolution(self) -> int:
        """How many details fit along a side, which is how many samples a ray needs."""

    @abstractmethod
    def density(self, points: Tensor) -> Tensor:
        """sigma (N,) at points (N, 3); 0 outside the cube [-1/2, 1/2]^3."""

    @abstractmethod
    def colour(self, points: Tensor) -> Tensor:
        """Red, green, blue in [0, 1], (N, 3)."""

    def normals(self, points: Tensor) -> Tensor:
        """-grad sigma / |grad sigma| (N, 3), by automatic differentiation; differentiable in the field."""
        with torch.enable_grad():
            at = points.detach().requires_grad_()
            density = self.density(at)
            (slope,) = torch.autograd.grad(density.sum(), at, create_graph=True)
        outward: Tensor = -slope / slope.norm(dim=-1, keepdim=True).clamp(min=1e-6)
        return outward

    def refined(self, size: int) -> RadianceField:
        """The same field on another number of points a side; itself where it has no such number."""
        return self

    def roughness(self) -> Tensor:
        """A penalty that keeps the field what it is meant to be, 0 where it needs none."""
        return next(self.parameters()).new_zeros(())

    def inside(self, points: Tensor) -> Tensor:
        """Positive inside the body, (N,): log(sigma / SURFACE), at least -20."""
        return torch.log(self.density(points) / SURFACE + 2e-9)


def within(points: Tensor) -> Tensor:
    """Which points (N, 3) are in the cube, as numbers (N,)."""
    return (points.abs() <= 0.5).all(-1).to(points)
