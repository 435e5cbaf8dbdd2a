r"""The replay buffers of diffusion policy: a zarr group, as a folder or as one zip file.

| array | shape | |
|---|---|---|
| `data/action` | (N, A) | frames of all episodes, end to end |
| `data/<name>` | (N, ...) | observations under any names: `obs`, or `state`, `keypoint`, `img`, ... |
| `meta/episode_ends` | (E,) integers | one past the last frame of each episode |

Where there is an array `obs`, it alone is taken by default, else all vectors. A chunk that is missing would read as zeros, so it
is an error.

Source: Chi et al. 2023, "Diffusion Policy", arXiv:2303.04137.
"""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from polyscore.errors import InputError, MissingExtraError
from polyscore.robots.data.columns import choose, flat, readable, together
from polyscore.robots.demonstrations import Demonstrations

__all__ = ["matches", "read"]

_ENDS = "meta/episode_ends"


def matches(path: Path) -> bool:
    """Whether `path` is a group with episode ends, in a folder or a zip file."""
    if path.is_dir():
        return (path / _ENDS).is_dir()
    if not zipfile.is_zipfile(path):
        return path.suffixes[-2:] == [".zarr", ".zip"]
    with zipfile.ZipFile(path) as file:
        return any(name.startswith(f"{_ENDS}/") for name in file.namelist())


def read(path: Path, keys: Sequence[str] | None = None) -> Demonstrations:
    """The demonstrations of a buffer.

    Args:
        path: folder or zip file.
        keys: names below `data` that make the observation.

    Raises:
        InputError: damaged, incomplete, or without an array that is needed.
        MissingExtraError: zarr is not installed.
    """
    try:
        import zarr
        import zarr.storage
    except ImportError as error:
        raise MissingExtraError(f"{path}: replay buffers need zarr: pip install 'polyscore[robots-data]'") from error
    with readable(path, "a zarr replay buffer"):
        store: Any = zarr.storage.LocalStore(path, read_only=True) if path.is_dir() else zarr.storage.ZipStore(path, mode="r")
        try:
            return _read(zarr.open_group(store, mode="r"), path, keys)
        finally:
            store.close()


def _names(path: Path) -> list[str]:
    """What lies below `data`, in the order of names."""
    if path.is_dir():
        return sorted(part.name for part in (path / "data").iterdir() if part.is_dir())
    with zipfile.ZipFile(path) as file:
        return sorted({name.split("/")[1] for name in file.namelist() if name.startswith("data/") and name.count("/") > 1})


def _read(group: Any, path: Path, keys: Sequence[str] | None) -> Demonstrations:
    # one by one: where zarr opens all at once and one fails, what it has not waited for complains at exit
    opened = {name: group["data"][name] for name in _names(path)}
    arrays = {name: found for name, found in opened.items() if hasattr(found, "shape")}
    if "action" not in arrays:
        raise InputError(f"{path}: has no data/action; it has {', '.join(arrays) or 'no arrays'}")
    shapes = {name: array.shape[1:] for name, array in arrays.items() if name != "action"}
    taken, left = choose(shapes, ["obs"] if keys is None and "obs" in shapes else keys, where=path)
    ends, frames = np.asarray(_whole(group[_ENDS], path, _ENDS)), arrays["action"].shape[0]
    if ends.ndim != 1 or not np.issubdtype(ends.dtype, np.integer) or not len(ends) or ends[-1] != frames:
        raise InputError(f"{path}: {_ENDS} of shape {ends.shape} ends at {ends[-1:]}, expected {frames} frames")
    parts = {name: flat(_whole(arrays[name], path, name), where=path, name=name) for name in [*taken, "action"]}
    actions, observations = parts["action"], together({name: parts[name] for name in taken}, where=path)
    about = {
        "format": "diffusion-policy zarr",
        "observation": {name: parts[name].shape[1] for name in taken},
        "left_out": left,
    }
    try:
        return Demonstrations(
            torch.from_numpy(observations),
            torch.from_numpy(actions),
            torch.as_tensor(np.concatenate([[0], ends.astype(np.int64)])),
            about,
        )
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


def _whole(array: Any, path: Path, name: str) -> Any:
    there, wanted = array.nchunks_initialized, array.nchunks
    if there < wanted:
        raise InputError(f"{path}: {name} has {there} of {wanted} chunks; was the copy complete?")
    return array[:]
