"""Readers of demonstrations: one function, `read`, that tells the formats apart.

| format | what is there | module |
|---|---|---|
| recordings of `polyscore data record` | a `.npz` file, or a folder of them | `recordings` |
| play-to-policy, block push | a folder with `multimodal_push_{observations,actions,masks}.npy` | `play` |
| play-to-policy, kitchen | a folder with `observations_seq.npy`, `actions_seq.npy`, `existence_mask.npy` | `play` |
"""

from __future__ import annotations

import os
from pathlib import Path

from polyscore.errors import InputError
from polyscore.robots.data import play, recordings
from polyscore.robots.demonstrations import Demonstrations

__all__ = ["read"]


def read(path: str | os.PathLike[str]) -> Demonstrations:
    """The demonstrations in a file or folder.

    Raises:
        InputError: nothing there, of no known format, or damaged.
    """
    place = Path(path)
    if not place.exists():
        raise InputError(f"{place}: there is no such file or folder")
    if recordings.matches(place):
        return recordings.read(place)
    if play.matches(place):
        return play.read(place)
    raise InputError(
        f"{place}: of no format that is read; expected a recording (.npz, or a folder of them), or a folder with "
        "multimodal_push_observations.npy or observations_seq.npy"
    )
