"""Cut and drag: parts of a picture, each with a path of its own, over each other in a stated order.

Layer k covers the set M_k of pixels of the first frame and stands in frame t where the affine map A_k(t) puts it. Pixel q of
frame t shows the uppermost layer whose A_k(t)^-1 q lies in M_k, else the ground. Its flow is A_k(t+1) A_k(t)^-1 q - q; it is
hidden where frame t + 1 shows another layer there, and pixels of frame t + 1 whose origin showed another layer are revealed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from polyscore.errors import InputError
from polyscore.noise import Flow
from polyscore.video.motion.frames import grid, nearest, sample
from polyscore.video.motion.keyframes import around, check_rising

__all__ = ["Keyframe", "Layer", "composite", "drag", "polygon"]


@dataclass(frozen=True)
class Keyframe:
    """Where a layer stands at `time` (0 first frame, 1 last): moved by (x, y) pixels, scaled and turned about its own centre."""

    time: float
    x: float = 0.0
    y: float = 0.0
    scale: float = 1.0
    degrees: float = 0.0


@dataclass(frozen=True)
class Layer:
    """A part of the first frame and its path.

    Args:
        mask: (H, W) bool, what belongs to it in the first frame.
        keyframes: at least one, in order of time; linear between them in `x`, `y`, degrees and log scale.
        z: larger is nearer.
        ease: 0 linear in time, 1 starts and ends at rest (smoothstep) between keyframes.
    """

    mask: Tensor
    keyframes: Sequence[Keyframe]
    z: float = 0.0
    ease: float = 0.0

    def __post_init__(self) -> None:
        check_rising(self.keyframes, "layer: keyframe")
        if any(key.scale <= 0 for key in self.keyframes):
            raise InputError("layer: a keyframe has a scale of 0 or less; expected a positive factor")
        if self.mask.ndim != 2 or not bool(self.mask.any()):
            raise InputError("layer: the mask is empty; expected a region with at least one pixel")

    def place(self, time: float) -> Tensor:
        """The affine map (2, 3) of first-frame pixels to pixels at `time`."""
        one, two, part = around(self.keyframes, time)
        part = part + self.ease * (part * part * (3 - 2 * part) - part)

        def mixed(a: float, b: float) -> Tensor:
            return torch.tensor(a + part * (b - a), dtype=torch.float64)

        scale = mixed(math.log(one.scale), math.log(two.scale)).exp()
        angle = torch.deg2rad(mixed(one.degrees, two.degrees))
        turn = scale * torch.stack([angle.cos(), -angle.sin(), angle.sin(), angle.cos()]).view(2, 2)
        rows, columns = self.mask.nonzero().double().mean(0)
        centre = torch.stack([columns, rows])
        shift = torch.stack([mixed(one.x, two.x), mixed(one.y, two.y)])
        return torch.cat([turn, (centre + shift - turn @ centre)[:, None]], 1)

    def path(self, frames: int) -> Tensor:
        """Where the centre (x, y) of the region stands in each of `frames` frames, (T, 2)."""
        rows, columns = self.mask.nonzero().double().mean(0)
        maps = torch.stack([self.place(t / (frames - 1)) for t in range(frames)])
        return (maps[:, :, :2] @ torch.stack([columns, rows]) + maps[:, :, 2]).float()


def polygon(points: Sequence[Sequence[float]], size: tuple[int, int]) -> Tensor:
    """The pixels (H, W) whose centres lie inside a polygon of (x, y) corners (even-odd rule).

    Raises:
        InputError: fewer than three corners, or nothing inside the frame.
    """
    if len(points) < 3 or any(len(p) != 2 for p in points):
        raise InputError(f"polygon: {len(points)} corners; expected at least three pairs [x, y]")
    x, y = grid(size)
    inside = torch.zeros(size, dtype=torch.bool)
    corners = [(float(a), float(b)) for a, b in points]
    for (x1, y1), (x2, y2) in zip(corners, corners[1:] + corners[:1], strict=True):
        if y1 != y2:
            crosses = (y1 > y) != (y2 > y)
            inside ^= crosses & (x < (x2 - x1) * (y - y1) / (y2 - y1) + x1)
    if not bool(inside.any()):
        raise InputError("polygon: no pixel of the frame lies inside it; are the corners in pixels of the frame?")
    return inside


def drag(layers: Sequence[Layer], frames: int, *, ground: Layer | None = None) -> Flow:
    """The flow of `frames` frames of these layers over a ground that stays, or moves as `ground` (whose mask is not used).

    Raises:
        InputError: no layers, fewer than two frames, masks of different sizes.
    """
    if not layers or frames < 2:
        raise InputError(f"drag: {len(layers)} layers over {frames} frames; expected at least 1 and 2")
    size = (layers[0].mask.shape[0], layers[0].mask.shape[1])
    if any(layer.mask.shape != size for layer in layers):
        raise InputError("drag: the masks have different sizes; expected that of the frame for all")
    at = [_places(layers, ground, t / (frames - 1)) for t in range(frames)]
    shown = [_shown(layers, maps, size) for maps in at]
    steps = [_step(at[t], at[t + 1], shown[t], shown[t + 1]) for t in range(frames - 1)]
    forward, backward, hidden, revealed = (torch.stack(column) for column in zip(*steps, strict=True))
    return Flow(forward, backward, hidden, revealed)


def composite(image: Tensor, layers: Sequence[Layer], frames: int, *, ground: Layer | None = None) -> Tensor:
    """The crude film (T, 3, H, W): each layer of `image` (3, H, W) moved along its path, the holes filled from their borders."""
    size = (image.shape[1], image.shape[2])
    cut = torch.stack([layer.mask for layer in layers]).any(0)
    empty = fill(image, cut)
    film = []
    for t in range(frames):
        maps = _places(layers, ground, t / (frames - 1))
        shown = _shown(layers, maps, size)
        frame = sample(empty[None], _pull(maps[0], size)[None].float())[0]
        for k in range(len(layers)):
            moved = sample(image[None], _pull(maps[k + 1], size)[None].float())[0]
            frame = torch.where(shown == k + 1, moved, frame)
        film.append(frame)
    return torch.stack(film)


def fill(image: Tensor, hole: Tensor, *, rounds: int = 400) -> Tensor:
    """`image` (C, H, W) with the pixels of `hole` (H, W) grown over from the border, then smoothed."""
    known = (~hole).float()[None, None]
    value = image[None] * known
    for _ in range(rounds):
        if bool((known > 0).all()):
            break
        weight = F.avg_pool2d(known, 3, 1, 1)
        near = F.avg_pool2d(value, 3, 1, 1) / weight.clamp_min(1e-6)
        value = torch.where(known > 0, value, near * (weight > 0))
        known = torch.where(known > 0, known, (weight > 0).float())
    smooth = F.avg_pool2d(F.pad(value, (3, 3, 3, 3), mode="replicate"), 7, 1)
    return torch.where(hole, smooth[0], image)


def _places(layers: Sequence[Layer], ground: Layer | None, time: float) -> list[Tensor]:
    still = torch.eye(2, 3, dtype=torch.float64)
    return [still if ground is None else ground.place(time), *(layer.place(time) for layer in layers)]


def _pull(place: Tensor, size: tuple[int, int]) -> Tensor:
    """First-frame pixel of every pixel, (2, H, W): the inverse of `place`."""
    inverse = torch.linalg.inv(place[:, :2])
    rel = grid(size).double() - place[:, 2][:, None, None]
    return torch.einsum("ij,jhw->ihw", inverse, rel)


def _push(place: Tensor, points: Tensor) -> Tensor:
    return torch.einsum("ij,jhw->ihw", place[:, :2], points) + place[:, 2][:, None, None]


def _shown(layers: Sequence[Layer], maps: Sequence[Tensor], size: tuple[int, int]) -> Tensor:
    """Which layer every pixel shows, (H, W): 0 the ground, k + 1 layer k."""
    shown = torch.zeros(size, dtype=torch.int64)
    for k in sorted(range(len(layers)), key=lambda k: layers[k].z):
        cell, inside = nearest(_pull(maps[k + 1], size), size)
        shown[inside & layers[k].mask.flatten()[cell]] = k + 1
    return shown


def _step(now: Sequence[Tensor], then: Sequence[Tensor], shown: Tensor, later: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    size = (shown.shape[0], shown.shape[1])
    forward, backward = (torch.zeros(2, *size, dtype=torch.float64) for _ in range(2))
    here = grid(size).double()
    for k in range(len(now)):
        forward = torch.where(shown == k, _push(then[k], _pull(now[k], size)) - here, forward)
        backward = torch.where(later == k, _push(now[k], _pull(then[k], size)) - here, backward)
    hidden = _elsewhere(here + forward, shown, later)
    revealed = _elsewhere(here + backward, later, shown)
    return forward.float(), backward.float(), hidden, revealed


def _elsewhere(place: Tensor, own: Tensor, other: Tensor) -> Tensor:
    """Where the pixel at `place` belongs to another layer than the one it came from (outside the frame: not)."""
    cell, inside = nearest(place, (own.shape[0], own.shape[1]))
    differs: Tensor = inside & (other.flatten()[cell] != own)
    return differs
