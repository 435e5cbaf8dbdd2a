"""Analytic fields of motion: the flow of a point transformation about the centre of the frame, the same in every step.

A transformation T maps the pixel (x, y), measured from the centre, to its place in the next frame: F = T(x, y) - (x, y), and
the backward flow is that of the inverse transformation, exactly.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable

import torch
from torch import Tensor

from polyscore.errors import InputError
from polyscore.noise import Flow
from polyscore.video.motion.frames import grid

__all__ = ["FIELDS", "field", "linear"]


def linear(matrix: Tensor, shift: Tensor, size: tuple[int, int], frames: int) -> Flow:
    """p -> c + M (p - c) + shift in every step, c the centre; M (2, 2), shift (2,) in pixels."""
    centre = torch.tensor([(size[1] - 1) / 2, (size[0] - 1) / 2])
    rel = grid(size) - centre[:, None, None]
    inverse = torch.linalg.inv(matrix)
    forward = torch.einsum("ij,jhw->ihw", matrix, rel) + shift[:, None, None] - rel
    backward = torch.einsum("ij,jhw->ihw", inverse, rel - shift[:, None, None]) - rel
    return Flow(_repeat(forward, frames), _repeat(backward, frames))


def _repeat(field_: Tensor, frames: int) -> Tensor:
    return field_.expand(frames - 1, *field_.shape).contiguous()


def _translate(size: tuple[int, int], frames: int, *, x: float = 0.0, y: float = 0.0) -> Flow:
    """(x, y) pixels a frame."""
    return linear(torch.eye(2), torch.tensor([x, y]), size, frames)


def _zoom(size: tuple[int, int], frames: int, *, rate: float = 0.01) -> Flow:
    """Larger by `rate` a frame (negative: smaller)."""
    return linear(torch.eye(2) * (1 + rate), torch.zeros(2), size, frames)


def _rotate(size: tuple[int, int], frames: int, *, degrees: float = 1.0) -> Flow:
    """Clockwise by `degrees` a frame (y points down)."""
    c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    return linear(torch.tensor([[c, -s], [s, c]]), torch.zeros(2), size, frames)


def _shear(size: tuple[int, int], frames: int, *, x: float = 0.01, y: float = 0.0) -> Flow:
    """x += `x` times the height over the centre, and so on."""
    return linear(torch.tensor([[1.0, x], [y, 1.0]]), torch.zeros(2), size, frames)


def _swirl(size: tuple[int, int], frames: int, *, degrees: float = 3.0, radius: float = 0.5) -> Flow:
    """Rotation that falls off as exp(-r^2 / R^2), R = `radius` times half the shorter side; its inverse turns the other way."""
    rel = grid(size) - torch.tensor([(size[1] - 1) / 2, (size[0] - 1) / 2])[:, None, None]
    angle = math.radians(degrees) * torch.exp(-rel.square().sum(0) / (radius * min(size) / 2) ** 2)

    def turned(by: Tensor) -> Tensor:
        c, s = torch.cos(by), torch.sin(by)
        return torch.stack([c * rel[0] - s * rel[1], s * rel[0] + c * rel[1]]) - rel

    return Flow(_repeat(turned(angle), frames), _repeat(turned(-angle), frames))


FIELDS: dict[str, Callable[..., Flow]] = {
    "translate": _translate,
    "zoom": _zoom,
    "rotate": _rotate,
    "shear": _shear,
    "swirl": _swirl,
}


def field(name: str, size: tuple[int, int], frames: int, **settings: float) -> Flow:
    """The named field for `frames` frames of `size` (H, W).

    Raises:
        InputError: an unknown name or setting, or fewer than two frames.
    """
    if name not in FIELDS:
        raise InputError(f"motion field {name!r}; there are {', '.join(FIELDS)}")
    if frames < 2:
        raise InputError(f"motion over {frames} frames; expected at least 2")
    try:
        return FIELDS[name](size, frames, **settings)
    except TypeError as error:
        known = list(inspect.signature(FIELDS[name]).parameters)[2:]
        raise InputError(f"motion field {name!r}: settings {sorted(settings)}; expected some of {known}") from error
