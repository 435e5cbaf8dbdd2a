"""Flow in a file: one .npz with `forward` and, where known, `backward`, `hidden` and `revealed`, as `polyscore.noise.Flow`."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from polyscore.errors import InputError
from polyscore.hub.files import atomic_path
from polyscore.hub.numpy_files import read_numpy
from polyscore.noise import Flow

__all__ = ["read_flow", "write_flow"]

_PARTS = ("forward", "backward", "hidden", "revealed")


def write_flow(path: str | os.PathLike[str], flow: Flow) -> None:
    """Write `flow`; vectors as float32, masks as bool."""
    parts = {name: part.cpu().numpy() for name in _PARTS if (part := getattr(flow, name)) is not None}
    with atomic_path(path) as name, name.open("wb") as file:
        np.savez_compressed(file, allow_pickle=False, **parts)


def read_flow(path: str | os.PathLike[str]) -> Flow:
    """The flow of a file.

    Raises:
        InputError: no such file, not such a file, or no flow in it (shapes, numbers that are not finite).
    """
    name = Path(path)
    if not name.is_file():
        raise InputError(f"{name}: no such file; expected a flow (.npz)")
    try:
        arrays = read_numpy(name, _PARTS)
    except (OSError, ValueError) as error:
        raise InputError(f"{name}: cannot be read as a flow ({error}); expected an .npz with the array forward") from error
    if "forward" not in arrays:
        raise InputError(f"{name}: holds no array forward; expected the (dx, dy) of every step, (frames - 1, 2, height, width)")
    wrong = [part for part, array in arrays.items() if array.dtype.kind not in "fiub"]
    if wrong:
        raise InputError(f"{name}: {wrong[0]} holds {arrays[wrong[0]].dtype}; expected numbers")
    parts: dict[str, Tensor] = {part: torch.from_numpy(array) for part, array in arrays.items()}
    try:
        return Flow(
            parts["forward"].float(),
            parts["backward"].float() if "backward" in parts else None,
            parts["hidden"].bool() if "hidden" in parts else None,
            parts["revealed"].bool() if "revealed" in parts else None,
        )
    except InputError as error:
        raise InputError(f"{name}: {error}") from error
