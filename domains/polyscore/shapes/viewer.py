"""A page that shows a solid: one HTML file with its own small WebGL viewer and the mesh inside; it needs no network."""

from __future__ import annotations

import base64
import html
import io
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from polyscore.hub.files import atomic_path
from polyscore.shapes.mesh.bodies import unit_box
from polyscore.shapes.render import surface_of

if TYPE_CHECKING:
    from trimesh import Trimesh

__all__ = ["viewer_page", "write_viewer"]


def viewer_page(mesh: Trimesh, title: str = "shape") -> str:
    """The page: the mesh in the unit box with its colours or texture, turned by mouse, finger or keys.

    Raises:
        MissingExtraError: trimesh, or for a texture Pillow, is not installed.
    """
    solid = unit_box(mesh)
    surface, material = surface_of(solid), getattr(solid.visual, "material", None)
    data: dict[str, Any] = {
        "position": _text(surface.vertices.numpy()),
        "normal": _text(surface.normals.numpy()),
        "colour": _text((surface.colours.numpy() * 255).round().astype(np.uint8)),
        "faces": _text(surface.faces.numpy().astype(np.uint32)),
        "metallic": _factor(solid, "metallic", 0.0),
        "roughness": _factor(solid, "roughness", 0.9),
    }
    if surface.uv is not None:
        data["uv"] = _text(surface.uv.numpy())
        data["picture"] = _picture(material)
    page = (Path(__file__).parent / "viewer.html").read_text(encoding="utf-8")
    parts = {"data": json.dumps(data), "title": html.escape(title), "faces": f"{len(surface.faces):,}"}
    for name, text in parts.items():
        page = page.replace("{{" + name + "}}", text)
    return page


def write_viewer(path: str | os.PathLike[str], mesh: Trimesh, title: str = "shape") -> Path:
    """Write the page, whole or not at all."""
    page = viewer_page(mesh, title)
    with atomic_path(path) as name:
        name.write_text(page, encoding="utf-8")
    return Path(path)


def _text(array: Any) -> str:
    """Little-endian bytes in base64."""
    return base64.b64encode(np.ascontiguousarray(array).astype(array.dtype.newbyteorder("<")).tobytes()).decode("ascii")


def _picture(material: Any) -> str:
    picture, file = getattr(material, "baseColorTexture", None) or material.image, io.BytesIO()
    picture.convert("RGB").save(file, "PNG")
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode("ascii")


def _factor(mesh: Trimesh, name: str, default: float) -> float:
    value = getattr(getattr(mesh.visual, "material", None), f"{name}Factor", None)
    return float(mesh.metadata.get(name, default) if value is None else value)
