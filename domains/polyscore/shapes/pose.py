r"""Nine degrees of freedom of an object from points of one view: rotation, place and size, by three steps of DDIM.

The state is x = (size 3, place 3, the rotation matrix row by row 9), Gaussian noise as on any vector, so on the way the nine
numbers are no rotation; at the end they are put to the nearest one by the singular value decomposition. The network sees the
points in a frame of their own, F^T (x - m) / u with their mean m, their largest distance u from it and their principal axes F,
so the answer moves, scales and turns with the cloud: rotation F R, place m + u F p, size u s.

Sources: Liu et al. 2025 (Diff9D), arXiv 2502.02525; Puny et al. 2022 (frames), arXiv 2110.03336.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from polyscore.errors import InputError, PolyscoreError
from polyscore.hub import Pretrained
from polyscore.lie import angle, nearest_rotation
from polyscore.samplers import DDIM, sample
from polyscore.state import Given

__all__ = ["OwnFrame", "Pose", "PoseEstimator", "PoseNetwork", "own_frame", "packed", "unpacked"]

_PARTS = (3, 3, 9)


@dataclass(frozen=True)
class Pose:
    """A canonical point c of the object, of a box with sides 1, is seen at R (size * c) + place.

    Attributes:
        R: rotation (3, 3).
        place: (3,), in the cloud's unit.
        size: sides of the box (3,), in the cloud's unit.
        spread: mean angle in degrees of the samples' rotations from R; large where the view says little.
    """

    R: Tensor
    place: Tensor
    size: Tensor
    spread: float


class OwnFrame(NamedTuple):
    """Mean (3,), largest distance from it (1,), and principal axes (3, 3) of a cloud, as columns of a rotation."""

    middle: Tensor
    unit: Tensor
    axes: Tensor

    def into(self, points: Tensor) -> Tensor:
        """Points (N, 3) in the frame."""
        return (points - self.middle) / self.unit @ self.axes


def own_frame(points: Tensor) -> OwnFrame:
    """The frame of points (N, 3): axes by falling variance, the first two towards their positive third moment.

    Raises:
        InputError: all points are one.
    """
    middle = points.mean(0)
    centred = points - middle
    unit = centred.norm(dim=-1).amax(0, keepdim=True)
    if not bool(unit > 0):
        raise InputError("pose: all points are one; expected a view of an object")
    axes = torch.linalg.eigh(centred.mT @ centred).eigenvectors[:, [2, 1]]
    skew = ((centred / unit) @ axes).pow(3).sum(0)
    axes = torch.where(skew < 0, -axes, axes)
    return OwnFrame(middle, unit, torch.cat([axes, torch.linalg.cross(axes[:, :1], axes[:, 1:], dim=0)], 1))


def packed(R: Tensor, place: Tensor, size: Tensor) -> Tensor:
    """The state (..., 15) of rotations (..., 3, 3), places (..., 3) and sizes (..., 3)."""
    return torch.cat([size, place, R.flatten(-2)], -1)


def unpacked(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Rotations (..., 3, 3), the nearest ones, places and sizes (..., 3) of states (..., 15)."""
    size, place, rows = x[..., :3], x[..., 3:6], x[..., 6:]
    return nearest_rotation(rows.reshape(*rows.shape[:-1], 3, 3)), place, size


class PoseNetwork(nn.Module):
    """(x (B, 15), time (B,), given) -> (B, 15); `given.cond` holds the points (B, N, 3) in their own frame.

    A PointNet reads the cloud; size, place and rotation each have a residual network of their own that sees all of x.

    Args:
        width: of the residual networks.
        points: widths of the layers on each point; the last is the length of the code.
        layers: residual layers of each.

    Raises:
        InputError: sizes below 1.
    """

    def __init__(self, width: int = 256, points: tuple[int, ...] = (64, 128, 256), *, layers: int = 3) -> None:
        super().__init__()
        points = tuple(points)
        if min(width, layers, *points, 1) < 1 or not points or width % 2:
            raise InputError(f"PoseNetwork: width {width}, points {points}, layers {layers}; expected 1 or more, width even")
        self.width, self.points, self.layers = width, points, layers
        parts: list[nn.Module] = []
        for before, after in pairwise((3, *points)):
            parts += [nn.Linear(before, after), nn.LayerNorm(after), nn.SiLU()]
        self.cloud = nn.Sequential(*parts)
        self.heads = nn.ModuleList([_Head(sum(_PARTS) + width + points[-1], width, size, layers) for size in _PARTS])

    def forward(self, x: Tensor, t: Tensor, given: Given) -> Tensor:
        code = self.cloud(given.cond.to(x)).amax(1)
        rate = torch.exp(torch.linspace(0, math.log(1000.0), self.width // 2, device=x.device, dtype=x.dtype))
        time = t.to(x)[:, None] * rate
        seen = torch.cat([x, time.sin(), time.cos(), code], -1)
        return torch.cat([head(seen) for head in self.heads], -1)


class _Head(nn.Module):
    def __init__(self, before: int, width: int, after: int, layers: int) -> None:
        super().__init__()
        self.start = nn.Linear(before, width)
        self.layers = nn.ModuleList([_residual(width) for _ in range(layers)])
        self.out = nn.Linear(width, after)

    def forward(self, x: Tensor) -> Tensor:
        y = self.start(x)
        for layer in self.layers:
            y = y + layer(y)
        out: Tensor = self.out(y)
        return out


def _residual(width: int) -> nn.Sequential:
    return nn.Sequential(nn.LayerNorm(width), nn.Linear(width, width), nn.SiLU(), nn.Linear(width, width))


class PoseEstimator(Pretrained):
    """Finds poses: `PoseEstimator.from_pretrained(folder).estimate(points).R`.

    Args:
        denoiser: of states (B, 15), with a `process`, such as a `Precondition` of a `PoseNetwork`; `given.cond` are points
            (B, N, 3).
        points: clouds are thinned to so many.
        steps: of DDIM.

    Raises:
        InputError: sizes below 1.
    """

    def __init__(self, denoiser: nn.Module, *, points: int = 256, steps: int = 3) -> None:
        super().__init__()
        if points < 4 or steps < 1:
            raise InputError(f"PoseEstimator: points {points}, steps {steps}; expected at least 4 and 1")
        self.denoiser, self.points, self.steps = denoiser, points, steps

    @torch.no_grad()
    def estimate(self, points: Any, *, samples: int = 8, seed: int = 0) -> Pose:
        """The pose of an object from points (N, 3) of its surface: of several samples the one nearest to all others.

        Raises:
            InputError: points that are not (N, 3) finite numbers with at least four, all of them one, or no samples.
            PolyscoreError: the model gave values that are not numbers.
        """
        cloud = torch.as_tensor(points).detach().cpu().double()
        if cloud.ndim != 2 or cloud.shape[-1] != 3 or len(cloud) < 4 or not bool(torch.isfinite(cloud).all()) or samples < 1:
            raise InputError(
                f"estimate: points {tuple(cloud.shape)}, samples {samples}; expected (N, 3) finite numbers, N at least 4, and "
                "1 or more samples"
            )
        frame = own_frame(cloud)
        keep = torch.randperm(len(cloud), generator=torch.Generator().manual_seed(seed))[: self.points]
        own = next(self.denoiser.parameters())
        seen = frame.into(cloud[keep]).to(own).expand(samples, -1, -1)
        x: Tensor = sample(
            DDIM(),
            self.denoiser,
            self.denoiser.process,
            own.new_empty(samples, sum(_PARTS)),
            steps=self.steps,
            given=Given(cond=seen),
            noise=seed,
        )
        if not bool(torch.isfinite(x).all()):
            raise PolyscoreError("estimate: the model gave values that are not numbers; was its training finished?")
        R, place, size = unpacked(x.double().cpu())
        apart = angle(R[:, None].expand(-1, samples, 3, 3), R[None].expand(samples, -1, 3, 3)).rad2deg()
        best = int(apart.mean(1).argmin())
        moved = frame.middle + frame.unit * (frame.axes @ place[best])
        return Pose(frame.axes @ R[best], moved, frame.unit * size[best], float(apart[best].mean()))
