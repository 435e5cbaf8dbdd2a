"""Recordings of `polyscore data record`: compressed `.npz` files, one alone or a folder of them in the order of their names.

| array | shape | |
|---|---|---|
| `observations` | (N, O) float32 | frames of all episodes, end to end |
| `actions` | (N, A) float32 | |
| `offsets` | (E + 1,) int64 | first frame of each episode, and N |
| `about` | () text | JSON: environment, expert, seeds |
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch

from polyscore.errors import InputError
from polyscore.hub.files import atomic_path
from polyscore.hub.numpy_files import read_numpy
from polyscore.robots.demonstrations import Demonstrations

__all__ = ["matches", "read", "write"]

_ARRAYS = ("observations", "actions", "offsets", "about")


def matches(path: Path) -> bool:
    """Whether `path` looks like recordings."""
    return path.suffix == ".npz" if path.is_file() else any(path.glob("*.npz"))


def read(path: Path) -> Demonstrations:
    """The demonstrations of a file or folder.

    Raises:
        InputError: damaged, or files that do not fit each other.
    """
    parts = [_read_one(file) for file in (sorted(path.glob("*.npz")) if path.is_dir() else [path])]
    return parts[0] if len(parts) == 1 else Demonstrations.of([e for part in parts for e in part], parts[0].about)


def write(path: Path, data: Demonstrations) -> None:
    """Write one file, whole or not at all."""
    with atomic_path(path) as name, name.open("wb") as file:
        np.savez_compressed(
            file,
            observations=data.observations.numpy(),
            actions=data.actions.numpy(),
            offsets=data.offsets.numpy(),
            about=np.array(json.dumps(data.about)),
        )


def _read_one(path: Path) -> Demonstrations:
    try:
        arrays = read_numpy(path, _ARRAYS)
        missing = [name for name in _ARRAYS if name not in arrays]
        if missing:
            raise InputError(f"{path}: lacks {', '.join(missing)}; expected a recording of `polyscore data record`")
        about = json.loads(str(arrays["about"]))
        if not isinstance(about, dict):
            raise ValueError(f"about is a {type(about).__name__}, expected a mapping")
        observations, actions = (torch.as_tensor(arrays[name].astype(np.float32)) for name in ("observations", "actions"))
        offsets = torch.as_tensor(arrays["offsets"].astype(np.int64))
    except (OSError, ValueError, TypeError, RecursionError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(
            f"{path}: cannot be read as a recording ({str(error).splitlines()[0][:120] if str(error) else 'damaged'})"
        ) from error
    try:
        return Demonstrations(observations, actions, offsets, about)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
