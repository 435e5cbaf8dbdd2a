r"""Gaussian splats: a scene as coloured Gaussians, seen by projecting each to an ellipse in the picture.

Gaussian i has the mean mu, the covariance R diag(scale^2) R^T, an opacity o and a colour c. With J the derivative of the camera's
projection at mu (see `cameras`), it covers pixel p by

    S = J Sigma J^T + 0.3 I,      alpha_i(p) = min(.999, o exp(-(p - mu')^T S^-1 (p - mu') / 2)),      0 below 1 / 255,

and from the nearest to the farthest the pixel sees

    sum_i alpha_i c_i prod_{j < i} (1 - alpha_j),        until less than 1e-4 of the light comes through.

0.3 square pixels keep a splat from falling between pixels. J is taken at most 1.3 times as far from the middle as the border is,
because far out it no longer means anything. This is the published rasteriser (Zwicker et al. 2001, doi
10.1109/VISUAL.2001.964490; Kerbl et al. 2023, arXiv 2308.04079) without its tiles: in torch alone, on any device, at a cost of
splats times pixels. With CUDA, `polyscore.shapes.render.backends.gsplat` gives the same pictures of millions.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from polyscore.errors import InputError
from polyscore.shapes.ops.neighbours import knn
from polyscore.shapes.ops.rotations import quaternion_to_matrix
from polyscore.shapes.render.cameras import Camera, Size, shape_of

__all__ = ["Ellipses", "Splats", "Splatted", "ellipses", "splat"]

_BLUR = 0.3  # square pixels
_MOST, _LEAST, _DARK = 0.999, 1 / 255, 1e-4
_ASIDE = 1.3
_PAIRS = 1 << 22  # splats times pixels held at once


@dataclass(frozen=True)
class Splats:
    """N Gaussians.

    Args:
        means: (N, 3).
        scales: standard deviations along their axes (N, 3).
        turns: quaternions of the axes (N, 4), real part first, of any length but 0.
        opacities: o (N,) in [0, 1].
        colours: (N, 3).

    Raises:
        InputError: other shapes.
    """

    means: Tensor
    scales: Tensor
    turns: Tensor
    opacities: Tensor
    colours: Tensor

    def __post_init__(self) -> None:
        n = len(self.means)
        found = {name: tuple(value.shape) for name, value in vars(self).items()}
        if found != {"means": (n, 3), "scales": (n, 3), "turns": (n, 4), "opacities": (n,), "colours": (n, 3)}:
            raise InputError(f"Splats: {found}; expected (N, 3), (N, 3), (N, 4), (N,) and (N, 3)")

    @classmethod
    def of_points(cls, points: Tensor, colours: Tensor, *, radius: float | Tensor | None = None, opacity: float = 1.0) -> Splats:
        """Balls of standard deviation `radius`, a number or (N,), at points (N, 3) of colours (N, 3).

        Without a radius each has the mean distance to its three nearest neighbours, as a fit of splats begins (Kerbl et al.).

        Raises:
            InputError: other shapes, or fewer than four points and no radius.
        """
        if radius is None:
            if len(points) < 4:
                raise InputError(f"Splats: {len(points)} points and no radius; expected a radius, or four points to tell it from")
            radius = knn(points, points, 4)[0][:, 1:].mean(-1)
        size = torch.as_tensor(radius, dtype=points.dtype, device=points.device).expand(len(points))
        turn = points.new_tensor([1.0, 0.0, 0.0, 0.0]).expand(len(points), 4)
        return cls(points, size[:, None].expand(-1, 3), turn, torch.full_like(size, opacity), colours)

    @property
    def covariances(self) -> Tensor:
        """Sigma (N, 3, 3)."""
        root = quaternion_to_matrix(self.turns) * self.scales[:, None]
        return root @ root.mT


class Ellipses(NamedTuple):
    """Splats in pictures of B cameras: middle (B, N, 2) in pixels, S (B, N, 2, 2), depth (B, N)."""

    middle: Tensor
    spread: Tensor
    depth: Tensor


class Splatted(NamedTuple):
    """Pictures: colour (B, H, W, 3) and depth (B, H, W), both multiplied by coverage, and the coverage (B, H, W)."""

    colour: Tensor
    coverage: Tensor
    depth: Tensor


def ellipses(splats: Splats, camera: Camera, size: Size) -> Ellipses:
    """Where splats lie in the pictures. Those behind a camera have no meaning there."""
    height, width = shape_of(size)
    seen = camera.project(splats.means, size)
    q = (splats.means - camera.position[:, None]) @ camera.rotation
    half = camera.divide(seen.depth)[0]
    growth = camera.divide(torch.ones_like(seen.depth))[0] - camera.divide(torch.zeros_like(seen.depth))[0]
    per = height / 2 / torch.where(half.abs() < torch.finfo(half.dtype).tiny, 1.0, half)
    aside = q.new_tensor([_ASIDE * width / height, _ASIDE])
    slope = torch.minimum(torch.maximum(q[..., :2] * (2 / height) * per[..., None], -aside), aside) * growth[..., None]
    o = torch.zeros_like(per)
    rows = [per, o, per * slope[..., 0], o, -per, -per * slope[..., 1]]
    J = torch.stack(rows, -1).reshape(*per.shape, 2, 3) @ camera.rotation.mT[:, None]
    blur = _BLUR * torch.eye(2, dtype=J.dtype, device=J.device)
    return Ellipses(seen.xy, J @ splats.covariances @ J.mT + blur, seen.depth)


def splat(splats: Splats, camera: Camera, size: Size, *, near: float = 0.01) -> Splatted:
    """Pictures of splats by B cameras, differentiable in all of them; splats closer than `near` are left out."""
    height, width = shape_of(size)
    flat = ellipses(splats, camera, size)
    y, x = torch.meshgrid(*(torch.arange(n, device=flat.depth.device) + 0.5 for n in (height, width)), indexing="ij")
    centres = torch.stack([x, y], -1).reshape(-1, 2).to(flat.middle)
    rows = max(1, _PAIRS // max(1, len(splats.means)))
    pictures = []
    for middle, spread, depth in zip(*flat, strict=True):
        order = depth.argsort(stable=True)
        order = order[depth[order] > near]
        told = torch.cat([splats.colours[order], torch.ones_like(depth[order, None]), depth[order, None]], -1)
        inverse, opacity = torch.linalg.inv(spread[order]), splats.opacities[order]
        parts = [_weights(part[:, None] - middle[order], inverse, opacity) @ told for part in torch.split(centres, rows)]
        pictures.append(torch.cat(parts).view(height, width, 5))
    found = torch.stack(pictures)
    return Splatted(found[..., :3], found[..., 3], found[..., 4])


def _weights(off: Tensor, inverse: Tensor, opacity: Tensor) -> Tensor:
    """What each of N splats, from near to far, contributes to each of P pixels (P, N); off is (P, N, 2)."""
    away = torch.einsum("pni,nij,pnj->pn", off, inverse, off)
    alpha = (opacity * torch.exp(-away / 2)).clamp(max=_MOST)
    alpha = torch.where(alpha < _LEAST, 0.0, alpha)
    through = (1 - alpha).cumprod(-1)
    before = torch.cat([torch.ones_like(through[:, :1]), through[:, :-1]], -1)
    return torch.where(through > _DARK, alpha * before, 0.0)
