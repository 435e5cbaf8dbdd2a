r"""Sets of clouds (S, N, 3), as the field keeps them.

| place | read as |
|---|---|
| .npy, .npz | an array (S, N, 3); of .npz `xyz`, `points` or the only one |
| .hdf5, .h5 | luost26's ShapeNet: `file[synset][split]`, (S, 2048, 3) |
| a folder with <synset>/<split>/*.npy | ShapeNetCore.v2.PC15k (PointFlow, PVD): 15,000 points each |
| a folder with <category>/<split>/*.off | ModelNet: points uniform on the triangles |
| any other folder | every cloud or mesh below it, in the order of names |
| procedural:chair | solids of `polyscore.shapes.data.procedural` |

Data sets of PyTorch Geometric go through `from_pyg`. Scores depend on the scale, so say which: "none", "bbox" (the middle of the
bounding box to 0, its longest side to [-1, 1]: DPM's test), "unit" (the mean to 0, the deviation of all coordinates to 1: DPM's
training, PointFlow's per shape).
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from polyscore.errors import InputError
from polyscore.hub.numpy_files import read_numpy
from polyscore.shapes.data.cloud_files import READABLE, read_cloud, surface_points
from polyscore.shapes.packages import package

__all__ = ["Scale", "from_pyg", "normalised", "read_clouds"]

Scale = Literal["none", "bbox", "unit"]

_SPLITS = ("train", "val", "valid", "test")


def read_clouds(
    path: str | os.PathLike[str],
    *,
    points: int = 2048,
    count: int | None = None,
    category: str | None = None,
    split: str = "test",
    seed: int = 0,
) -> Tensor:
    """Clouds (S, points, 3) float32, in the file's own scale; of larger clouds a random choice of points.

    Args:
        path: a file or folder as in the table above.
        points: of each cloud.
        count: clouds at most.
        category: synset or category, where the set has several; all of them by default.
        split: where the set has splits.
        seed: of the choice of points.

    Raises:
        InputError: nothing there, another form, too few points in a cloud, or numbers that are not finite.
        MissingExtraError: a package that the form needs.
    """
    text, place = os.fspath(path), Path(path)
    if category is not None and (text.startswith("procedural:") or place.suffix.lower() in (".npy", ".npz")):
        raise InputError(f"{text}: has no categories, and {category} was asked for; leave it out")
    if text.startswith("procedural:"):
        from polyscore.shapes.data.procedural import draw
        from polyscore.shapes.data.procedural_clouds import clouds_of

        return clouds_of(draw(text.partition(":")[2], count or 32, seed=seed), points, seed=seed).points
    if place.is_dir():
        found: Iterable[Any] = _folder(place, points, category, split, seed)
    elif place.suffix.lower() in (".hdf5", ".h5"):
        found = _hdf5(place, category, split)
    elif place.suffix.lower() in (".npy", ".npz"):
        found = _array(place)
    else:
        raise InputError(f"{place}: no set of clouds; expected .npy, .npz, .hdf5, a folder, or procedural:KIND")
    draw_from, rows = np.random.default_rng(seed), []
    for i, cloud in enumerate(found):
        if count is not None and i >= count:
            break
        rows.append(_chosen(np.asarray(cloud), points, draw_from, f"{place}, cloud {i}"))
    if not rows:
        raise InputError(f"{place}: holds no clouds (category {category or 'any'}, split {split})")
    return torch.stack(rows)


def from_pyg(dataset: Sequence[Any], *, points: int = 2048, seed: int = 0) -> Tensor:
    """Clouds (S, points, 3) of a data set of PyTorch Geometric: `pos`, or points on the triangles `face` (3, F) where there are.

    Raises:
        InputError: data without `pos`, or with too few points.
    """
    draw_from, rows = np.random.default_rng(seed), []
    for i in range(len(dataset)):
        data = dataset[i]
        if getattr(data, "pos", None) is None:
            raise InputError(f"from_pyg: element {i} has no `pos`; expected a data set of clouds or meshes")
        x = data.pos.numpy()
        if getattr(data, "face", None) is not None:
            mesh = package("trimesh", "points of a mesh").Trimesh(x, data.face.numpy().T, process=False)
            x = surface_points(mesh, points, seed=seed + i)[0]
        rows.append(_chosen(x, points, draw_from, f"element {i}"))
    return torch.stack(rows)


def normalised(clouds: Tensor, scale: Scale) -> Tensor:
    """Clouds (S, N, 3), each by itself in the scale named; a cloud without extent stays at 0."""
    if scale == "none":
        return clouds
    if scale == "bbox":
        low, high = clouds.amin(1, keepdim=True), clouds.amax(1, keepdim=True)
        middle, size = (low + high) / 2, (high - low).amax(-1, keepdim=True) / 2
    else:
        middle = clouds.mean(1, keepdim=True)
        size = (clouds - middle).flatten(1).square().mean(1).sqrt()[:, None, None]
    return (clouds - middle) / size.clamp(min=1e-12)


def _chosen(x: Any, points: int, rng: np.random.Generator, name: str) -> Tensor:
    if x.ndim != 2 or x.shape[1] < 3 or len(x) < points:
        raise InputError(f"{name}: an array {x.shape}; expected {points} or more points (see --points)")
    if bad := int((~np.isfinite(x[:, :3])).any(1).sum()):
        raise InputError(f"{name}: {bad} of {len(x)} points are not finite numbers; take them out first")
    pick = np.arange(points) if len(x) == points else rng.choice(len(x), points, replace=False)
    return torch.from_numpy(np.ascontiguousarray(x[pick, :3])).float()


def _array(place: Path) -> Any:
    try:
        arrays = read_numpy(place)
    except (OSError, ValueError) as error:
        raise InputError(f"{place}: cannot be read ({error}); expected an array (S, N, 3)") from error
    content = next((arrays[key] for key in ("xyz", "points", *arrays) if key in arrays), np.zeros(0))
    if content.ndim != 3 or content.shape[-1] < 3 or content.dtype.kind not in "fiu":
        raise InputError(f"{place}: an array {content.shape} of {content.dtype}; expected numbers of clouds (S, N, 3)")
    return content


def _hdf5(place: Path, category: str | None, split: str) -> Iterator[Any]:
    h5py = package("h5py", "reading HDF5")
    try:
        file = h5py.File(place, "r")
    except OSError as error:
        raise InputError(f"{place}: cannot be read as HDF5 ({error})") from error
    with file:
        names = sorted(file) if category is None else [category]
        for name in names:
            if name not in file or split not in file[name]:
                raise InputError(f"{place}: has no {name}/{split}; it holds {', '.join(sorted(file)[:8])}")
            yield from file[name][split][...]


def _folder(place: Path, points: int, category: str | None, split: str, seed: int) -> Iterator[Any]:
    files = sorted(name for name in place.rglob("*") if name.suffix.lower() in READABLE and name.is_file())
    if category is not None:
        files = [name for name in files if category in name.relative_to(place).parts[:-1]]
    if any(name.parent.name in _SPLITS for name in files):
        files = [name for name in files if name.parent.name == split]
    for i, name in enumerate(files):
        yield read_cloud(name, points=points, seed=seed + i).points
