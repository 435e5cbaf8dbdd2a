r"""Rasterisation by PyTorch3D (Ravi et al. 2020, arXiv 2007.08501): the inputs and results of `rasterise` and `silhouette`.

Vertices go in as they lie in the picture, in PyTorch3D's units, so none of its cameras is needed: the shorter side of the picture
is [-1, 1], x to the left, y up, z the depth, by which perspective is corrected. What differs from our own rasterisers:

- a pixel whose centre lies on an edge belongs to no face there, and to both here;
- faces of less than 1e-8 square units of the picture are left out;
- a silhouette knows the `nearest` faces at a pixel only, ours all.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from polyscore.errors import InputError
from polyscore.shapes.packages import package
from polyscore.shapes.render.cameras import Camera, Perspective, Size, shape_of
from polyscore.shapes.render.rasterise import Fragments, check_mesh

__all__ = ["rasterise", "silhouette"]

_INSTALL = "pip install --no-build-isolation 'git+https://github.com/facebookresearch/pytorch3d.git' (it is built from source)"
_REACH = 3.5  # in units of the softness, as ours


class _Found(NamedTuple):
    """Of each pixel's faces, from near to far: index (B, H, W, K), depth, barycentric (..., 3), signed squared distance."""

    face: Tensor
    depth: Tensor
    barycentric: Tensor
    distance: Tensor


def rasterise(vertices: Tensor, faces: Tensor, camera: Camera, size: Size, *, near: float = 1e-3) -> Fragments:
    """Fragments as `polyscore.shapes.render.rasterise` gives them.

    Raises:
        InputError: vertices or faces of other shapes.
        MissingExtraError: PyTorch3D is not installed.
    """
    found = _run(vertices, faces, camera, size, near=near, blur=0.0, nearest=1)
    face = found.face[..., 0]
    hit = face >= 0
    barycentric = torch.where(hit[..., None], found.barycentric[..., 0, :], 0.0)
    return Fragments(face, barycentric, torch.where(hit, found.depth[..., 0], torch.inf))


def silhouette(
    vertices: Tensor, faces: Tensor, camera: Camera, size: Size, *, softness: float = 0.7, near: float = 1e-3, nearest: int = 50
) -> Tensor:
    """Coverage (B, H, W) as `polyscore.shapes.render.silhouette` gives it, of the `nearest` faces at each pixel.

    Raises:
        InputError: another shape, or a softness that is not positive.
        MissingExtraError: PyTorch3D is not installed.
    """
    if softness <= 0:
        raise InputError(f"silhouette: softness {softness} pixels, expected more than 0")
    scale = softness / (min(shape_of(size)) / 2)
    found = _run(vertices, faces, camera, size, near=near, blur=(_REACH * scale) ** 2, nearest=nearest)
    missed = torch.where(found.face >= 0, logsigmoid(found.distance / scale**2), 0.0)
    return 1 - missed.sum(-1).exp()


def _run(
    vertices: Tensor, faces: Tensor, camera: Camera, size: Size, *, near: float, blur: float, nearest: int
) -> _Found:
    check_mesh(vertices, faces)
    structures = package("pytorch3d.structures", "rendering with PyTorch3D", install=_INSTALL)
    host = package("pytorch3d.renderer.mesh.rasterize_meshes", "rendering with PyTorch3D", install=_INSTALL)
    height, width = shape_of(size)
    seen = camera.project(vertices, size)
    perspective = isinstance(camera, Perspective)
    # parallel rays have no front, but what PyTorch3D draws has a positive depth
    shift = 0.0 if perspective else 1 - float(seen.depth.detach().min())
    plane = (seen.xy.new_tensor([width / 2, height / 2]) - seen.xy) / (min(height, width) / 2)
    corners = torch.cat([plane, seen.depth[..., None] + shift], -1)
    whole = torch.isfinite(corners.detach()).all(-1) & (seen.w.detach() > near)
    kept = [torch.nonzero(part[faces].all(-1))[:, 0] for part in whole]
    meshes = structures.Meshes(list(torch.where(whole[..., None], corners, 0.0)), [faces[part] for part in kept])
    face, depth, barycentric, distance = host.rasterize_meshes(
        meshes,
        (height, width),
        blur_radius=blur,
        faces_per_pixel=nearest,
        perspective_correct=perspective,
        clip_barycentric_coords=blur > 0,
    )
    own = torch.cat(kept)
    known = own[face.clamp_min(0)] if len(own) else face
    return _Found(torch.where(face >= 0, known, -1), depth - shift, barycentric, distance)
