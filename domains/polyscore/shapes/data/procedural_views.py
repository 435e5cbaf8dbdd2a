r"""Views of procedural solids by sphere tracing (Hart 1996): coverage, normals and paints of every pixel.

A ray o + s u advances by the distance to the body shrunk by half a pixel, e = p / 2. A ray that reaches it covers its pixel;
of the others the least distance m along the ray gives the coverage max(0, 1 - m / p): linear across the silhouette, and one half
on it. Normals and paint are those of the point of least distance. Rays are orthographic, and only rays on their way are
evaluated.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from polyscore.errors import InputError
from polyscore.shapes.data.procedural import Solids
from polyscore.shapes.render.cameras import Orthographic

__all__ = ["Views", "views"]

_REACH = 0.87  # the cube [-1/2, 1/2]^3 lies in the ball of this radius
_RELAX = 0.95  # ellipsoids and shears overestimate a little
_STEPS = 48


class Views(NamedTuple):
    """Pictures of B solids by V cameras each.

    Attributes:
        coverage: (B, V, H, W), 0 to 1.
        normals: (B, V, H, W, 3), unit, in camera axes (right, up, towards the camera); 0 where nothing is.
        paint: (B, V, H, W), number of a `Paint`; 0 where nothing is.
    """

    coverage: Tensor
    normals: Tensor
    paint: Tensor


@torch.no_grad()
def views(solids: Solids, cameras: Orthographic, size: int) -> Views:
    """Pictures of `size` x `size` pixels; cameras b V ... b V + V - 1 look at solid b.

    Raises:
        InputError: a number of cameras that is no multiple of the number of solids.
    """
    count, total = len(solids), len(cameras)
    if total % count:
        raise InputError(f"views: {total} cameras for {count} solids, expected a multiple")
    pixel = (cameras.height / size)[:, None, None].expand(total, size, size).reshape(-1)
    rays = cameras.rays(size)
    origin, direction = rays.origins.reshape(-1, 3), rays.directions.reshape(-1, 3)
    owner = torch.arange(count).repeat_interleave(total // count * size * size)
    middle = -(origin * direction).sum(-1)
    room = _REACH**2 - (origin + middle[:, None] * direction).square().sum(-1)
    least = torch.full_like(middle, 1.0)
    nearest = middle.clone()
    alive = (room > 0).nonzero()[:, 0]
    reach = room.clamp(min=0).sqrt()
    s, end = (middle - reach)[alive], (middle + reach)[alive]
    for step in range(_STEPS):
        points = torch.addcmul(origin[alive], s[:, None], direction[alive])
        d = solids.distance(points, owner[alive]) + pixel[alive] / 2
        better = d < least[alive]
        least[alive] = torch.where(better, d, least[alive])
        nearest[alive] = torch.where(better, s, nearest[alive])
        s = s + _RELAX * d.clamp(min=2e-3)
        going = (d > 1e-3) & (s < end)
        if step % 2 or not bool(going.any()):
            alive, s, end = alive[going], s[going], end[going]
        if not len(alive):
            break
    coverage = (1 - least / pixel).clamp(0, 1)
    seen = (coverage > 0).nonzero()[:, 0]
    points = torch.addcmul(origin[seen], nearest[seen, None], direction[seen])
    normal, colour = solids.surface(points, owner[seen])
    turn = cameras.rotation[seen // (size * size)]
    normals, paint = torch.zeros_like(origin), torch.zeros_like(owner)
    normals[seen] = torch.einsum("mji,mj->mi", turn, normal)
    paint[seen] = colour
    shape = (count, total // count, size, size)
    return Views(coverage.view(shape), normals.view(*shape, 3), paint.view(shape))
