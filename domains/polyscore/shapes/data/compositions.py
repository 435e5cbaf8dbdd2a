r"""Random solids for registration: unions of boxes, ellipsoids, frusta and tori, with points and exact normals of their surface.

Parts are drawn with independent sizes, turns and places, so that a union of three or more has no symmetry and its pose is one.
Each part's surface is sampled uniformly by area; points inside another part are dropped, which leaves the surface of the union:

    box        |x_k| <= h_k                                   ellipsoid  sum (x_k / h_k)^2 <= 1
    frustum    |z| <= h, |(x, y)| <= r(z), r linear in z      torus      (|(x, y)| - R)^2 + z^2 <= r^2
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from polyscore.errors import InputError

__all__ = ["Part", "box", "composition", "ellipsoid", "frustum", "random_rotation", "torus"]

Array = NDArray[np.float64]
Sampler = Callable[[int, np.random.Generator], tuple[Array, Array]]

_JOINT = 0.7  # a part's middle lies so far from that of another one, in units of their mean size: parts overlap and stick out
_CROSS = 1e-9


@dataclass(frozen=True)
class Part:
    """A convex or ring-shaped solid in its own frame.

    Attributes:
        sample: (count, generator) -> points and outward normals (count, 3), uniform by area.
        inside: points (N, 3) -> which of them are inside (N,).
        area: of the surface.
        size: of the part: roughly its radius.
    """

    sample: Sampler
    inside: Callable[[Array], NDArray[np.bool_]]
    area: float
    size: float


def box(half: Any) -> Part:
    """The box |x_k| <= half_k."""
    h = np.asarray(half, dtype=float)
    faces = 4 * np.array([h[1] * h[2], h[2] * h[0], h[0] * h[1]])

    def sample(count: int, rng: np.random.Generator) -> tuple[Array, Array]:
        x = rng.uniform(-1, 1, (count, 3)) * h
        axis, rows = rng.choice(3, count, p=faces / faces.sum()), np.arange(count)
        normals = np.zeros((count, 3))
        normals[rows, axis] = rng.choice([-1.0, 1.0], count)
        x[rows, axis] = normals[rows, axis] * h[axis]
        return x, normals

    return Part(sample, lambda x: np.all(np.abs(x) < h - _CROSS, axis=-1), 2 * faces.sum(), float(h.mean()))


def ellipsoid(half: Any) -> Part:
    """The ellipsoid with these half axes. A point of the unit sphere stands for an area in proportion to |x / half|."""
    h = np.asarray(half, dtype=float)

    def sample(count: int, rng: np.random.Generator) -> tuple[Array, Array]:
        u = _kept(count, lambda n: _unit(rng.standard_normal((n, 3))), lambda u: _length(u / h) * h.min(), rng)
        return u * h, _unit(u / h)

    a, b, c = h
    area = 4 * np.pi * (((a * b) ** 1.6 + (a * c) ** 1.6 + (b * c) ** 1.6) / 3) ** (1 / 1.6)  # Thomsen's, within 1.2 %
    return Part(sample, lambda x: (np.square(x / h).sum(-1) < 1 - _CROSS), float(area), float(h.mean()))


def frustum(below: float, above: float, half: float) -> Part:
    """The cone stub of radius `below` at z = -half and `above` at z = half: a cylinder where they are one."""
    slope = (below - above) / (2 * half)
    slant = float(np.hypot(below - above, 2 * half))
    areas = np.pi * np.array([below**2, above**2, (below + above) * slant])

    def radius(z: Array) -> Array:
        return (below + above) / 2 - slope * z

    def sample(count: int, rng: np.random.Generator) -> tuple[Array, Array]:
        angle, which = rng.uniform(0, 2 * np.pi, count), rng.choice(3, count, p=areas / areas.sum())
        round_ = np.stack([np.cos(angle), np.sin(angle), np.zeros(count)], -1)
        share = np.sqrt(rng.uniform(0, 1, count))
        # on the mantle the area up to a height grows with the square of the distance to the cone's tip
        low, high = below**2, above**2
        mantle = np.sqrt(low + (high - low) * rng.uniform(0, 1, count))
        z = rng.uniform(-half, half, count) if slope == 0 else ((below + above) / 2 - mantle) / slope
        z = np.where(which == 2, z, np.where(which == 0, -half, half))
        r = np.where(which == 2, radius(z), share * np.where(which == 0, below, above))
        up = np.array([0.0, 0.0, 1.0])
        side = _unit(round_ + slope * up)
        normals = np.where((which == 2)[:, None], side, np.where(which == 0, -1.0, 1.0)[:, None] * up)
        return r[:, None] * round_ + z[:, None] * up, normals

    def inside(x: Array) -> NDArray[np.bool_]:
        return (np.abs(x[:, 2]) < half - _CROSS) & (_length(x[:, :2]) < radius(x[:, 2]) - _CROSS)

    return Part(sample, inside, float(areas.sum()), float((below + above + half) / 3))


def torus(ring: float, tube: float) -> Part:
    """The ring of radius `ring` around z with a tube of radius `tube`; an angle of the tube has area as its radius."""

    def sample(count: int, rng: np.random.Generator) -> tuple[Array, Array]:
        u = rng.uniform(0, 2 * np.pi, count)
        v = _kept(
            count,
            lambda n: rng.uniform(0, 2 * np.pi, (n, 1)),
            lambda v: (ring + tube * np.cos(v[:, 0])) / (ring + tube),
            rng,
        )[:, 0]
        normals = np.stack([np.cos(v) * np.cos(u), np.cos(v) * np.sin(u), np.sin(v)], -1)
        middle = ring * np.stack([np.cos(u), np.sin(u), np.zeros(count)], -1)
        return middle + tube * normals, normals

    def inside(x: Array) -> NDArray[np.bool_]:
        return np.square(_length(x[:, :2]) - ring) + x[:, 2] ** 2 < tube**2 - _CROSS

    return Part(sample, inside, 4 * np.pi**2 * ring * tube, ring)


def composition(rng: np.random.Generator, points: int = 4096, *, parts: tuple[int, int] = (3, 6)) -> tuple[Array, Array]:
    """Points and outward normals (N, 3) of the surface of a random union; N is at most `points`, less what lies inside.

    Raises:
        InputError: fewer than one part, or bounds that are no range.
    """
    low, high = parts
    if not 1 <= low <= high:
        raise InputError(f"composition: parts {parts}, expected two numbers from 1, the smaller first")
    placed: list[tuple[Part, Array, Array]] = []
    for _ in range(int(rng.integers(low, high + 1))):
        part = _random_part(rng)
        middle = np.zeros(3)
        if placed:
            other, _, there = placed[int(rng.integers(len(placed)))]
            middle = there + _unit(rng.standard_normal(3)) * (part.size + other.size) * _JOINT
        placed.append((part, random_rotation(rng), middle))
    areas = np.array([part.area for part, _, _ in placed])
    found, normals = [], []
    for k, (part, R, middle) in enumerate(placed):
        x, n = part.sample(max(1, int(points * areas[k] / areas.sum())), rng)
        x, n = x @ R.T + middle, n @ R.T
        free = np.ones(len(x), dtype=bool)
        for j, (other, S, there) in enumerate(placed):
            if j != k:
                free &= ~other.inside((x - there) @ S)
        found.append(x[free])
        normals.append(n[free])
    return np.concatenate(found), np.concatenate(normals)


def random_rotation(rng: np.random.Generator) -> Array:
    """A rotation (3, 3), uniform on SO(3): a unit quaternion that is uniform on the sphere."""
    w, x, y, z = _unit(rng.standard_normal(4))
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
            [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
            [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
        ]
    )


def _random_part(rng: np.random.Generator) -> Part:
    size = np.exp(rng.uniform(np.log(0.35), np.log(1.0)))
    kind = rng.integers(4)
    if kind == 0:
        return box(size * np.exp(rng.uniform(np.log(0.15), 0.0, 3)))
    if kind == 1:
        return ellipsoid(size * np.exp(rng.uniform(np.log(0.3), 0.0, 3)))
    if kind == 2:
        below, above = size * np.exp(rng.uniform(np.log(0.15), np.log(0.7), 2))
        return frustum(below, above, size * rng.uniform(0.3, 1.0))
    return torus(0.7 * size, 0.7 * size * rng.uniform(0.15, 0.4))


def _kept(
    count: int, draw: Callable[[int], Array], share: Callable[[Array], Array], rng: np.random.Generator
) -> Array:
    """Rejection: `count` draws, each kept with its share in [0, 1]."""
    parts: list[Array] = []
    while sum(map(len, parts)) < count:
        x = draw(2 * count + 16)
        parts.append(x[rng.uniform(0, 1, len(x)) < share(x)])
    return np.concatenate(parts)[:count]


def _length(x: Array) -> Array:
    length: Array = np.sqrt(np.square(x).sum(-1))
    return length


def _unit(x: Array) -> Array:
    return x / np.maximum(_length(x)[..., None], 1e-12)
