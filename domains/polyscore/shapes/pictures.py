r"""The pictures that the multi-view prior sees: seven channels, premultiplied by the coverage w.

    2 w - 1,      2 w (r, g, b) - 1,      w n (camera axes)

All are linear in what a volume renderer sums along a ray, so rendered views and traced views are the same kind of picture, and an
empty pixel is (-1, -1, -1, -1, 0, 0, 0). A rig is V cameras around the object, a full turn divided evenly.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from polyscore.shapes.finishes import Finish, shade

__all__ = ["CHANNELS", "Layers", "layers", "picture", "rig", "stack"]

CHANNELS = 7


class Layers(NamedTuple):
    """A picture taken apart: coverage (..., H, W), premultiplied colour and normal (..., H, W, 3)."""

    coverage: Tensor
    colour: Tensor
    normal: Tensor


def picture(coverage: Tensor, albedo: Tensor, normals: Tensor, finish: Finish) -> Tensor:
    """The picture (..., 7, H, W) of a surface with the albedo and unit normals (..., H, W, 3) in a finish."""
    w = coverage[..., None]
    return stack(Layers(coverage, w * shade(albedo, normals, finish), w * normals))


def stack(parts: Layers) -> Tensor:
    """The picture (..., 7, H, W) of its layers."""
    channels = torch.cat([2 * parts.coverage[..., None] - 1, 2 * parts.colour - 1, parts.normal], -1)
    return channels.movedim(-1, -3)


def layers(image: Tensor) -> Layers:
    """The layers of a picture (..., 7, H, W)."""
    last = image.movedim(-3, -1)
    return Layers((last[..., 0] + 1) / 2, (last[..., 1:4] + 1) / 2, last[..., 4:])


def rig(azimuth: Tensor, elevation: Tensor, count: int) -> Tensor:
    """Angles (B, count, 2) of cameras at azimuth + 360 k / count, all at the elevation; both given in degrees, (B,)."""
    turns = azimuth[:, None] + 360.0 * torch.arange(count) / count
    return torch.stack([turns, elevation[:, None].expand_as(turns)], -1)
