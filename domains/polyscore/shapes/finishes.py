r"""Finishes of a surface: how its colour c and normal n become the colour that a camera sees.

The light is fixed to the camera, direction l = (-0.4, 0.6, 0.7) / |.| in camera axes (right, up, towards the camera), and the
viewer is far away, v = (0, 0, 1), h = (l + v) / |l + v|. With the half-space term d = a + (1 - a) max(n . l, 0), a = 0.4,

    seen = k_d d c + k_s max(n . h, 0)^p (m c + 1 - m)            (Blinn 1977, doi 10.1145/563858.563893)

with m = 1 for metals, whose highlight has the colour of the surface. The colour enters linearly, so views determine it where
geometry is known. Because the light goes with the camera, nothing depends on where in the world the camera stands.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from polyscore.errors import InputError

__all__ = ["FINISHES", "Finish", "shade", "unshade"]

_AMBIENT = 0.4
_LIGHT = tuple(c / math.hypot(0.4, 0.6, 0.7) for c in (-0.4, 0.6, 0.7))
_HALF = tuple(c / math.hypot(_LIGHT[0], _LIGHT[1], _LIGHT[2] + 1) for c in (_LIGHT[0], _LIGHT[1], _LIGHT[2] + 1))


@dataclass(frozen=True)
class Finish:
    """A finish.

    Attributes:
        name: the word for it.
        diffuse: k_d.
        specular: k_s.
        power: p.
        tint: m, 1 where the highlight has the surface's colour.
        metallic, roughness: of the same finish in glTF's material model.
    """

    name: str
    diffuse: float
    specular: float
    power: float
    tint: float
    metallic: float
    roughness: float

    def __post_init__(self) -> None:
        if not (self.diffuse > 0 and self.specular >= 0 and self.power > 0 and 0 <= self.tint <= 1):
            raise InputError(f"Finish: {self}; expected diffuse > 0, specular >= 0, power > 0, tint in [0, 1]")


FINISHES = (
    Finish("matte", 1.0, 0.0, 1.0, 0.0, 0.0, 0.9),
    Finish("glossy", 0.85, 0.45, 24.0, 0.0, 0.0, 0.25),
    Finish("metal", 0.6, 0.6, 6.0, 1.0, 0.8, 0.35),
)
"""All finishes, in the order of their numbers."""


def shade(colour: Tensor, normals: Tensor, finish: Finish) -> Tensor:
    """Seen colours (..., 3), at most 1, of colours (..., 3) with unit normals (..., 3) in camera axes."""
    factor, extra = _light(normals, finish)
    return (factor * colour + extra).clamp(max=1.0)


def unshade(seen: Tensor, normals: Tensor, finish: Finish) -> Tensor:
    """The colours in [0, 1] that `shade` turns into `seen`; exact where nothing was cut off at 1."""
    factor, extra = _light(normals, finish)
    return ((seen - extra) / factor).clamp(0, 1)


def _light(normals: Tensor, finish: Finish) -> tuple[Tensor, Tensor]:
    """seen = factor * colour + extra."""
    light = (normals * normals.new_tensor(_LIGHT)).sum(-1, keepdim=True).clamp(min=0)
    factor = finish.diffuse * (_AMBIENT + (1 - _AMBIENT) * light)
    if not finish.specular:
        return factor, torch.zeros_like(factor)
    highlight = finish.specular * (normals * normals.new_tensor(_HALF)).sum(-1, keepdim=True).clamp(min=1e-6) ** finish.power
    return factor + finish.tint * highlight, (1 - finish.tint) * highlight
