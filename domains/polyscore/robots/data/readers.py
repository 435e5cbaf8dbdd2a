"""Readers of demonstrations: one function, `read`, that tells the formats apart by what is there.

| format | what is there | module |
|---|---|---|
| recordings of `polyscore data record` | a `.npz` file, or a folder of them | `recordings` |
| play-to-policy, block push | a folder with `multimodal_push_{observations,actions,masks}.npy` | `play` |
| play-to-policy, kitchen | a folder with `observations_seq.npy`, `actions_seq.npy`, `existence_mask.npy` | `play` |
| LeRobot 2.0, 2.1, 3.0 | a folder with `meta/info.json` | `lerobot` |
| diffusion policy | a zarr group with `meta/episode_ends`, as a folder or a zip file | `zarr_buffer` |
| robomimic, Minari | an HDF5 file, or a folder with `data/main_data.hdf5` | `hdf5` |

Of the last four `about` says the format, the names and widths of what makes an observation, and what was left out.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from polyscore.errors import InputError
from polyscore.robots.data import hdf5, lerobot, play, recordings, zarr_buffer
from polyscore.robots.demonstrations import Demonstrations

__all__ = ["read"]


def read(path: str | os.PathLike[str], keys: Sequence[str] | None = None) -> Demonstrations:
    """The demonstrations in a file or folder.

    Args:
        path: file or folder.
        keys: names of what makes an observation, in a format that has names; all vectors by default.

    Raises:
        InputError: nothing there, of no known format, or damaged.
        MissingExtraError: the library that reads the format is not installed.
    """
    place = Path(path)
    if not place.exists():
        raise InputError(f"{place}: there is no such file or folder")
    found: Demonstrations
    for named in (lerobot, zarr_buffer, hdf5):
        if named.matches(place):
            found = named.read(place, keys)
            return found
    if keys is not None:
        raise InputError(f"{place}: has no names for its observations; keys are for LeRobot, zarr and HDF5 data")
    for plain in (recordings, play):
        if plain.matches(place):
            found = plain.read(place)
            return found
    raise InputError(
        f"{place}: of no format that is read; expected a recording (.npz, or a folder of them), a folder of play-to-policy "
        "(multimodal_push_observations.npy or observations_seq.npy) or of LeRobot (meta/info.json), a zarr replay buffer, or "
        "HDF5 of robomimic or Minari"
    )
