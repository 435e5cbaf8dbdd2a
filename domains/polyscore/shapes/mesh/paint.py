r"""Colours on a mesh, from a field of colours: at its vertices, or in a texture.

A texture needs every point of the surface in the unit square: charts are cut and packed by xatlas, each texel asks the field for
the colour of the point it covers, and texels that cover none take the nearest that does, so that filtering across the rim of a
chart sees no background. Colours are red, green and blue in [0, 1] as displays take them (sRGB).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from polyscore.errors import InputError
from polyscore.shapes.packages import package
from polyscore.shapes.render.cameras import Projection
from polyscore.shapes.render.rasterise import interpolate, scan

if TYPE_CHECKING:
    from trimesh import Trimesh

__all__ = ["Colour", "bake", "paint"]

Colour = Callable[[Tensor], Tensor]  # points (N, 3) -> red, green, blue (N, 3) in [0, 1]


@torch.no_grad()
def paint(
    mesh: Trimesh,
    colour: Colour,
    *,
    metallic: float = 0.0,
    roughness: float = 0.9,
    batch: int = 1 << 16,
    device: str | torch.device = "cpu",
) -> Trimesh:
    """The mesh with the colours of its vertices; its `metadata` keeps the two numbers of the material for a GLB.

    Raises:
        InputError: colours of another shape, or not finite.
    """
    trimesh = package("trimesh", "a mesh")
    found = _ask(colour, torch.from_numpy(np.array(mesh.vertices, dtype=np.float32)), batch, torch.device(device))
    opaque = np.concatenate([found, np.full((len(found), 1), 255, dtype=np.uint8)], axis=1)
    material = {"metallic": metallic, "roughness": roughness}
    painted: Trimesh = trimesh.Trimesh(mesh.vertices, mesh.faces, process=False, vertex_colors=opaque, metadata=material)
    return painted


@torch.no_grad()
def bake(
    mesh: Trimesh,
    colour: Colour,
    size: int = 512,
    *,
    metallic: float = 0.0,
    roughness: float = 0.9,
    batch: int = 1 << 16,
    device: str | torch.device = "cpu",
) -> Trimesh:
    """The mesh with texture coordinates, a texture of `size`^2 texels and a physically based material.

    Vertices on the seams between charts appear once in every chart; their normals are those of the whole surface.

    Raises:
        InputError: colours of another shape or not finite, or a texture of fewer than 8 texels a side.
        MissingExtraError: xatlas or Pillow is not installed.
    """
    trimesh, image = package("trimesh", "a mesh"), package("PIL.Image", "a texture")
    if size < 8:
        raise InputError(f"bake: a texture of {size} texels a side, expected at least 8")
    source, faces, uv = _charts(mesh, size)
    points, index = torch.from_numpy(np.array(mesh.vertices, dtype=np.float32)[source]), torch.from_numpy(faces.astype(np.int64))
    place = torch.from_numpy(uv.astype(np.float32)) * torch.tensor([1.0, -1.0]) + torch.tensor([0.0, 1.0])  # v grows upwards
    one = torch.ones(1, len(points))
    texels = scan(Projection(place[None] * size, one, one), index, size)
    covered = texels.hit[0].numpy()
    picture = np.zeros((size, size, 3), dtype=np.uint8)
    picture[covered] = _ask(colour, interpolate(texels, index, points)[0][texels.hit[0]], batch, torch.device(device))
    nearest = package("scipy.ndimage", "a texture").distance_transform_edt(~covered, return_distances=False, return_indices=True)
    material = trimesh.visual.material.PBRMaterial(
        baseColorTexture=image.fromarray(picture[tuple(nearest)]), metallicFactor=metallic, roughnessFactor=roughness
    )
    baked: Trimesh = trimesh.Trimesh(
        np.asarray(mesh.vertices)[source],
        faces.astype(np.int64),
        vertex_normals=np.asarray(mesh.vertex_normals)[source],
        visual=trimesh.visual.TextureVisuals(uv=uv, material=material),
        process=False,
    )
    return baked


def _charts(mesh: Trimesh, size: int) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Which vertex a corner of a chart is, the faces of the charts, and their places in the unit square, some texels apart."""
    xatlas = package("xatlas", "texture coordinates")
    options, atlas = xatlas.PackOptions(), xatlas.Atlas()
    options.resolution, options.padding, options.bilinear = size, 3, True
    atlas.add_mesh(np.ascontiguousarray(mesh.vertices, dtype=np.float32), np.ascontiguousarray(mesh.faces, dtype=np.uint32))
    atlas.generate(pack_options=options)
    source, faces, uv = atlas[0]
    return source, faces, uv


def _ask(colour: Colour, points: Tensor, batch: int, device: torch.device) -> NDArray[np.uint8]:
    parts = []
    for part in torch.split(points, batch):
        found = colour(part.to(device))
        if found.shape != (len(part), 3) or not bool(torch.isfinite(found).all()):
            raise InputError(
                f"the colours of {len(part)} points have shape {tuple(found.shape)}; expected {(len(part), 3)} finite numbers"
            )
        parts.append((found.float().clamp(0, 1) * 255).round().byte().cpu().numpy())
    return np.concatenate(parts)
