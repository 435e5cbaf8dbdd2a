r"""Views to a mesh: a closed surface whose normals and silhouettes are those of given pictures.

The vertices x of a mesh are moved down the gradient of

    mean over pixels i in M of |n_i(x) - n*_i|^2  +  a mean over all pixels of (S_i(x) - c*_i)^2

with n the interpolated normals of the hard rasteriser, M the pixels that both show, S the soft silhouette and n*, c* the normals
and the coverage that are wanted. The gradient is averaged with the neighbours' (a step of the heat equation), divided by the
running root mean square of its length at each vertex, and scaled with the edge length l,

    x <- x - r (1 - k / K) l m / (|m|_rms + eps)      in step k of K, l falling from the first to the last of `edges`,

after which the mesh is remeshed to edges of length l, the moments averaged along: coarse surfaces move far, and detail comes when
the place is right.

A soft silhouette is a little larger than the mesh, since every triangle at the rim adds to it; so its softness falls with l.

Sources: Palfinger 2022, Continuous remeshing for inverse rendering, doi 10.1002/cav.2101; Wu et al. 2024 (Unique3D: ISOMER),
arXiv 2405.20343; Lu et al. 2024 (Direct2.5), arXiv 2311.15980.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from polyscore.errors import InputError
from polyscore.shapes.mesh.remesh import remesh
from polyscore.shapes.ops.meshes import edges_of
from polyscore.shapes.render.cameras import Camera
from polyscore.shapes.render.draw import normal_map
from polyscore.shapes.render.silhouette import silhouette

__all__ = ["FitStep", "NormalViews", "fit_views"]

_MOMENTS = (0.8, 0.95)


@dataclass(frozen=True)
class NormalViews:
    """What B cameras shall see.

    Args:
        camera: B cameras.
        normals: unit vectors in camera axes (B, H, W, 3); where there is no surface they do not count.
        coverage: how much of a pixel is covered (B, H, W), 0 to 1.

    Raises:
        InputError: other shapes.
    """

    camera: Camera
    normals: Tensor
    coverage: Tensor

    def __post_init__(self) -> None:
        shape = tuple(self.coverage.shape)
        if len(shape) != 3 or shape[0] != len(self.camera) or self.normals.shape != (*shape, 3):
            raise InputError(
                f"NormalViews: normals {tuple(self.normals.shape)} and coverage {shape} of {len(self.camera)} cameras; expected "
                "(B, H, W, 3) and (B, H, W)"
            )


@dataclass(frozen=True)
class FitStep:
    """The mesh after a step, and the loss before it: the parts of normals and silhouettes."""

    vertices: Tensor
    faces: Tensor
    normals_loss: float
    silhouette_loss: float


def fit_views(
    views: NormalViews,
    vertices: Tensor,
    faces: Tensor,
    *,
    steps: int = 100,
    edges: tuple[float, float] = (0.15, 0.03),
    rate: float = 0.4,
    outline: float = 8.0,
    softness: tuple[float, float] = (1.0, 0.2),
) -> Iterator[FitStep]:
    """Move and remesh a closed mesh, step by step, until it looks as wanted.

    Args:
        views: what shall be seen.
        vertices, faces: the start (V, 3), (F, 3): closed, of the genus wanted, about where the object is.
        steps: how many.
        edges: length of an edge at the start and at the end.
        rate: r, the part of an edge that a vertex moves in the first step; it falls to 0.
        outline: a, the weight of the silhouettes.
        softness: of the silhouettes at the start and at the end, in pixels.

    Yields:
        The mesh after each step.

    Raises:
        InputError: fewer than one step, lengths that are not positive, or a mesh that is not closed.
    """
    if steps < 1 or min(*edges, *softness, rate) <= 0:
        raise InputError(
            f"fit_views: {steps} steps, edges {edges}, softness {softness}, rate {rate}; expected at least 1 and positive numbers"
        )
    like, size = views.normals, (views.coverage.shape[1], views.coverage.shape[2])
    x, f = vertices.detach().to(like), faces
    mean, square = torch.zeros_like(x), torch.zeros_like(x[:, :1])
    for step in range(steps):
        length, soft = (first * (last / first) ** (step / max(1, steps - 1)) for first, last in (edges, softness))
        points, triangles, moments = remesh(x.cpu(), f.cpu(), length, torch.cat([mean, square], -1).cpu())
        x, f = _tensor(points, like).requires_grad_(), torch.from_numpy(triangles).to(like.device)
        mean, square = _tensor(moments[:, :3], like), _tensor(moments[:, 3:], like)
        seen, hit = normal_map(x, f, views.camera, size)
        both = (hit & (views.coverage > 0.5)).to(like)
        normals = (both * (seen - views.normals).square().sum(-1)).sum() / both.sum().clamp_min(1)
        rim = (silhouette(x, f, views.camera, size, softness=soft) - views.coverage).square().mean()
        (slope,) = torch.autograd.grad(normals + outline * rim, x)
        slope = _spread(slope, f)
        mean = torch.lerp(slope, mean, _MOMENTS[0])
        square = torch.lerp(slope.square().sum(-1, keepdim=True), square, _MOMENTS[1])
        # early moments are small by the same factors for all, as in Adam
        scale = (1 - _MOMENTS[0] ** (step + 1)) / (1 - _MOMENTS[1] ** (step + 1)) ** 0.5
        x = x.detach() - rate * (1 - step / steps) * length / scale * mean / (square.sqrt() + 1e-12)
        yield FitStep(x, f, float(normals.detach()), float(rim.detach()))


def _tensor(array: Any, like: Tensor) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(array)).to(like)


def _spread(slope: Tensor, faces: Tensor) -> Tensor:
    """The mean of a vertex's own value and that of its neighbours."""
    a, b = edges_of(faces).unbind(-1)
    ends, others = torch.cat([a, b]), torch.cat([b, a])
    count = torch.zeros_like(slope[:, :1]).index_add(0, ends, torch.ones_like(slope[ends, :1])).clamp_min(1)
    return (slope + torch.zeros_like(slope).index_add(0, ends, slope[others]) / count) / 2
