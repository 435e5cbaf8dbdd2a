r"""The play-to-policy data sets that BESO was trained on (osf.io/q3dx2), as numpy files.

| set | files | layout |
|---|---|---|
| block push | `multimodal_push_{observations,actions,masks}.npy` | (episodes, T, width); masks (episodes, T) |
| kitchen | `observations_seq.npy`, `actions_seq.npy`, `existence_mask.npy` | (T, episodes, width); mask (T, episodes) |

A mask is 1 where a frame exists; frames of an episode come first. Of the kitchen's 60 numbers the first 30 are the state.

Source: Cui et al. 2022, "From Play to Policy", arXiv:2210.10047; Gupta et al. 2019, arXiv:1910.11956 (kitchen).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from polyscore.errors import InputError
from polyscore.robots.demonstrations import Demonstrations, Episode

__all__ = ["matches", "read"]

_PUSH = tuple(f"multimodal_push_{part}.npy" for part in ("observations", "actions", "masks"))
_KITCHEN = ("observations_seq.npy", "actions_seq.npy", "existence_mask.npy")


def matches(path: Path) -> bool:
    """Whether `path` is a folder of either set."""
    return (path / _PUSH[0]).is_file() or (path / _KITCHEN[0]).is_file()


def read(path: Path) -> Demonstrations:
    """The demonstrations of a folder.

    Raises:
        InputError: a file is missing or damaged, or the three do not fit each other.
    """
    push = (path / _PUSH[0]).is_file()
    observations, actions, mask = (_load(path / name) for name in (_PUSH if push else _KITCHEN))
    if not push:
        observations, actions, mask = (array.swapaxes(0, 1) for array in (observations, actions, mask))
    if observations.ndim != 3 or actions.ndim != 3 or not observations.shape[:2] == actions.shape[:2] == mask.shape:
        raise InputError(
            f"{path}: observations {observations.shape}, actions {actions.shape}, mask {mask.shape} do not fit each other"
        )
    lengths = (mask != 0).sum(1)
    if not np.array_equal(mask != 0, np.arange(mask.shape[1]) < lengths[:, None]):
        raise InputError(f"{path}: the mask has holes; expected the frames of an episode first, then nothing")
    episodes = [
        Episode(torch.as_tensor(o[:n].astype(np.float32)), torch.as_tensor(a[:n].astype(np.float32)))
        for o, a, n in zip(observations, actions, lengths.tolist(), strict=True)
        if n
    ]
    try:
        return Demonstrations.of(episodes, {"environment": "block push" if push else "kitchen", "source": "play-to-policy"})
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


def _load(path: Path) -> Any:
    if not path.is_file():
        raise InputError(f"{path}: is missing; the set has {', '.join(_PUSH)} or {', '.join(_KITCHEN)}")
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise InputError(f"{path}: cannot be read as a numpy array ({str(error).splitlines()[0][:120]})") from error
    if not np.issubdtype(array.dtype, np.number) and array.dtype != np.bool_:
        raise InputError(f"{path}: holds {array.dtype}, expected numbers")
    return array
