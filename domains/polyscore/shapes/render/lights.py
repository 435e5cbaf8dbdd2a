r"""Light on a surface: ambient and Lambert's law.

    seen = c (a + d max(n . l, 0))

with colour c, unit normal n and the unit direction l towards the light, in the axes of the normals: world axes for a lamp that
stays with the object, a camera's axes (n @ R, see `cameras`) for one that goes with the camera.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import Tensor

from polyscore.errors import InputError

__all__ = ["Lambert"]


@dataclass(frozen=True)
class Lambert:
    """One distant lamp and light from everywhere.

    Args:
        direction: towards the lamp, of any length but 0.
        ambient: a, at least 0.
        diffuse: d, at least 0; with a + d = 1 a surface that faces the lamp has its own colour.

    Raises:
        InputError: no direction, or a negative light.
    """

    direction: tuple[float, float, float] = (-0.4, 0.6, 0.7)
    ambient: float = 0.4
    diffuse: float = 0.6

    def __post_init__(self) -> None:
        if not math.hypot(*self.direction) > 0 or min(self.ambient, self.diffuse) < 0:
            raise InputError(f"Lambert: {self}; expected a direction, and light that is not negative")

    def __call__(self, colours: Tensor, normals: Tensor) -> Tensor:
        """Seen colours (..., 3), at most 1, of colours (..., 3) on unit normals (..., 3)."""
        direction = normals.new_tensor(self.direction) / math.hypot(*self.direction)
        lit = (normals * direction).sum(-1, keepdim=True).clamp_min(0)
        return (colours * (self.ambient + self.diffuse * lit)).clamp(max=1.0)
