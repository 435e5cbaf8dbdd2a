r"""Demonstrations as a LeRobot data set, version 3.0, which LeRobot 0.4 loads.

| file | content |
|---|---|
| `meta/info.json` | fps, features with their shapes, numbers of episodes and frames, templates of paths |
| `meta/stats.json` | per feature min, max, mean, std (N below), count, quantiles 0.01, 0.1, 0.5, 0.9, 0.99 of all frames |
| `meta/tasks.parquet` | the text of the task, which is the pandas index of the table, and its number |
| `meta/episodes/chunk-000/file-000.parquet` | a line an episode: length, where its frames are, the statistics of its own frames |
| `data/chunk-000/file-000.parquet` | a line a frame; vectors are fixed-size lists of float32 |

A frame's `timestamp` is frame_index / fps. Demonstrations that came from LeRobot keep the names of their features; others get the
one feature `observation.state`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from polyscore.errors import InputError
from polyscore.hub.files import atomic_directory
from polyscore.robots.data.lerobot import needed
from polyscore.robots.demonstrations import Demonstrations

__all__ = ["statistics", "write"]

_QUANTILES = (0.01, 0.1, 0.5, 0.9, 0.99)
_COUNTERS = ("frame_index", "episode_index", "index", "task_index")
_FILE = "chunk-000/file-000.parquet"


def write(path: Path, data: Demonstrations, *, fps: float = 10.0, task: str = "", robot: str = "") -> None:
    """Write a folder, whole or not at all.

    Args:
        path: the folder.
        data: what is written.
        fps: frames a second.
        task: what the demonstrations show, in words.
        robot: type of the robot.

    Raises:
        InputError: fps that are not positive.
        MissingExtraError: pyarrow is not installed.
    """
    if not 0 < fps < float("inf"):
        raise InputError(f"{path}: {fps} frames a second, expected a positive number")
    pyarrow, parquet = needed(path)
    columns = _columns(data, fps)
    features = {
        name: {"dtype": "float32", "shape": [values.shape[1]], "names": None}
        for name, values in columns.items()
        if values.ndim == 2
    }
    features["timestamp"] = {"dtype": "float32", "shape": [1], "names": None}
    features |= {name: {"dtype": "int64", "shape": [1], "names": None} for name in _COUNTERS}
    info = {
        "codebase_version": "v3.0",
        "robot_type": robot or None,
        "total_episodes": len(data),
        "total_frames": len(data.actions),
        "total_tasks": 1,
        "chunks_size": 1000,
        "data_files_size_in_mb": 100,
        "video_files_size_in_mb": 200,
        "fps": int(fps) if fps == int(fps) else fps,
        "splits": {"train": f"0:{len(data)}"},
        "data_path": "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet",
        "video_path": None,
        "features": features,
    }
    tables = {
        f"data/{_FILE}": pyarrow.table({name: _column(pyarrow, values) for name, values in columns.items()}),
        f"meta/episodes/{_FILE}": pyarrow.Table.from_pylist(_episodes(data, columns, task)),
        "meta/tasks.parquet": _tasks(pyarrow, task),
    }
    texts = {"meta/info.json": info, "meta/stats.json": {name: statistics(values) for name, values in columns.items()}}
    with atomic_directory(path) as folder:
        for name, table in tables.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            parquet.write_table(table, folder / name)
        for name, content in texts.items():
            (folder / name).write_text(json.dumps(content, indent=4), encoding="utf-8")


def statistics(values: NDArray[Any]) -> dict[str, list[Any]]:
    """Per feature min, max, mean, std, quantiles, and the number of frames, of an array (N,) or (N, width)."""
    rows = values if values.ndim == 2 else values[:, None]
    x = rows.astype(np.float64)
    found = {"min": rows.min(0), "max": rows.max(0), "mean": x.mean(0), "std": x.std(0)}
    found |= {f"q{round(100 * q):02d}": value for q, value in zip(_QUANTILES, np.quantile(x, _QUANTILES, axis=0), strict=True)}
    return {name: value.tolist() for name, value in found.items()} | {"count": [len(x)]}


def _columns(data: Demonstrations, fps: float) -> dict[str, NDArray[Any]]:
    observations, lengths = data.observations.numpy(), data.lengths.tolist()
    widths = data.about.get("observation")
    known = (
        isinstance(widths, dict)
        and all(str(name).startswith("observation.") for name in widths)
        and sum(widths.values()) == observations.shape[1]
    )
    own: dict[str, int] = dict(widths) if known and widths else {"observation.state": observations.shape[1]}
    ends = np.cumsum(list(own.values()))[:-1]
    frame = np.concatenate([np.arange(n) for n in lengths])
    return {
        **dict(zip(own, np.split(observations, ends, axis=1), strict=True)),
        "action": data.actions.numpy(),
        "timestamp": (frame / fps).astype(np.float32),
        "frame_index": frame,
        "episode_index": np.repeat(np.arange(len(lengths)), lengths),
        "index": np.arange(len(frame)),
        "task_index": np.zeros(len(frame), dtype=np.int64),
    }


def _column(pyarrow: Any, values: NDArray[Any]) -> Any:
    if values.ndim == 1:
        return pyarrow.array(values)
    return pyarrow.FixedSizeListArray.from_arrays(pyarrow.array(np.ascontiguousarray(values).ravel()), values.shape[1])


def _episodes(data: Demonstrations, columns: dict[str, NDArray[Any]], task: str) -> list[dict[str, Any]]:
    rows = []
    for i, (start, end) in enumerate(zip(data.offsets[:-1].tolist(), data.offsets[1:].tolist(), strict=True)):
        row: dict[str, Any] = {
            "episode_index": i,
            "tasks": [task],
            "length": end - start,
            "data/chunk_index": 0,
            "data/file_index": 0,
            "dataset_from_index": start,
            "dataset_to_index": end,
        }
        for name, values in columns.items():
            row |= {f"stats/{name}/{key}": value for key, value in statistics(values[start:end]).items()}
        rows.append(row | {"meta/episodes/chunk_index": 0, "meta/episodes/file_index": 0})
    return rows


def _tasks(pyarrow: Any, task: str) -> Any:
    """The table that pandas reads with the texts as its index."""
    index = "__index_level_0__"
    label = {"name": None, "field_name": None, "pandas_type": "unicode", "numpy_type": "object", "metadata": None}
    kinds = {"task_index": ("task_index", "int64", "int64"), index: (None, "unicode", "object")}
    description = {
        "index_columns": [index],
        "column_indexes": [label],
        "columns": [
            {"name": shown, "field_name": name, "pandas_type": kind, "numpy_type": numpy, "metadata": None}
            for name, (shown, kind, numpy) in kinds.items()
        ],
        "creator": {"library": "pyarrow", "version": pyarrow.__version__},
        "pandas_version": "2.2.0",
    }
    table = pyarrow.table({"task_index": pyarrow.array([0], pyarrow.int64()), index: pyarrow.array([task])})
    return table.replace_schema_metadata({"pandas": json.dumps(description)})
