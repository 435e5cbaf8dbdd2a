"""Twelve kinds of solids, each a list of painted parts of random size. y is up, the front looks towards +z.

A category is its ranges, from which every size is drawn uniformly and independently, and a function that returns the signed
distance of every part at a point. A solid fills most of the cube [-1/2, 1/2]^3. Mirror-symmetric parts are written once, in
folded coordinates |x|, |z|.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import TypeAlias

import torch
from torch import Tensor

from polyscore.shapes.data.procedural_primitives import (
    ball,
    box,
    capsule,
    cylinder,
    ellipsoid,
    frustum,
    hollow,
    length,
    prism,
    torus,
)

__all__ = ["CATEGORIES", "Category", "Paint", "Part"]


class Paint(IntEnum):
    """What a part is painted with: the colour asked for, a darker shade of it, or a colour of its own."""

    MAIN = 0
    SHADE = 1
    DARK = 2
    WOOD = 3
    LIGHT = 4


Part: TypeAlias = tuple[Tensor, Paint]
Values: TypeAlias = Mapping[str, Tensor]


@dataclass(frozen=True)
class Category:
    """A kind of solid.

    Attributes:
        name: the word for it.
        ranges: of every size.
        parts: distances and paints of its parts at x, y, z, given sizes of their shape.
    """

    name: str
    ranges: Mapping[str, tuple[float, float]]
    parts: Callable[[Tensor, Tensor, Tensor, Values], list[Part]]


def _chair(x: Tensor, y: Tensor, z: Tensor, v: Values) -> list[Part]:
    ax, az = x.abs(), z.abs()
    half, deep, leg, thick = v["width"] / 2, v["depth"] / 2, v["leg"] / 2, v["thick"] / 2
    seat = v["seat"] - 0.48
    legs = box(ax - (half - leg), y - (seat - 0.48) / 2, az - (deep - leg), (leg, (seat + 0.48) / 2, leg), round_=0.01)
    top = box(x, y - seat, z, (half, thick, deep), round_=0.015)
    rise = (v["back"] - v["seat"]) / 2
    back = box(x, y - seat - rise, z + deep - thick, (half, rise, thick), round_=0.015)
    return [(torch.minimum(top, back), Paint.MAIN), (legs, Paint.SHADE)]


def _table(x: Tensor, y: Tensor, z: Tensor, v: Values) -> list[Part]:
    half, deep, leg, thick, up = v["width"] / 2, v["depth"] / 2, v["leg"] / 2, v["thick"] / 2, v["height"] / 2
    legs = box(x.abs() - (half - leg - 0.02), y, z.abs() - (deep - leg - 0.02), (leg, up, leg), round_=0.01)
    top = box(x, y - up + thick, z, (half, thick, deep), round_=0.015)
    return [(top, Paint.MAIN), (legs, Paint.SHADE)]


def _lamp(x: Tensor, y: Tensor, z: Tensor, v: Values) -> list[Part]:
    r = length(x, z)
    foot = cylinder(r, y + 0.46, v["foot"], 0.035, round_=0.01)
    pole = cylinder(r, y + 0.1, v["pole"], 0.36)
    up = v["shade"] / 2
    shade = frustum(r, y - (0.48 - up), up, v["wide"], v["wide"] * v["taper"])
    return [(shade, Paint.MAIN), (torch.minimum(foot, pole), Paint.DARK)]


def _mug(x: Tensor, y: Tensor, z: Tensor, v: Values) -> list[Part]:
    radius, up, wall = v["radius"], v["height"] / 2, 0.07
    shift = (v["ring"] + 0.05) / 2
    r = length(x + shift, z)
    body = cylinder(r, y, radius, up, round_=0.015)
    body = hollow(body, cylinder(r, y - wall - 0.1, radius - wall, up + 0.1))
    handle = torus(x + shift - radius, y, z, v["ring"], v["tube"])
    handle = torch.maximum(handle, radius - wall / 2 - r)
    return [(torch.minimum(body, handle), Paint.MAIN)]


def _bottle(x: Tensor, y: Tensor, z: Tensor, v: Values) -> list[Part]:
    r = length(x, z)
    radius, neck = v["radius"], v["neck"]
    top = v["shoulder"] - 0.48  # the body's upper end
    body = cylinder(r, y - (top - 0.48) / 2, radius, (top + 0.48) / 2, round_=0.02)
    shoulder = frustum(r, y - top - v["slope"] / 2 + 0.01, v["slope"] / 2, radius - 0.01, neck)
    start = top + v["slope"] - 0.03
    throat = cylinder(r, y - (start + 0.4) / 2, neck, (0.4 - start) / 2)
    cap = cylinder(r, y - 0.43, neck + 0.02, 0.05, round_=0.01)
    return [(torch.minimum(torch.minimum(body, shoulder), throat), Paint.MAIN), (cap, Paint.LIGHT)]


def _car(x: Tensor, y: Tensor, z: Tensor, v: Values) -> list[Part]:
    wide, wheel = v["width"] / 2, v["wheel"]
    low = -0.17
    body = box(x, y - (low + v["body"] / 2 + 0.03), z, (wide, v["body"] / 2, 0.48), round_=0.05)
    roof = low + v["body"] + 0.03
    up = v["cabin"] / 2
    cabin = box(x, y - roof - up + 0.03, z + v["back"], (wide - 0.04, up + 0.03, v["long"] / 2), round_=0.05)
    wheels = cylinder(length(y - low, z.abs() - 0.29), x.abs() - wide + 0.03, wheel, 0.05, round_=0.01)
    return [(body, Paint.MAIN), (cabin, Paint.SHADE), (wheels, Paint.DARK)]


def _plane(x: Tensor, y: Tensor, z: Tensor, v: Values) -> list[Part]:
    fat = v["body"]
    body = capsule(x, y, z, fat, 0.48 - fat)
    sweep = z - v["wing_at"] + v["sweep"] * x.abs()
    wings = box(x, y, sweep, (v["span"] / 2, 0.035, v["chord"] / 2), round_=0.01) * 0.9
    tail = box(x, y - 0.02, z + 0.41, (v["tail"] / 2, 0.032, 0.07), round_=0.01)
    fin = box(x, y - fat / 2 - v["fin"] / 2, z + 0.41, (0.032, fat / 2 + v["fin"] / 2, 0.07), round_=0.01)
    return [(torch.minimum(body, fin), Paint.MAIN), (torch.minimum(wings, tail), Paint.SHADE)]


def _boat(x: Tensor, y: Tensor, z: Tensor, v: Values) -> list[Part]:
    wide, deep, deck = v["width"] / 2, v["deep"], v["deep"] - 0.48
    hull = torch.maximum(ellipsoid(x, y - deck, z, (wide, deep, 0.48)), y - deck)
    mast = cylinder(length(x, z - 0.02), y - (deck + 0.48) / 2, 0.036, (0.48 - deck) / 2 + 0.01)
    foot, run = deck + 0.08, v["sail"]
    up = (v["sail_top"] - foot) / 2
    sail = prism(z + run / 2, y - foot - up, x, (run / 2, up, 0.036))
    jib = prism(z - 0.04 - 0.13, y - foot - up * 0.7, x, (0.12, up * 0.7, 0.036))
    return [(hull, Paint.MAIN), (mast, Paint.WOOD), (torch.minimum(sail, jib), Paint.LIGHT)]


def _rocket(x: Tensor, y: Tensor, z: Tensor, v: Values) -> list[Part]:
    r = length(x, z)
    radius, nose = v["radius"], v["nose"]
    top = 0.48 - nose
    body = cylinder(r, y - (top - 0.4) / 2, radius, (top + 0.4) / 2)
    cone = frustum(r, y - top - nose / 2, nose / 2, radius, 0.015)
    a, b = torch.maximum(x.abs(), z.abs()), torch.minimum(x.abs(), z.abs())
    out = v["fin"]
    high = v["fin_high"] / 2
    swept = y + 0.48 - high + 0.6 * (a - radius - out)
    fins = box(a - radius - out / 2 + 0.02, swept, b, (out / 2 + 0.02, high, 0.036))
    fins = torch.maximum(fins * 0.85, -(y + 0.48))  # a shear stretches distances
    window = ball(x, y - 0.12, z - radius, 0.07)
    return [(body, Paint.MAIN), (torch.minimum(cone, fins), Paint.SHADE), (window, Paint.LIGHT)]


def _house(x: Tensor, y: Tensor, z: Tensor, v: Values) -> list[Part]:
    wide, deep = v["width"] / 2, v["depth"] / 2
    eaves = v["wall"] - v["total"] / 2
    walls = box(x, y - (eaves - v["total"] / 2) / 2, z, (wide, v["wall"] / 2, deep))
    up = (v["total"] - v["wall"]) / 2
    roof = prism(x, y - eaves - up, z, (wide + 0.06, up, deep + 0.04))
    chimney = box(x - wide * 0.55, y - eaves - up, z + deep * 0.4, (0.05, up, 0.05))
    door = box(x, y + v["total"] / 2 - 0.13, z - deep, (0.08, 0.13, 0.02))
    return [(walls, Paint.MAIN), (torch.minimum(roof, chimney), Paint.SHADE), (door, Paint.WOOD)]


def _tree(x: Tensor, y: Tensor, z: Tensor, v: Values) -> list[Part]:
    r = length(x, z)
    foot = v["trunk"] - 0.48
    trunk = cylinder(r, y - (foot - 0.48) / 2, v["thick"], (foot + 0.48) / 2 + 0.02)
    tall = 0.48 - foot
    low = frustum(r, y - foot - tall * 0.25, tall * 0.25, v["wide"], v["wide"] * 0.35)
    middle = frustum(r, y - foot - tall * 0.5, tall * 0.22, v["wide"] * 0.8, v["wide"] * 0.25)
    high = frustum(r, y - foot - tall * 0.79, tall * 0.21, v["wide"] * 0.6, 0.015)
    return [(torch.minimum(torch.minimum(low, middle), high), Paint.MAIN), (trunk, Paint.WOOD)]


def _mushroom(x: Tensor, y: Tensor, z: Tensor, v: Values) -> list[Part]:
    r = length(x, z)
    rim = 0.42 - v["cap"]
    stem = frustum(r, y - (rim - 0.4) / 2, (rim + 0.44) / 2, v["stem"] * 1.25, v["stem"])
    cap = torch.maximum(ellipsoid(x, y - rim, z, (v["wide"], v["cap"], v["wide"])), rim - y)
    return [(cap, Paint.MAIN), (stem, Paint.LIGHT)]


CATEGORIES: tuple[Category, ...] = (
    Category(
        "chair",
        {"width": (0.46, 0.58), "depth": (0.44, 0.54), "seat": (0.4, 0.48), "leg": (0.075, 0.095), "thick": (0.07, 0.09),
         "back": (0.88, 0.96)},
        _chair,
    ),
    Category(
        "table",
        {"width": (0.8, 0.96), "depth": (0.5, 0.66), "height": (0.5, 0.64), "leg": (0.075, 0.1), "thick": (0.065, 0.09)},
        _table,
    ),
    Category(
        "lamp",
        {"foot": (0.17, 0.22), "pole": (0.04, 0.05), "shade": (0.3, 0.4), "wide": (0.25, 0.32), "taper": (0.5, 0.75)},
        _lamp,
    ),
    Category("mug", {"radius": (0.27, 0.33), "height": (0.62, 0.78), "ring": (0.17, 0.2), "tube": (0.05, 0.06)}, _mug),
    Category(
        "bottle",
        {"radius": (0.18, 0.23), "neck": (0.06, 0.08), "shoulder": (0.48, 0.58), "slope": (0.12, 0.2)},
        _bottle,
    ),
    Category(
        "car",
        {"width": (0.4, 0.48), "wheel": (0.105, 0.125), "body": (0.17, 0.21), "cabin": (0.14, 0.18), "long": (0.42, 0.56),
         "back": (0.02, 0.1)},
        _car,
    ),
    Category(
        "plane",
        {"body": (0.09, 0.11), "span": (0.84, 0.96), "chord": (0.18, 0.24), "wing_at": (0.06, 0.14), "sweep": (0.1, 0.35),
         "tail": (0.3, 0.4), "fin": (0.13, 0.18)},
        _plane,
    ),
    Category("boat", {"width": (0.34, 0.44), "deep": (0.22, 0.28), "sail": (0.32, 0.42), "sail_top": (0.38, 0.46)}, _boat),
    Category("rocket", {"radius": (0.14, 0.18), "nose": (0.26, 0.36), "fin": (0.11, 0.15), "fin_high": (0.2, 0.28)}, _rocket),
    Category(
        "house", {"width": (0.6, 0.76), "depth": (0.56, 0.72), "wall": (0.38, 0.48), "total": (0.74, 0.86)}, _house
    ),
    Category("tree", {"trunk": (0.16, 0.22), "thick": (0.055, 0.075), "wide": (0.3, 0.38)}, _tree),
    Category("mushroom", {"wide": (0.34, 0.44), "cap": (0.28, 0.36), "stem": (0.1, 0.14)}, _mushroom),
)
"""All kinds, in the order of their numbers."""
