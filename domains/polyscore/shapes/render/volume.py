r"""Volume rendering: what a camera sees of a field.

A ray crosses the cube [-1/2, 1/2]^3 between s_near and s_far; the stretch is cut into S equal parts of length l with one sample
each, in the middle or at a random place. With the density constant on a part, the part absorbs a = 1 - exp(-sigma l), and

    w_i = a_i prod_{j < i} (1 - a_j),        seen = sum_i w_i f_i,        coverage = sum_i w_i = 1 - exp(-sum sigma_j l)

(Max 1995, doi 10.1109/2945.468400; Mildenhall et al. 2020, arXiv 2003.08934). Colours and normals are asked only where w_i is not
negligible, densities everywhere, because an empty place must be able to fill. Everything seen is premultiplied by its coverage.

Where it is known that nothing may be, nothing need be asked: with `room`, a grid that says where something can be, only the rays
that meet it and the samples inside it are looked at (the occupancy grids of Mueller et al. 2022, arXiv 2201.05989).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from polyscore.errors import InputError
from polyscore.shapes.fields.base import RadianceField
from polyscore.shapes.finishes import Finish, shade
from polyscore.shapes.pictures import Layers, stack
from polyscore.shapes.render.cameras import Camera, Size, shape_of

__all__ = ["Marched", "Seen", "absorb", "dense", "march", "render", "shaded"]

_LEAST = 2e-3  # weights below this carry no colour


class Marched(NamedTuple):
    """The rays of pictures that cross the cube, cut into parts.

    Attributes:
        pixel: which pixel (R,) of all B H W.
        points: (R, S, 3).
        step: length of the parts (R,).
        depth: distance of the points along their rays (R, S).
    """

    pixel: Tensor
    points: Tensor
    step: Tensor
    depth: Tensor


class Seen(NamedTuple):
    """Pictures of a field, premultiplied: coverage (B, H, W), colour and normal in camera axes (B, H, W, 3), depth (B, H, W)."""

    coverage: Tensor
    colour: Tensor
    normal: Tensor
    depth: Tensor


def absorb(density: Tensor, step: Tensor) -> Tensor:
    """Weights w (R, S) of densities (R, S) on parts of lengths (R,)."""
    depth = density * step[:, None]
    through = torch.exp(-(depth.cumsum(1) - depth))
    return through * -torch.expm1(-depth)


def march(
    camera: Camera, size: Size, samples: int, *, generator: torch.Generator | None = None, room: Tensor | None = None
) -> Marched:
    """The rays of all pixels that cross the cube, or that meet `room`; with a generator the samples lie at random places.

    Raises:
        InputError: no samples.
    """
    if samples < 1:
        raise InputError(f"march: {samples} samples a ray, expected 1 or more")
    origins, directions = (part.reshape(-1, 3) for part in camera.rays(size))
    slope = torch.where(directions.abs() < 1e-9, torch.full_like(directions, 1e-9), directions)
    one, other = (-0.5 - origins) / slope, (0.5 - origins) / slope
    near, far = torch.minimum(one, other).amax(-1).clamp(min=0), torch.maximum(one, other).amin(-1)
    crosses = far > near + 1e-6
    if room is not None:
        crosses &= _meeting(camera, size, room)
    pixel = crosses.nonzero()[:, 0]
    near, step = near[pixel], (far - near)[pixel] / samples
    place = torch.arange(samples, device=near.device).to(near)[None] + (
        0.5 if generator is None else torch.rand(len(pixel), samples, generator=generator).to(near)
    )
    depth = near[:, None] + place * step[:, None]
    points = origins[pixel, None] + depth[..., None] * directions[pixel, None]
    return Marched(pixel, points, step, depth)


def dense(field: RadianceField, points: Tensor, room: Tensor | None = None) -> Tensor:
    """The density at points (R, S, 3), (R, S); outside of `room` it is 0 and the field is not asked."""
    flat = points.reshape(-1, 3)
    if room is None:
        return field.density(flat).view(points.shape[:2])
    n = len(room)
    column, row, layer = ((flat + 0.5) * n).long().clamp_(0, n - 1).unbind(1)
    inside = room.view(-1)[(layer * n + row) * n + column].nonzero()[:, 0]
    return flat.new_zeros(len(flat)).index_copy(0, inside, field.density(flat[inside])).view(points.shape[:2])


def render(
    field: RadianceField,
    camera: Camera,
    size: Size,
    *,
    samples: int = 64,
    generator: torch.Generator | None = None,
    room: Tensor | None = None,
) -> Seen:
    """Pictures by B cameras; with a generator sample places are random, which hides the parts' boundaries in training.

    `room` (n, n, n), axes z, y, x, says in which voxels of the cube something may be; elsewhere it is taken to be empty.
    """
    height, width = shape_of(size)
    rays = march(camera, size, samples, generator=generator, room=room)
    weight = absorb(dense(field, rays.points, room), rays.step)
    row, column = (weight.detach() > _LEAST).nonzero(as_tuple=True)
    some, at = weight[row, column], rays.points[row, column]
    pixel = rays.pixel[row]
    turn = camera.rotation[pixel // (height * width)]
    normal = torch.einsum("nji,nj->ni", turn, field.normals(at))
    told = torch.cat([field.colour(at), normal, rays.depth[row, column, None]], 1) * some[:, None]
    total = told.new_zeros(len(camera) * height * width, 7).index_add(0, pixel, told)
    coverage = weight.new_zeros(len(total)).index_add(0, rays.pixel, weight.sum(1))
    shape = (len(camera), height, width)
    return Seen(coverage.view(shape), total[:, :3].view(*shape, 3), total[:, 3:6].view(*shape, 3), total[:, 6].view(shape))


def shaded(seen: Seen, finish: Finish) -> Tensor:
    """The prior's pictures (B, 7, H, W) of what is seen: the mean colour of a pixel, lit at its mean normal."""
    w = seen.coverage.clamp(min=1e-4)[..., None]
    direction = seen.normal / torch.sqrt(seen.normal.square().sum(-1, keepdim=True) + 1e-8)
    lit = shade(seen.colour / w, direction, finish) * seen.coverage[..., None]
    return stack(Layers(seen.coverage, lit, seen.normal))


def _meeting(camera: Camera, size: Size, room: Tensor) -> Tensor:
    """Which pixels (B H W,) the ball around some voxel of room can be seen in."""
    height, width = shape_of(size)
    n = len(room)
    layer, row, column = room.nonzero().unbind(1)
    met = camera.pose.new_zeros(len(camera) * height * width)
    if not len(row):
        return met > 0
    points = (torch.stack([column, row, layer], 1).to(met) + 0.5) / n - 0.5
    place = camera.project(points, size)
    xy = place.xy.floor().long()
    x, y = xy[..., 0].clamp(0, width - 1), xy[..., 1].clamp(0, height - 1)
    view = torch.arange(len(camera), device=x.device)[:, None]
    met[((view * height + y) * width + x).flatten()] = 1.0
    half = float(camera.divide(place.depth)[0].min().clamp(min=1e-3))
    reach = min(math.ceil(math.sqrt(3) / (2 * n) * height / (2 * half)), max(height, width))
    wide: Tensor = F.max_pool2d(met.view(-1, 1, height, width), 2 * reach + 1, stride=1, padding=reach)
    return wide.flatten() > 0
