r"""Cameras: where a picture is taken from, as rays out of it and as the projection onto it.

World: right-handed, y up, an object's front towards +z (as in glTF). A camera on the orbit of azimuth a and elevation e (degrees)
stands at

    c + r (cos e sin a, sin e, cos e cos a)

and looks at c, so a = 0 sees the front, a = 90 the object's own left side (+x), and growing azimuth turns the camera to the
right. Its pose is the motion [right, up, back | position] from camera to world; it looks along -back.

Pictures: H rows and W columns, row 0 at the top, the centre of pixel (i, j) at x = j + 1/2, y = i + 1/2. With the point
q = R^T (p - position) in camera axes, depth d = -q_z > 0 in front of the camera, and half the picture's height covering h,

    perspective    h = d tan(fov / 2),    w = d             orthographic    h = height / 2,    w = 1
    x = W / 2 + (H / 2) q_x / h           y = H / 2 - (H / 2) q_y / h

so `project` undoes `rays`: project(o + s u) is the ray's own pixel for every s > 0. Attributes that are linear on a triangle in
space are linear in the picture after division by w.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import NamedTuple, Self

import torch
from torch import Tensor

from polyscore.errors import InputError

__all__ = ["Camera", "Orthographic", "Perspective", "Projection", "Rays", "Size", "orbit"]

Size = int | tuple[int, int]  # H = W, or (H, W)


class Rays(NamedTuple):
    """Half lines o + s u: origins and unit directions, (B, H, W, 3) each."""

    origins: Tensor
    directions: Tensor


class Projection(NamedTuple):
    """Points in a picture: `xy` (B, N, 2) in pixels, `depth` (B, N) along the viewing axis, `w` (B, N), the divisor."""

    xy: Tensor
    depth: Tensor
    w: Tensor


def orbit(
    azimuth: float | Tensor,
    elevation: float | Tensor,
    distance: float | Tensor,
    *,
    centre: Tensor | tuple[float, float, float] = (0.0, 0.0, 0.0),
) -> Tensor:
    """Poses (B, 4, 4) around `centre`, from degrees and lengths that are numbers or (B,) and broadcast to one another.

    Differentiable in all of them. Elevations may reach and pass +-90: the up direction is that of the orbit's meridian.
    """
    like = next((v for v in (azimuth, elevation, distance) if isinstance(v, Tensor)), torch.zeros(()))
    a, e, r = torch.broadcast_tensors(  # type: ignore[no-untyped-call]
        *(torch.as_tensor(v, dtype=like.dtype, device=like.device).reshape(-1) for v in (azimuth, elevation, distance))
    )
    a, e, o = torch.deg2rad(a), torch.deg2rad(e), torch.zeros_like(a)
    right = torch.stack([a.cos(), o, -a.sin()], -1)
    up = torch.stack([-e.sin() * a.sin(), e.cos(), -e.sin() * a.cos()], -1)
    back = torch.stack([e.cos() * a.sin(), e.sin(), e.cos() * a.cos()], -1)
    position = torch.as_tensor(centre, dtype=a.dtype, device=a.device) + r[:, None] * back
    top = torch.stack([right, up, back, position], -1)
    bottom = top.new_tensor([0.0, 0.0, 0.0, 1.0]).expand(len(a), 1, 4)
    return torch.cat([top, bottom], 1)


@dataclass(frozen=True)
class Camera(ABC):
    """Poses (B, 4, 4) of B cameras; a kind of camera says how a point is divided, and which ray leaves a pixel.

    Raises:
        InputError: poses of another shape.
    """

    pose: Tensor

    def __post_init__(self) -> None:
        if self.pose.ndim != 3 or self.pose.shape[1:] != (4, 4):
            raise InputError(f"{type(self).__name__}: pose of shape {tuple(self.pose.shape)}, expected (B, 4, 4)")

    def __len__(self) -> int:
        return len(self.pose)

    @property
    def rotation(self) -> Tensor:
        """R (B, 3, 3), from camera axes to the world's: its columns are right, up, back. `n @ R` are normals in camera axes."""
        return self.pose[:, :3, :3]

    @property
    def position(self) -> Tensor:
        """Where the cameras stand, (B, 3)."""
        return self.pose[:, :3, 3]

    @abstractmethod
    def rays(self, size: Size) -> Rays:
        """The rays through the centres of the pixels."""

    @abstractmethod
    def divide(self, depth: Tensor) -> tuple[Tensor, Tensor]:
        """Half the picture's height in space (B, N), and the divisor w (B, N), at a depth (B, N)."""

    def project(self, points: Tensor, size: Size) -> Projection:
        """Points (N, 3) or (B, N, 3) in pixels. A point with w <= 0 is behind the camera, and its `xy` has no meaning."""
        height, width = shape_of(size)
        q = (points - self.position[:, None]) @ self.rotation
        depth = -q[..., 2]
        half, w = self.divide(depth)
        safe = torch.where(half.abs() < torch.finfo(half.dtype).tiny, torch.ones_like(half), half)
        x = width / 2 + height / 2 * q[..., 0] / safe
        y = height / 2 - height / 2 * q[..., 1] / safe
        return Projection(torch.stack([x, y], -1), depth, w)

    def __getitem__(self, index: int | slice | Tensor) -> Self:
        """Some of the cameras, as a batch again."""
        pick = slice(index, index + 1 or None) if isinstance(index, int) else index
        return type(self)(**{name: value[pick] for name, value in vars(self).items()})

    def to(self, where: torch.device | torch.dtype | str) -> Self:
        """The same cameras on a device or in a type."""
        return type(self)(**{name: value.to(where) for name, value in vars(self).items()})

    def _plane(self, size: Size) -> Tensor:
        """Pixel centres (H, W, 2) in units of half the picture's height, x right and y up."""
        height, width = shape_of(size)
        x = (torch.arange(width, dtype=self.pose.dtype, device=self.pose.device) * 2 + 1 - width) / height
        y = (height - 1 - torch.arange(height, dtype=self.pose.dtype, device=self.pose.device) * 2) / height
        return torch.stack([x.expand(height, width), y[:, None].expand(height, width)], -1)


@dataclass(frozen=True)
class Perspective(Camera):
    """Cameras whose rays leave one point.

    Args:
        pose: camera to world (B, 4, 4).
        fov: vertical field of view in degrees (B,), between 0 and 180.

    Raises:
        InputError: other shapes, or a field of view outside (0, 180).
    """

    fov: Tensor

    def __post_init__(self) -> None:
        super().__post_init__()
        _check(self, "fov", self.fov)
        if bool((self.fov >= 180).any()):
            raise InputError(f"Perspective: a field of view of {float(self.fov.max()):g} degrees, expected less than 180")

    @classmethod
    def orbit(
        cls,
        azimuth: float | Tensor,
        elevation: float | Tensor,
        distance: float | Tensor = 2.6,
        *,
        fov: float | Tensor = 40.0,
        centre: Tensor | tuple[float, float, float] = (0.0, 0.0, 0.0),
    ) -> Self:
        """Cameras around `centre`; the defaults show the ball around the unit cube [-1/2, 1/2]^3 whole."""
        pose = orbit(azimuth, elevation, distance, centre=centre)
        return cls(*_batch(pose, fov))

    def rays(self, size: Size) -> Rays:
        plane = self._plane(size) * self._slope()[:, None, None, None]
        aim = torch.cat([plane, -torch.ones_like(plane[..., :1])], -1)
        aim = aim / aim.norm(dim=-1, keepdim=True)
        directions = torch.einsum("bij,bhwj->bhwi", self.rotation, aim)
        return Rays(self.position[:, None, None].expand_as(directions), directions)

    def divide(self, depth: Tensor) -> tuple[Tensor, Tensor]:
        return depth * self._slope()[:, None], depth

    def _slope(self) -> Tensor:
        return torch.tan(self.fov * (math.pi / 360))


@dataclass(frozen=True)
class Orthographic(Camera):
    """Cameras whose rays are parallel.

    Args:
        pose: camera to world (B, 4, 4).
        height: what the picture's height covers in space (B,).

    Raises:
        InputError: other shapes, or a height that is not positive.
    """

    height: Tensor

    def __post_init__(self) -> None:
        super().__post_init__()
        _check(self, "height", self.height)

    @classmethod
    def orbit(
        cls,
        azimuth: float | Tensor,
        elevation: float | Tensor,
        distance: float | Tensor = 2.6,
        *,
        height: float | Tensor = 1.8,
        centre: Tensor | tuple[float, float, float] = (0.0, 0.0, 0.0),
    ) -> Self:
        """Cameras around `centre`; the default shows the ball around the unit cube [-1/2, 1/2]^3 whole."""
        pose = orbit(azimuth, elevation, distance, centre=centre)
        return cls(*_batch(pose, height))

    def rays(self, size: Size) -> Rays:
        plane = self._plane(size) * (self.height / 2)[:, None, None, None]
        across = torch.einsum("bij,bhwj->bhwi", self.rotation[..., :2], plane)
        directions = -self.rotation[:, None, None, :, 2].expand_as(across)
        return Rays(self.position[:, None, None] + across, directions)

    def divide(self, depth: Tensor) -> tuple[Tensor, Tensor]:
        return (self.height / 2)[:, None].expand_as(depth), torch.ones_like(depth)


def shape_of(size: Size) -> tuple[int, int]:
    """(H, W) of a size.

    Raises:
        InputError: less than one pixel.
    """
    height, width = (size, size) if isinstance(size, int) else size
    if height < 1 or width < 1:
        raise InputError(f"a picture of {height} x {width} pixels; expected at least one each way")
    return height, width


def _batch(pose: Tensor, value: float | Tensor) -> tuple[Tensor, Tensor]:
    lens = torch.as_tensor(value, dtype=pose.dtype, device=pose.device).reshape(-1)
    count = max(len(pose), len(lens))
    return pose.expand(count, 4, 4), lens.expand(count)


def _check(camera: Camera, name: str, value: Tensor) -> None:
    if value.shape != (len(camera),) or not bool((value > 0).all()):
        raise InputError(
            f"{type(camera).__name__}: {name} {value.tolist()} for {len(camera)} cameras; expected as many positive numbers"
        )
