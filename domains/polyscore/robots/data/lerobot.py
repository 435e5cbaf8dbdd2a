r"""LeRobot data sets, versions 2.0, 2.1 and 3.0: parquet files with a description in JSON.

| | version 2 | version 3 |
|---|---|---|
| frames | `data/chunk-000/episode_000000.parquet`, one an episode | `data/chunk-000/file-000.parquet`, of many episodes |
| tasks | `meta/tasks.jsonl` | `meta/tasks.parquet` |
| description | `meta/info.json`: `codebase_version`, `fps`, `features`, `total_episodes`, `total_frames` | the same |

Frames are put in the order of (`episode_index`, `frame_index`); numbers of episodes and frames that differ from the description
mean an incomplete copy. Observations are the features `observation.*` that are vectors; pictures and films are left out.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from polyscore.errors import InputError, MissingExtraError
from polyscore.robots.data.columns import choose, readable, together
from polyscore.robots.demonstrations import Demonstrations

__all__ = ["matches", "needed", "read"]

_INFO = "meta/info.json"


def matches(path: Path) -> bool:
    """Whether `path` is a folder with a LeRobot description."""
    return (path / _INFO).is_file()


def needed(path: Path) -> tuple[Any, Any]:
    """The modules pyarrow and pyarrow.parquet.

    Raises:
        MissingExtraError: pyarrow is not installed.
    """
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise MissingExtraError(f"{path}: LeRobot data sets need pyarrow: pip install 'polyscore[robots-data]'") from error
    return pyarrow, pyarrow.parquet


def read(path: Path, keys: Sequence[str] | None = None) -> Demonstrations:
    """The demonstrations of a folder.

    Args:
        path: the folder that holds `meta` and `data`.
        keys: names of the features that make the observation.

    Raises:
        InputError: damaged, incomplete, or of another version.
        MissingExtraError: pyarrow is not installed.
    """
    pyarrow, parquet = needed(path)
    with readable(path / _INFO, "a LeRobot description"):
        info = json.loads((path / _INFO).read_text(encoding="utf-8"))
        version, features = str(info["codebase_version"]), dict(info["features"])
        totals = int(info["total_episodes"]), int(info["total_frames"])
        shapes = {name: _shape(feature) for name, feature in features.items() if name.startswith("observation")}
    if version.partition(".")[0] not in ("v2", "v3"):
        raise InputError(f"{path / _INFO}: version {version!r}; versions v2.0, v2.1 and v3.0 are read")
    if "action" not in features:
        raise InputError(f"{path / _INFO}: has no feature 'action'; it has {', '.join(features)}")
    taken, left = choose(shapes, keys, where=path)
    stored = [name for name in taken if features[name].get("dtype") == "video"]
    if stored:
        raise InputError(f"{path}: {stored[0]} is stored as films, which are not read; choose among {', '.join(features)}")
    columns = [*taken, "action", "episode_index", "frame_index"]
    tables = []
    for file in sorted(path.glob("data/chunk-*/*.parquet")):
        with readable(file, "parquet"):
            tables.append(parquet.read_table(file, columns=columns))
    if not tables:
        raise InputError(f"{path}: holds no data/chunk-*/*.parquet")
    with readable(path, "LeRobot frames"):
        table = pyarrow.concat_tables(tables)
        return _assemble(table, path, totals, {"taken": taken, "left": left}, _about(info, path))


def _shape(feature: Mapping[str, Any]) -> tuple[int, ...]:
    pictures = feature.get("dtype") in ("image", "video")
    shape = tuple(int(n) for n in feature["shape"])
    return (*shape, *[1] * (3 - len(shape))) if pictures else shape


def _about(info: Mapping[str, Any], path: Path) -> dict[str, Any]:
    version = str(info["codebase_version"])
    return {
        "format": f"LeRobot {version}",
        "fps": float(info.get("fps", 0)),
        "robot": str(info.get("robot_type") or ""),
        "tasks": _tasks(path),
    }


def _tasks(path: Path) -> list[str]:
    """Texts of the tasks in the order of their numbers; none where the file is not there."""
    table, lines = path / "meta/tasks.parquet", path / "meta/tasks.jsonl"
    if table.is_file():
        with readable(table, "parquet"):
            rows = needed(path)[1].read_table(table).to_pylist()
        return [str(row.get("__index_level_0__", row.get("task", ""))) for row in sorted(rows, key=lambda r: r["task_index"])]
    if not lines.is_file():
        return []
    with readable(lines, "lines of JSON"):
        rows = [json.loads(line) for line in lines.read_text(encoding="utf-8").splitlines() if line.strip()]
        return [str(row["task"]) for row in sorted(rows, key=lambda r: r["task_index"])]


def _assemble(
    table: Any, path: Path, totals: tuple[int, int], names: Mapping[str, list[str]], about: dict[str, Any]
) -> Demonstrations:
    episode, frame = (_rows(table, name, path)[:, 0].astype(np.int64) for name in ("episode_index", "frame_index"))
    order = np.lexsort((frame, episode))
    found, starts = np.unique(episode[order], return_index=True)
    if (len(found), len(order)) != totals:
        raise InputError(
            f"{path}: {len(found)} episodes with {len(order)} frames are there, meta/info.json speaks of {totals[0]} with "
            f"{totals[1]}; was the copy complete?"
        )
    parts = {name: _rows(table, name, path).astype(np.float32) for name in names["taken"]}
    widths = {name: part.shape[1] for name, part in parts.items()}
    actions = _rows(table, "action", path).astype(np.float32)
    try:
        return Demonstrations(
            torch.from_numpy(together(parts, where=path)[order]),
            torch.from_numpy(actions[order]),
            torch.as_tensor([*starts.tolist(), len(order)]),
            {**about, "observation": widths, "left_out": names["left"]},
        )
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


def _rows(table: Any, name: str, path: Path) -> NDArray[Any]:
    """A column of numbers, or of lists of one length, as (N, width)."""
    column = table.column(name).combine_chunks()
    if column.null_count:
        raise InputError(f"{path}: column {name} has {column.null_count} empty cells")
    values = column
    while hasattr(values.type, "value_type"):
        if hasattr(values, "offsets") and len(set(np.diff(values.offsets.to_numpy()).tolist())) > 1:
            raise InputError(f"{path}: column {name} holds lists of different lengths")
        values = values.flatten()
    flattened = np.asarray(values.to_numpy(zero_copy_only=False))
    if len(column) == 0 or len(flattened) % len(column):
        raise InputError(f"{path}: column {name} holds {len(flattened)} numbers in {len(column)} frames")
    if flattened.dtype.kind not in "biuf":
        raise InputError(f"{path}: column {name} holds {flattened.dtype}, expected numbers")
    return flattened.reshape(len(column), -1)
