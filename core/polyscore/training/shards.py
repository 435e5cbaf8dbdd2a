r"""Large outputs as shards: items 0..n-1 in files of consecutive items, each file complete or absent.

A shard is the unit of work. It is always computed from the same items, so a run that was killed and resumed, or that was spread
over several processes or machines, gives the same bits as one that ran through. `shards.json` says how many items there are, how
many a shard holds, and the settings the content depends on; another run may join the folder only with the same ones.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor
from torch.utils.data import Dataset

from polyscore.errors import CheckpointError, InputError
from polyscore.hub.files import atomic_path

__all__ = ["MissingShards", "Shards", "gather"]

_MANIFEST = "shards.json"


@dataclass(frozen=True)
class Shards:
    """A folder of shards.

    Args:
        folder: where the files are.
        count: number of items n.
        size: items a shard; the last may have fewer.
        settings: JSON values the content depends on (model, seed, steps, ...).

    Raises:
        InputError: settings under the names `count` or `size`, which are the folder's own.
    """

    folder: Path
    count: int
    size: int
    settings: Mapping[str, Any]

    def __post_init__(self) -> None:
        if taken := {"count", "size"} & set(self.settings):
            raise InputError(f"shards: settings named {', '.join(sorted(taken))}, which say how the folder is cut; rename them")

    def __len__(self) -> int:
        return -(-self.count // self.size)

    def create(self) -> None:
        """Begin a new folder, or join one that was begun with the same settings.

        Raises:
            InputError: the folder was begun with other settings; the message names the first that differs.
        """
        mine = {"count": self.count, "size": self.size, **self.settings}
        path = self.folder / _MANIFEST
        if not path.exists():
            with atomic_path(path) as temporary:
                temporary.write_text(json.dumps(mine, indent=2) + "\n", encoding="utf-8")
            return
        theirs = _manifest(self.folder)
        for key in [*mine, *theirs]:
            if mine.get(key) != theirs.get(key):
                raise InputError(
                    f"{self.folder} was begun with {key} = {theirs.get(key)}, this run has {mine.get(key)}; "
                    "use the same settings to go on, or another folder"
                )

    def items(self, shard: int) -> range:
        """The items of a shard."""
        return range(shard * self.size, min((shard + 1) * self.size, self.count))

    def path(self, shard: int) -> Path:
        """The file of a shard."""
        return self.folder / f"shard-{shard:06d}.safetensors"

    def missing(self) -> list[int]:
        """The shards that are still to be computed."""
        return [shard for shard in range(len(self)) if not self.path(shard).exists()]

    def write(self, shard: int, tensors: Mapping[str, Tensor]) -> Path:
        """Write a finished shard; every tensor has one row an item.

        Raises:
            InputError: a tensor has another number of rows.
        """
        expected = len(self.items(shard))
        for name, tensor in tensors.items():
            if tensor.ndim == 0 or len(tensor) != expected:
                raise InputError(f"shard {shard}: {name} has shape {tuple(tensor.shape)}, expected {expected} rows")
        path = self.path(shard)
        with atomic_path(path) as temporary:
            # as bytes: written here, a full disk is an OSError, which `atomic_path` explains
            temporary.write_bytes(save({key: tensor.detach().cpu().contiguous() for key, tensor in tensors.items()}))
        return path

    def read(self, shard: int) -> dict[str, Tensor]:
        """The tensors of a finished shard.

        Raises:
            CheckpointError: the file is missing or damaged.
        """
        try:
            return load_file(self.path(shard))
        except (OSError, SafetensorError) as error:
            raise CheckpointError(
                f"{self.path(shard)} cannot be read ({error}); delete it and run again with --resume"
            ) from error


class MissingShards(Dataset[Tensor]):
    """The work that is left, one element a shard: the items of it, (m,) int64. For a `DataLoader(..., batch_size=None)`."""

    def __init__(self, shards: Shards) -> None:
        self.shards = shards
        self.work = shards.missing()

    def __len__(self) -> int:
        return len(self.work)

    def __getitem__(self, index: int) -> Tensor:
        return torch.tensor(list(self.shards.items(self.work[index])))


def gather(folder: str | os.PathLike[str]) -> dict[str, Tensor]:
    """All items of a finished folder in order, whoever wrote them: name -> tensor (n, ...).

    Raises:
        CheckpointError: the folder is none of these, or shards are missing or damaged.
    """
    place = Path(folder)
    manifest = _manifest(place)
    shards = Shards(place, int(manifest.pop("count")), int(manifest.pop("size")), manifest)
    missing = shards.missing()
    if missing:
        raise CheckpointError(
            f"{place}: {len(missing)} of {len(shards)} shards are missing, the first is {missing[0]}; resume the run"
        )
    parts = [shards.read(shard) for shard in range(len(shards))]
    return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}


def _manifest(folder: Path) -> dict[str, Any]:
    try:
        found = json.loads((folder / _MANIFEST).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise CheckpointError(f"{folder} holds no {_MANIFEST}; expected a folder of shards") from None
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{folder / _MANIFEST} cannot be read: {error}") from error
    if not isinstance(found, dict) or not {"count", "size"} <= set(found):
        raise CheckpointError(f"{folder / _MANIFEST}: expected a mapping with count and size")
    return found
