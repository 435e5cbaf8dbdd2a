"""Pictures of coloured meshes: rasterised, shaded, with smooth edges."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, grid_sample, normalize

from polyscore.shapes.ops.meshes import vertex_normals
from polyscore.shapes.render.cameras import Camera, Size, shape_of
from polyscore.shapes.render.lights import Lambert
from polyscore.shapes.render.rasterise import check_mesh, interpolate, rasterise

__all__ = ["Surface", "draw", "normal_map", "over", "surface_of"]

Shading = Callable[[Tensor, Tensor], Tensor]  # colours and unit normals in camera axes, (..., 3) each -> seen colours (..., 3)

_GREY = 0.7


@dataclass(frozen=True)
class Surface:
    """A mesh as tensors.

    Args:
        vertices: (V, 3).
        faces: (F, 3).
        normals: unit vectors at the vertices (V, 3).
        colours: of the vertices (V, 3) in [0, 1]; what a texture does not cover.
        uv: places in the texture (V, 2), from its lower left corner.
        texture: (3, H, W) in [0, 1], its first row at the top.

    Raises:
        InputError: vertices or faces of other shapes.
    """

    vertices: Tensor
    faces: Tensor
    normals: Tensor
    colours: Tensor
    uv: Tensor | None = None
    texture: Tensor | None = None

    def __post_init__(self) -> None:
        check_mesh(self.vertices, self.faces)


def surface_of(mesh: Any) -> Surface:
    """The tensors of a trimesh.Trimesh with a texture, colours of vertices or faces, or none (grey)."""
    vertices = torch.from_numpy(np.array(mesh.vertices, dtype=np.float32))
    faces = torch.from_numpy(np.array(mesh.faces, dtype=np.int64))
    normals = torch.from_numpy(np.array(mesh.vertex_normals, dtype=np.float32))
    colours, visual = torch.full_like(vertices, _GREY), mesh.visual
    if visual.kind == "texture":
        picture = getattr(visual.material, "baseColorTexture", None) or getattr(visual.material, "image", None)
        if picture is not None and visual.uv is not None:
            texture = torch.from_numpy(np.array(picture.convert("RGB"))).movedim(-1, 0).float() / 255
            return Surface(vertices, faces, normals, colours, torch.from_numpy(np.array(visual.uv, dtype=np.float32)), texture)
        colours = torch.tensor(visual.material.main_color[:3] / 255, dtype=torch.float32).expand_as(vertices)
    elif visual.kind is not None:
        colours = torch.from_numpy(np.array(visual.vertex_colors[:, :3], dtype=np.float32)) / 255
    return Surface(vertices, faces, normals, colours)


def draw(surface: Surface, camera: Camera, size: Size, *, shading: Shading | None = None, samples: int = 2) -> Tensor:
    """Red, green, blue and coverage (B, 4, H, W) in [0, 1]; colours are those of the covered part, not multiplied by it.

    Args:
        surface: what to draw.
        camera: B cameras.
        size: of the picture.
        shading: from colours and normals in camera axes to what is seen; `Lambert()` by default.
        samples: each pixel is the mean of samples^2 of them.
    """
    height, width = shape_of(size)
    found = rasterise(surface.vertices, surface.faces, camera, (height * samples, width * samples))
    colours = interpolate(found, surface.faces, surface.colours)
    if surface.uv is not None and surface.texture is not None:
        place = interpolate(found, surface.faces, surface.uv * surface.uv.new_tensor([2, -2]) + surface.uv.new_tensor([-1, 1]))
        texture = surface.texture.to(colours).expand(len(camera), -1, -1, -1)
        colours = grid_sample(texture, place, padding_mode="border", align_corners=False).movedim(1, -1)
    normals = normalize(interpolate(found, surface.faces, surface.normals) @ camera.rotation[:, None], dim=-1)
    seen = (Lambert() if shading is None else shading)(colours, normals)
    part = found.hit[..., None].to(seen)
    mean = avg_pool2d(torch.cat([seen * part, part], -1).movedim(-1, 1), samples)
    return torch.cat([mean[:, :3] / mean[:, 3:].clamp_min(1 / samples**2), mean[:, 3:]], 1)


def over(picture: Tensor, background: float | Tensor = 1.0) -> Tensor:
    """A picture (B, 4, H, W) on a ground: (B, 3, H, W)."""
    colours, part = picture[:, :3], picture[:, 3:]
    return colours * part + background * (1 - part)


def normal_map(vertices: Tensor, faces: Tensor, camera: Camera, size: Size) -> tuple[Tensor, Tensor]:
    """Unit normals in camera axes (B, H, W, 3), 0 on the background, and where there is a surface (B, H, W).

    The normals are interpolated from the vertices', and differentiable in the vertices.
    """
    found = rasterise(vertices, faces, camera, size)
    seen = interpolate(found, faces, vertex_normals(vertices, faces)) @ camera.rotation[:, None]
    return normalize(seen, dim=-1), found.hit
