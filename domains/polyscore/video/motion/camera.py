"""A camera that moves through a still picture with depth.

Pinhole camera, x right, y down, z forward; focal length f = (W / 2) / tan(fov / 2) pixels. A pixel (u, v) of depth d is the
point d ((u - cx)/f, (v - cy)/f, 1). A pose (R, c) sees a world point P at R^T (P - c). The depth seen by later frames is that of
the first frame's points, nearest first (z-buffer), with holes filled from the farther side of their border. A pixel is hidden
where what it shows lies behind what the other frame shows there.

Sources of the need: camera control by projected points (Wan-Move and others); the geometry is Hartley, Zisserman 2004, chapter 6.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from polyscore.errors import InputError
from polyscore.noise import Flow
from polyscore.video.motion.frames import grid, nearest
from polyscore.video.motion.keyframes import around, check_rising

__all__ = ["Pose", "camera"]


@dataclass(frozen=True)
class Pose:
    """The camera at `time` (0 the first frame, 1 the last): degrees and units of depth.

    Attributes:
        time: share of the clip.
        pan, tilt, roll: degrees to the right, up, clockwise.
        x, y, z: moved right, down, forward.
        orbit: degrees around the point at `pivot` depth on the axis, keeping it in the centre; adds to the rest.
        pivot: depth of that point; 0 takes the median depth.
    """

    time: float
    pan: float = 0.0
    tilt: float = 0.0
    roll: float = 0.0
    x: float = 0.0
    y: float = 0.0
    z: float = 0.0
    orbit: float = 0.0
    pivot: float = 0.0


def camera(depth: Tensor, poses: Sequence[Pose], frames: int, *, fov: float = 60.0) -> Flow:
    """The flow of `frames` frames of a still scene with `depth` (H, W) > 0, seen along `poses` (linear between them).

    Raises:
        InputError: depth that is not positive and finite, fewer than two frames, poses out of order, fov outside (0, 180).
    """
    if depth.ndim != 2 or not bool((torch.isfinite(depth) & (depth > 0)).all()):
        found = f"depth of shape {tuple(depth.shape)}"
        raise InputError(f"camera: {found}; expected (H, W), positive and finite everywhere (inpaint the rest)")
    if frames < 2:
        raise InputError(f"camera: {frames} frames; expected at least 2")
    check_rising(poses, "camera: pose")
    if not 0 < fov < 180:
        raise InputError(f"camera: fov is {fov} degrees; expected a number between 0 and 180")
    height, width = depth.shape
    focal = width / 2 / math.tan(math.radians(fov) / 2)
    world = _points(depth.double(), focal)
    pivot = float(depth.median())
    seen = [_pose(poses, t / (frames - 1), pivot) for t in range(frames)]
    depths = [depth.double(), *(_depth_from(world, pose, focal, (height, width)) for pose in seen[1:])]
    steps = []
    for t in range(frames - 1):
        forward, hidden = _project(depths[t], depths[t + 1], seen[t], seen[t + 1], focal)
        backward, revealed = _project(depths[t + 1], depths[t], seen[t + 1], seen[t], focal)
        steps.append((forward, backward, hidden, revealed))
    return Flow(*(torch.stack(column) for column in zip(*steps, strict=True)))


def _points(depth: Tensor, focal: float) -> Tensor:
    """(3, H, W) in the camera's own axes."""
    height, width = depth.shape
    x, y = grid((height, width)).double()
    return torch.stack([(x - (width - 1) / 2) / focal * depth, (y - (height - 1) / 2) / focal * depth, depth])


def _pose(poses: Sequence[Pose], time: float, median: float) -> tuple[Tensor, Tensor]:
    """Rotation (3, 3) and centre (3,) of the camera in the world."""
    one, two, part = around(poses, time)
    now = {name: getattr(one, name) + part * (getattr(two, name) - getattr(one, name)) for name in Pose.__dataclass_fields__}
    own = _turn(1, now["pan"]) @ _turn(0, now["tilt"]) @ _turn(2, now["roll"])
    circled = _turn(1, -now["orbit"])
    middle = torch.tensor([0.0, 0.0, now["pivot"] or median], dtype=torch.float64)
    moved = torch.tensor([now["x"], now["y"], now["z"]], dtype=torch.float64)
    return circled @ own, middle + circled @ (moved - middle)


def _turn(axis: int, degrees: float) -> Tensor:
    """Rotation about an axis of the camera: 0 looks up for positive angles, 1 to the right, 2 clockwise."""
    c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    rows = {0: [[1, 0, 0], [0, c, -s], [0, s, c]], 1: [[c, 0, s], [0, 1, 0], [-s, 0, c]], 2: [[c, -s, 0], [s, c, 0], [0, 0, 1]]}
    return torch.tensor(rows[axis], dtype=torch.float64)


def _seen(world: Tensor, pose: tuple[Tensor, Tensor], focal: float) -> tuple[Tensor, Tensor]:
    """Pixel places (2, H, W) and depths (H, W) of world points (3, H, W)."""
    turn, centre = pose
    x, y, z = torch.einsum("ji,jhw->ihw", turn, world - centre[:, None, None])
    height, width = z.shape
    near = z.clamp_min(1e-6)
    place = torch.stack([x / near * focal + (width - 1) / 2, y / near * focal + (height - 1) / 2])
    return torch.where(z > 1e-6, place, torch.full_like(place, 1e6)), z


def _depth_from(world: Tensor, pose: tuple[Tensor, Tensor], focal: float, size: tuple[int, int]) -> Tensor:
    """The depth map of the points seen from `pose`: nearest point a pixel, small gaps and holes filled from the farther side."""
    place, z = _seen(world, pose, focal)
    depth = torch.full((size[0] * size[1],), torch.inf, dtype=torch.float64)
    for dx in (0.0, 1.0):
        for dy in (0.0, 1.0):  # every point touches the four pixels around it, so that a slight zoom leaves no gaps
            x, y = place[0].floor() + dx, place[1].floor() + dy
            inside = (x >= 0) & (x < size[1]) & (y >= 0) & (y < size[0]) & (z > 1e-6)
            cell = (y * size[1] + x)[inside].long()
            depth.scatter_reduce_(0, cell, z[inside], "amin")
    if not bool(torch.isfinite(depth).any()):
        return z.clamp_min(1e-3)  # the camera looks away from everything it knows
    return _filled(depth.view(size))


def _filled(depth: Tensor) -> Tensor:
    """Holes (infinite) take the farthest of the nearest values to their left, right, above and below."""
    sides = []
    for axis in (0, 1):
        for flipped in (False, True):
            line = depth.flip(axis) if flipped else depth
            index = torch.arange(line.shape[axis]).view(-1, *[1] * (1 - axis)).expand_as(line)
            last = torch.where(torch.isfinite(line), index, -1).cummax(axis).values
            side = torch.where(last >= 0, line.gather(axis, last.clamp_min(0)), -torch.inf)
            sides.append(side.flip(axis) if flipped else side)
    found = torch.where(torch.isfinite(depth), depth, torch.stack(sides).amax(0))
    return torch.where(torch.isfinite(found), found, found[torch.isfinite(found)].max())


def _project(
    depth: Tensor, other: Tensor, pose: tuple[Tensor, Tensor], towards: tuple[Tensor, Tensor], focal: float
) -> tuple[Tensor, Tensor]:
    """Flow (2, H, W) of the pixels of one frame to another, and which of them lie behind what the other shows, (H, W)."""
    height, width = depth.shape
    turn, centre = pose
    world = torch.einsum("ij,jhw->ihw", turn, _points(depth, focal)) + centre[:, None, None]
    place, z = _seen(world, towards, focal)
    cell, inside = nearest(place, (height, width))
    behind = inside & (z > other.flatten()[cell] * 1.05)
    limit = 4.0 * max(height, width)
    return (place - grid((height, width))).clamp(-limit, limit).float(), behind
