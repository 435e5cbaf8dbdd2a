r"""Demonstrations in HDF5: robomimic's files and Minari's local data sets.

| format | place | layout |
|---|---|---|
| robomimic | one file | `data/demo_<i>/{actions, obs/<name>, states}`, attribute `env_args` of `data` (JSON) |
| Minari | a folder with `data/main_data.hdf5`, or that file | `episode_<i>/{actions, observations}`, nested for mappings |

robomimic: every vector below `obs`, or `states` where there is no `obs`. Minari: observations have one row more than actions, the
state after the last action, which is left out; names of nested observations are joined by "/".

Source: Mandlekar et al. 2021, arXiv:2108.03298 (robomimic); Younis et al. 2024, Minari.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from polyscore.errors import InputError, MissingExtraError
from polyscore.robots.data.columns import choose, flat, readable, together
from polyscore.robots.demonstrations import Demonstrations, Episode

__all__ = ["matches", "read"]

_SIGNATURE = b"\x89HDF\r\n\x1a\n"
_MINARI = ("data/main_data.hdf5", "main_data.hdf5")

Frames = NDArray[np.float32]


def matches(path: Path) -> bool:
    """Whether `path` is an HDF5 file, or a folder of Minari's."""
    if path.is_dir():
        return _file(path) != path
    with path.open("rb") as file:
        return path.suffix in (".hdf5", ".h5") or file.read(len(_SIGNATURE)) == _SIGNATURE


def read(path: Path, keys: Sequence[str] | None = None) -> Demonstrations:
    """The demonstrations of a file or folder.

    Args:
        path: file or folder.
        keys: names of the observations to take.

    Raises:
        InputError: damaged, or of another layout.
        MissingExtraError: h5py is not installed.
    """
    try:
        import h5py
    except ImportError as error:
        raise MissingExtraError(f"{path}: HDF5 files need h5py: pip install 'polyscore[robots-data]'") from error
    place = _file(path)
    with readable(place, "HDF5"), h5py.File(place, "r") as file:
        if isinstance(file.get("data"), h5py.Group) and _numbered(file["data"], "demo"):
            return _robomimic(file["data"], place, keys)
        if _numbered(file, "episode"):
            return _minari(file, place, keys)
        raise InputError(
            f"{place}: HDF5 with {', '.join(list(file)[:6]) or 'nothing'}; expected data/demo_0 (robomimic) or episode_0 (Minari)"
        )


def _file(path: Path) -> Path:
    return next((path / name for name in _MINARI if (path / name).is_file()), path)


def _numbered(group: Any, stem: str) -> list[str]:
    """Names such as demo_0, demo_1, in the order of their numbers."""
    found = [(int(m[1]), name) for name in group if (m := re.fullmatch(rf"{stem}_(\d{{1,12}})", name))]
    return [name for _, name in sorted(found)]


def _robomimic(data: Any, path: Path, keys: Sequence[str] | None) -> Demonstrations:
    first = data[_numbered(data, "demo")[0]]
    observed = "obs" if "obs" in first else "states"
    given = data.attrs.get("env_args", "{}")
    settings = json.loads(given if isinstance(given, str) else bytes(given).decode())
    about = {"format": "robomimic HDF5", "environment": str(settings.get("env_name", "")) if isinstance(settings, dict) else ""}
    return _collect(data, _numbered(data, "demo"), (observed, "actions"), about, path, keys)


def _minari(file: Any, path: Path, keys: Sequence[str] | None) -> Demonstrations:
    return _collect(file, _numbered(file, "episode"), ("observations", "actions"), {"format": "Minari HDF5"}, path, keys)


def _collect(
    group: Any, names: Sequence[str], parts: tuple[str, str], about: Mapping[str, Any], path: Path, keys: Sequence[str] | None
) -> Demonstrations:
    observed, acted = parts
    sample = _leaves(group[names[0]][observed], observed)
    taken, left = choose({name: leaf.shape[1:] for name, leaf in sample.items()}, keys, where=path)
    episodes, widths = [], dict[str, int]()
    for name in names:
        leaves = _leaves(group[name][observed], observed)
        actions = flat(group[name][acted][()], where=path, name=f"{name}/{acted}")
        seen: dict[str, Frames] = {}
        for key in taken:
            if key not in leaves:
                raise InputError(f"{path}: {name} has no observation {key!r}, as {names[0]} has")
            seen[key] = flat(leaves[key][()], where=path, name=f"{name}/{key}")
        widths = {key: part.shape[1] for key, part in seen.items()}
        whole = together(seen, where=path)
        if len(whole) - len(actions) not in (0, 1):
            raise InputError(f"{path}: {name} has {len(whole)} observations and {len(actions)} actions, expected 1 more at most")
        if len(actions):
            episodes.append(Episode(torch.from_numpy(whole[: len(actions)]), torch.from_numpy(actions)))
    try:
        return Demonstrations.of(episodes, {**about, "observation": widths, "left_out": left})
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


def _leaves(node: Any, name: str, prefix: str = "") -> dict[str, Any]:
    """The arrays below a node, by their joined names; a lone array under its own."""
    if hasattr(node, "shape"):
        return {prefix or name: node}
    found: dict[str, Any] = {}
    for key in node:
        found |= _leaves(node[key], name, f"{prefix}/{key}" if prefix else key)
    return found
