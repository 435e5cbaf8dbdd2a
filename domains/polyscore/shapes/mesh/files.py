r"""Meshes to and from files: GLB, OBJ, PLY, STL through trimesh; the same mesh gives the same bytes.

Colours. A texture holds what a display shows (sRGB), and so do PLY and OBJ by custom; glTF 2.0 says that colours of vertices are
linear light (section 3.7.2.1, COLOR_0), so they are converted on the way into a GLB and back,

    linear = ((c + 0.055) / 1.055)^2.4 above c = 0.04045, c / 12.92 below                  (IEC 61966-2-1).

GLB keeps texture or vertex colours; OBJ and PLY keep vertex colours, read from the texture where there is one, so that they stay
one file; STL keeps the geometry.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from polyscore.errors import InputError
from polyscore.hub.files import atomic_path
from polyscore.shapes.packages import package

if TYPE_CHECKING:
    from trimesh import Trimesh

__all__ = ["READABLE", "WRITABLE", "mesh_bytes", "read_mesh", "write_mesh"]

WRITABLE = (".glb", ".obj", ".ply", ".stl")
"""Suffixes that `write_mesh` knows."""

READABLE = (*WRITABLE, ".gltf", ".off")
"""Suffixes that `read_mesh` knows."""

_PLAIN: dict[str, dict[str, Any]] = {".obj": {"include_texture": False, "header": None}, ".ply": {"vertex_normal": False}}
_MATERIAL = {"metallic": 0.0, "roughness": 0.9}  # without one a glTF surface is polished metal


def read_mesh(path: str | os.PathLike[str]) -> Trimesh:
    """The mesh in a file, all parts of a scene as one, its vertices as the file has them.

    Raises:
        InputError: no such file, another suffix, a damaged file, or one without triangles.
        MissingExtraError: trimesh is not installed.
    """
    trimesh, name = package("trimesh", "reading a mesh"), Path(path)
    if not name.is_file():
        raise InputError(f"{name}: no such file; expected a mesh ({', '.join(READABLE)})")
    kind = name.suffix.lower()
    if kind not in READABLE:
        raise InputError(f"{name}: a suffix {kind or '(none)'}; expected {', '.join(READABLE)}")
    try:
        scene = trimesh.load_scene(str(name), process=False)
        known = [_as_displayed(part) for part in scene.geometry.values()] if kind in (".glb", ".gltf") else []
        mesh: Any = scene.to_mesh()
        mesh.metadata.update(known[0] if len(known) == 1 else {})
        faces = np.asarray(mesh.faces)
        wrong = len(faces) and (int(faces.min()) < 0 or int(faces.max()) >= len(mesh.vertices))
        lost = int((~np.isfinite(np.asarray(mesh.vertices))).any(1).sum()) if len(faces) else 0
    except Exception as error:  # whatever a parser meets in a damaged file
        raise InputError(f"{name}: cannot be read as {kind[1:].upper()} ({error}); expected a mesh of triangles") from error
    if wrong or not len(faces):
        found = "faces of vertices that it does not have" if wrong else "no triangles"
        raise InputError(f"{name}: holds {found}; expected a mesh of triangles")
    if lost:
        raise InputError(f"{name}: {lost} of {len(mesh.vertices)} vertices are not finite numbers; take them out first")
    return mesh  # type: ignore[no-any-return]


def write_mesh(path: str | os.PathLike[str], mesh: Trimesh) -> Path:
    """Write a mesh, whole or not at all, in the format of the suffix; returns the name.

    Raises:
        InputError: another suffix.
        PolyscoreError: the place cannot be written.
    """
    data = mesh_bytes(mesh, Path(path).suffix)
    with atomic_path(path) as name:
        name.write_bytes(data)
    return Path(path)


def mesh_bytes(mesh: Trimesh, kind: str) -> bytes:
    """The bytes of a mesh file with the suffix `kind`.

    Raises:
        InputError: another suffix than WRITABLE.
    """
    kind = kind.lower()
    if kind not in WRITABLE:
        raise InputError(f"a mesh file with the suffix '{kind}'; expected {', '.join(WRITABLE)}")
    if kind == ".glb":
        return _glb(mesh)
    plain: Any = mesh.copy()
    if plain.visual.kind == "texture":
        plain.visual = plain.visual.to_color()
    data = plain.export(file_type=kind[1:], **_PLAIN.get(kind, {}))
    return data if isinstance(data, bytes) else str(data).encode("utf-8")


def _glb(mesh: Trimesh) -> bytes:
    trimesh, plain = package("trimesh", "a mesh"), _copy(mesh)
    if plain.visual.kind in ("vertex", "face"):
        plain.visual.vertex_colors = _recoloured(plain.visual.vertex_colors, _linear)

    def finish(tree: dict[str, Any]) -> None:
        if not tree.get("materials"):
            factors = {f"{name}Factor": float(mesh.metadata.get(name, value)) for name, value in _MATERIAL.items()}
            tree["materials"] = [{"pbrMetallicRoughness": factors}]
            for part in tree["meshes"]:
                for primitive in part["primitives"]:
                    primitive["material"] = 0

    scene = trimesh.Scene(geometry={"shape": plain})
    data: bytes = trimesh.exchange.gltf.export_glb(scene, include_normals=True, tree_postprocessor=finish)
    return data


def _copy(mesh: Trimesh) -> Any:
    """The mesh with its normals, and without what its file said of it."""
    plain = mesh.copy(include_cache=True)
    plain.metadata.clear()
    return plain


def _as_displayed(part: Any) -> dict[str, float]:
    """Colours of a glTF's vertices from linear light, where no texture gives the colour; returns the material's numbers."""
    material = getattr(part.visual, "material", None)
    found = {name: getattr(material, f"{name}Factor", None) for name in _MATERIAL}
    linear = part.visual.vertex_colors if part.visual.kind == "vertex" else None
    if part.visual.kind == "texture" and getattr(part.visual.material, "baseColorTexture", None) is None:
        linear = part.visual.vertex_attributes.get("color")  # trimesh keeps them beside a material, and copies without them
    if linear is not None:
        visual = package("trimesh.visual", "colours")
        part.visual = visual.ColorVisuals(part, vertex_colors=_recoloured(linear, _displayed))
    return {name: float(value) for name, value in found.items() if value is not None}


def _recoloured(colours: Any, curve: Any) -> NDArray[np.uint8]:
    """Bytes (V, 4) with a curve on red, green and blue."""
    share = np.asarray(colours, dtype=np.float64) / 255
    share[:, :3] = curve(share[:, :3])
    return (share * 255).round().astype(np.uint8)


def _linear(c: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.where(c > 0.04045, ((c + 0.055) / 1.055) ** 2.4, c / 12.92)


def _displayed(c: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.where(c > 0.0031308, 1.055 * c ** (1 / 2.4) - 0.055, c * 12.92)
