r"""Clouds from and to files.

| suffix | read as |
|---|---|
| .ply .obj .stl .off .glb .gltf | a mesh: points uniform on its triangles, with their normals; without triangles, its vertices |
| .npy | an array (N, 3) or (N, 6), the last three normals |
| .npz | `points` (N, 3), and `normals`, `colours` where they are there |
| .xyz .txt .csv .pts | numbers in rows of 3 or 6, blanks or commas between them |

Written are .ply (binary, with normals and colours) and .npy.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from polyscore.errors import InputError, MissingExtraError
from polyscore.hub.files import atomic_path
from polyscore.hub.numpy_files import read_numpy
from polyscore.shapes.packages import package

__all__ = ["READABLE", "CloudFile", "read_cloud", "surface_points", "write_cloud"]

Array = NDArray[np.float64]

_MESHES = (".ply", ".obj", ".stl", ".off", ".glb", ".gltf")
_TABLES = (".xyz", ".txt", ".csv", ".pts")
READABLE = (*_MESHES, ".npy", ".npz", *_TABLES)
"""Suffixes that `read_cloud` knows."""


@dataclass(frozen=True)
class CloudFile:
    """A cloud as a file has it.

    Attributes:
        points: (N, 3), in the file's unit.
        normals: unit vectors (N, 3), or None.
        colours: (N, 3) in [0, 1], or None.
        sampled: whether the points were drawn on the triangles of a mesh.
    """

    points: Array
    normals: Array | None = None
    colours: Array | None = None
    sampled: bool = False


def read_cloud(path: str | os.PathLike[str], *, points: int = 8192, seed: int = 0) -> CloudFile:
    """The cloud in a file; of a mesh, so many points of its surface.

    Raises:
        InputError: no such file, another suffix, damage, fewer than three points, or numbers that are not finite.
        MissingExtraError: trimesh is not installed.
    """
    name = Path(path)
    kind = name.suffix.lower()
    if not name.is_file():
        raise InputError(f"{name}: no such file; expected a cloud ({', '.join(READABLE)})")
    if kind not in READABLE:
        raise InputError(f"{name}: a suffix {kind or '(none)'}; expected {', '.join(READABLE)}")
    try:
        found = _checked(_mesh(name, points, seed) if kind in _MESHES else _arrays(name), name)
    except (InputError, MissingExtraError):
        raise
    except Exception as error:  # whatever a parser meets in a damaged file
        raise InputError(f"{name}: cannot be read as {kind[1:].upper()} ({error}); expected points") from error
    return found


def surface_points(mesh: Any, count: int, *, seed: int = 0) -> tuple[Array, Array]:
    """Points and normals (count, 3), uniform by area on a trimesh mesh."""
    sample = package("trimesh.sample", "points of a mesh").sample_surface
    x, face = sample(mesh, count, seed=seed)
    return np.asarray(x, dtype=np.float64), np.asarray(mesh.face_normals[face], dtype=np.float64)


def write_cloud(path: str | os.PathLike[str], points: Any, *, normals: Any = None, colours: Any = None) -> Path:
    """Write points (N, 3) as .ply or .npy, whole or not at all; colours (N, 3) are in [0, 1].

    Raises:
        InputError: another suffix.
        PolyscoreError: the place cannot be written.
    """
    name = Path(path)
    columns = {axis: np.asarray(points)[:, k].astype("<f4") for k, axis in enumerate("xyz")}
    if name.suffix.lower() == ".npy":
        with atomic_path(name) as place:
            parts = [np.asarray(part) for part in (points, normals) if part is not None]
            with place.open("wb") as file:
                np.save(file, np.concatenate(parts, 1).astype(np.float32))
        return name
    if name.suffix.lower() != ".ply":
        raise InputError(f"{name}: a suffix {name.suffix or '(none)'}; expected .ply or .npy")
    if normals is not None:
        columns |= {axis: np.asarray(normals)[:, k].astype("<f4") for k, axis in enumerate(("nx", "ny", "nz"))}
    if colours is not None:
        shown = (np.clip(np.asarray(colours), 0, 1) * 255).round().astype("u1")
        columns |= {axis: shown[:, k] for k, axis in enumerate(("red", "green", "blue"))}
    table = np.zeros(len(columns["x"]), dtype=[(axis, column.dtype) for axis, column in columns.items()])
    for axis, column in columns.items():
        table[axis] = column
    kinds = "".join(f"property {'uchar' if column.dtype == np.uint8 else 'float'} {axis}\n" for axis, column in columns.items())
    header = f"ply\nformat binary_little_endian 1.0\nelement vertex {len(table)}\n{kinds}end_header\n"
    with atomic_path(name) as place:
        place.write_bytes(header.encode("ascii") + table.tobytes())
    return name


def _mesh(name: Path, points: int, seed: int) -> CloudFile:
    trimesh = package("trimesh", "reading a cloud")
    scene = trimesh.load_scene(str(name), process=False)
    solids = [part for part in scene.dump() if len(getattr(part, "faces", ()))]
    if solids:
        mesh = trimesh.util.concatenate(solids) if len(solids) > 1 else solids[0]
        corners = np.asarray(mesh.faces)
        if corners.min() < 0 or corners.max() >= len(mesh.vertices):
            raise InputError(f"{name}: holds faces of vertices that it does not have; expected a mesh of triangles")
        if not np.isfinite(np.asarray(mesh.vertices)).all() or not mesh.area > 0:
            raise InputError(f"{name}: a mesh without area, or with vertices that are not finite numbers; expected a surface")
        return CloudFile(*surface_points(mesh, points, seed=seed), sampled=True)
    clouds = [part for part in scene.geometry.values() if len(part.vertices)]
    if not clouds:
        raise InputError(f"{name}: holds no points; expected a cloud or a mesh")
    cloud = clouds[0]
    raw = cloud.metadata.get("_ply_raw", {}).get("vertex", {}).get("data")
    normals = colours = None
    if raw is not None and raw.dtype.names and {"nx", "ny", "nz"} <= set(raw.dtype.names):
        normals = np.stack([raw[axis] for axis in ("nx", "ny", "nz")], -1).reshape(-1, 3)
    if len(np.atleast_2d(getattr(cloud, "colors", ()))) == len(cloud.vertices):
        colours = np.asarray(cloud.colors, dtype=float)[:, :3] / 255
    return CloudFile(np.asarray(cloud.vertices, dtype=np.float64), normals, colours)


def _arrays(name: Path) -> CloudFile:
    kind = name.suffix.lower()
    if kind == ".npz":
        content = read_numpy(name)
        if "points" not in content:
            raise InputError(f"{name}: holds {', '.join(content) or 'nothing'}; expected an array `points` (N, 3)")
        return CloudFile(content["points"], content.get("normals"), content.get("colours"))
    if kind == ".npy":
        table = next(iter(read_numpy(name).values()))
    else:
        text = name.read_text(encoding="utf-8", errors="replace").replace(",", " ")
        rows = [line.split() for line in text.splitlines() if line.strip() and not line.lstrip().startswith(("#", "//"))]
        if rows and len(rows[0]) == 1 and rows[0][0].isdigit():
            rows = rows[1:]  # .pts and some .xyz begin with the number of points
        table = np.array([[float(word) for word in row[:6]] for row in rows])
    if table.ndim != 2 or table.shape[1] not in (3, 4, 5, 6):
        raise InputError(f"{name}: an array {table.shape}; expected rows of 3 numbers (points), or of 6 (points and normals)")
    return CloudFile(table[:, :3], table[:, 3:6] if table.shape[1] == 6 else None)


def _checked(found: CloudFile, name: Path) -> CloudFile:
    points = np.asarray(found.points, dtype=np.float64)
    if points.ndim != 2 or points.shape[1] != 3 or len(points) < 3:
        raise InputError(f"{name}: points of shape {points.shape}; expected (N, 3), at least 3")
    bad = int((~np.isfinite(points)).any(1).sum())
    if bad:
        raise InputError(f"{name}: {bad} of {len(points)} points are not finite numbers; take them out first")
    normals = None if found.normals is None else np.asarray(found.normals, dtype=np.float64)
    if normals is not None:
        length = np.linalg.norm(normals, axis=-1, keepdims=True) if normals.shape == points.shape else np.zeros(1)
        whole = normals.shape == points.shape and np.isfinite(length).all() and bool((length > 1e-6).all())
        normals = normals / length if whole else None  # columns of zeros, as some programs write
    colours = None if found.colours is None else np.asarray(found.colours, dtype=np.float64)
    return CloudFile(points, normals, colours, found.sampled)
