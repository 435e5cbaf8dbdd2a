"""Readers of other projects' formats against files of those layouts, the LeRobot writer, and damaged files."""

from __future__ import annotations

import json
import os
import shutil
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.robots.parts import demonstrations

from polyscore.cli.main import main
from polyscore.errors import InputError, MissingExtraError
from polyscore.robots.data import lerobot_writer, recordings
from polyscore.robots.data.columns import flat
from polyscore.robots.data.readers import read
from polyscore.robots.demonstrations import Demonstrations

h5py: Any = pytest.importorskip("h5py")
pyarrow: Any = pytest.importorskip("pyarrow")
parquet: Any = pytest.importorskip("pyarrow.parquet")
zarr: Any = pytest.importorskip("zarr")

Picture = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3)


def make_zarr(path: Path, data: Demonstrations, *, version: Any = 2) -> Path:
    """As diffusion policy writes it: two vectors, a picture, ends."""
    group = zarr.open_group(str(path), mode="w", zarr_format=version)
    parts = {
        "action": data.actions.numpy(),
        "state": data.observations[:, 2:].numpy(),
        "keypoint": data.observations[:, :2].numpy(),
        "img": np.broadcast_to(Picture, (len(data.actions), 2, 3, 3)),
    }
    for name, values in parts.items():
        array = group.create_array(f"data/{name}", shape=values.shape, chunks=(50, *values.shape[1:]), dtype=values.dtype)
        array[:] = values
    ends = data.offsets[1:].numpy()
    group.create_array("meta/episode_ends", shape=ends.shape, chunks=ends.shape, dtype="int64")[:] = ends
    return path


def make_robomimic(path: Path, data: Demonstrations) -> Path:
    with h5py.File(path, "w") as file:
        whole = file.create_group("data")
        whole.attrs["env_args"] = json.dumps({"env_name": "Lift", "type": 1})
        for i, episode in enumerate(data):
            demo = whole.create_group(f"demo_{i}")
            demo["actions"] = episode.actions.numpy().astype(np.float64)
            demo["obs/a_first"] = episode.observations[:, :3].numpy()
            demo["obs/object"] = episode.observations[:, 3:].numpy()
            demo["obs/agentview_image"] = np.broadcast_to(Picture, (len(episode.actions), 2, 3, 3))
            demo["states"] = np.zeros((len(episode.actions), 40))
    return path


def make_minari(path: Path, data: Demonstrations) -> Path:
    (path / "data").mkdir(parents=True)
    with h5py.File(path / "data" / "main_data.hdf5", "w") as file:
        for i, episode in enumerate(data):
            after = np.concatenate([episode.observations.numpy(), np.full((1, 8), 9.0, np.float32)])
            file[f"episode_{i}/actions"] = episode.actions.numpy()
            file[f"episode_{i}/observations/achieved_goal/kettle"] = after[:, :3]
            file[f"episode_{i}/observations/observation"] = after[:, 3:]
            file[f"episode_{i}/rewards"] = np.zeros(len(episode.actions))
    return path


def make_lerobot2(path: Path, data: Demonstrations) -> Path:
    (path / "meta").mkdir(parents=True)
    (path / "data" / "chunk-000").mkdir(parents=True)
    for i, episode in enumerate(data):
        n = len(episode.actions)
        columns = {
            "observation.state": episode.observations.tolist(),
            "action": episode.actions.tolist(),
            "frame_index": list(range(n)),
            "episode_index": [i] * n,
        }
        parquet.write_table(pyarrow.table(columns), path / "data" / "chunk-000" / f"episode_{i:06d}.parquet")
    features = {
        "observation.state": {"dtype": "float32", "shape": [8]},
        "observation.images.top": {"dtype": "video", "shape": [3, 96, 96]},
        "action": {"dtype": "float32", "shape": [2]},
    }
    info = {
        "codebase_version": "v2.1",
        "fps": 30,
        "features": features,
        "total_episodes": len(data),
        "total_frames": len(data.actions),
    }
    (path / "meta" / "info.json").write_text(json.dumps(info), encoding="utf-8")
    (path / "meta" / "tasks.jsonl").write_text('{"task_index": 0, "task": "push"}\n', encoding="utf-8")
    return path


def make_lerobot3(path: Path, data: Demonstrations) -> Path:
    lerobot_writer.write(path, data, fps=20, task="push")
    return path


# Of each format: how a file is made, and in which order the names put the 8 features of an observation.
FORMATS: dict[str, tuple[Callable[[Path, Demonstrations], Path], list[int]]] = {
    "diffusion-policy zarr": (make_zarr, [0, 1, 2, 3, 4, 5, 6, 7]),
    "robomimic HDF5": (make_robomimic, [0, 1, 2, 3, 4, 5, 6, 7]),
    "Minari HDF5": (make_minari, [0, 1, 2, 3, 4, 5, 6, 7]),
    "LeRobot v2.1": (make_lerobot2, [0, 1, 2, 3, 4, 5, 6, 7]),
    "LeRobot v3.0": (make_lerobot3, [0, 1, 2, 3, 4, 5, 6, 7]),
}


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_gives_the_frames_that_were_written(name: str, tmp_path: Path) -> None:
    data = demonstrations(12)  # more than ten: demo_10 comes after demo_9
    make, order = FORMATS[name]
    back = read(make(tmp_path / "data", data))
    assert back.about["format"] == name
    assert sum(back.about["observation"].values()) == 8
    np.testing.assert_array_equal(back.observations, data.observations[:, order])
    np.testing.assert_array_equal(back.actions, data.actions)
    assert back.lengths.tolist() == data.lengths.tolist()


def test_what_a_format_says_of_itself(tmp_path: Path) -> None:
    data = demonstrations(2)
    robomimic = read(make_robomimic(tmp_path / "a", data)).about
    assert (robomimic["environment"], robomimic["left_out"]) == ("Lift", ["agentview_image"])
    assert read(make_minari(tmp_path / "b", data)).about["observation"] == {"achieved_goal/kettle": 3, "observation": 5}
    two = read(make_lerobot2(tmp_path / "c", data)).about
    assert (two["fps"], two["tasks"], two["left_out"]) == (30, ["push"], ["observation.images.top"])
    assert read(make_zarr(tmp_path / "d", data)).about["left_out"] == ["img"]


def test_a_zipped_and_a_newer_zarr(tmp_path: Path) -> None:
    data = demonstrations(3)
    make_zarr(tmp_path / "a", data)
    with zipfile.ZipFile(tmp_path / "a.zarr.zip", "w") as file:
        for part in sorted((tmp_path / "a").rglob("*")):
            file.write(part, part.relative_to(tmp_path / "a"))
    assert read(tmp_path / "a.zarr.zip").fingerprint() == data.fingerprint()
    assert read(make_zarr(tmp_path / "b", data, version=3)).fingerprint() == data.fingerprint()


def test_chosen_names_and_pictures(tmp_path: Path) -> None:
    data = demonstrations(2)
    found = read(make_zarr(tmp_path / "a", data), ["img", "keypoint"])
    picture = Picture.transpose(2, 0, 1).ravel() / np.float32(255)
    np.testing.assert_array_equal(found.observations[5, :18], picture)
    np.testing.assert_array_equal(found.observations[:, 18:], data.observations[:, :2])
    np.testing.assert_array_equal(flat(Picture[None], where=tmp_path, name="x")[0], picture)
    with pytest.raises(InputError, match=r"no observation 'image'.*keypoint \(2,\)"):
        read(tmp_path / "a", ["image"])
    with pytest.raises(InputError, match="stored as films"):
        read(make_lerobot2(tmp_path / "b", data), ["observation.images.top"])
    recordings.write(tmp_path / "c.npz", data)
    with pytest.raises(InputError, match="no names"):
        read(tmp_path / "c.npz", ["state"])


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def edit(**changes: Any) -> Callable[[Path], None]:
    def spoil(path: Path) -> None:
        path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | changes), encoding="utf-8")

    return spoil


def ragged(path: Path) -> None:
    table = parquet.read_table(path)
    lists = [[1.0], [1.0, 2.0, 3.0], *[[1.0, 2.0]] * (len(table) - 2)]
    parquet.write_table(table.set_column(1, "action", pyarrow.array(lists)), path)


def words(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        del file["data/demo_1/actions"]
        file["data/demo_1/actions"] = ["left", "right"]


def short(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        del file["data/demo_1/actions"]
        file["data/demo_1/actions"] = np.zeros((3, 2))


def empty(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file["something"] = 1


def huge(path: Path) -> None:
    """A header that speaks of ten million million frames in one chunk."""
    header = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps(header | {"shape": [10**13, 2], "chunks": [10**13, 2]}), encoding="utf-8")


@pytest.mark.parametrize(
    ("make", "part", "spoil", "message"),
    [
        (make_zarr, "data/action/.zarray", cut, "damaged or incomplete"),
        (make_zarr, "data/action/1.0", Path.unlink, "action has 1 of 2 chunks"),
        (make_zarr, "data/action/1.0", cut, "damaged or incomplete"),
        (make_zarr, "data/action", shutil.rmtree, "no data/action"),
        (make_zarr, "data/action/.zarray", huge, r"ends at \[63\], expected 10000000000000 frames"),
        (make_robomimic, "", cut, "damaged or incomplete"),
        (make_robomimic, "", words, "expected numbers"),
        (make_robomimic, "", short, "demo_1 has 21 observations and 3 actions"),
        (make_robomimic, "", empty, "HDF5 with something"),
        (make_minari, "data/main_data.hdf5", cut, "damaged or incomplete"),
        (make_lerobot2, "data/chunk-000/episode_000001.parquet", cut, "episode_000001.parquet: cannot be read as parquet"),
        (make_lerobot2, "data/chunk-000/episode_000001.parquet", Path.unlink, "1 episodes with 20 frames are there"),
        (make_lerobot2, "data/chunk-000/episode_000001.parquet", ragged, "lists of different lengths"),
        (make_lerobot2, "meta/info.json", cut, "info.json: cannot be read"),
        (make_lerobot2, "meta/info.json", edit(codebase_version="v1.6"), "version 'v1.6'"),
        (make_lerobot2, "meta/info.json", edit(features={}), "no feature 'action'"),
        (make_lerobot3, "data/chunk-000/file-000.parquet", Path.unlink, "holds no data"),
        (make_lerobot3, "meta/tasks.parquet", cut, "tasks.parquet: cannot be read"),
    ],
)
def test_damaged_files_are_refused(make: Any, part: str, spoil: Any, message: str, tmp_path: Path) -> None:
    path = make(tmp_path / "data", demonstrations(2 if "zarr" not in make.__name__ else 3))
    spoil(path / part if part else path)
    with pytest.raises(InputError, match=message):
        read(path)


@pytest.mark.parametrize(("name", "package"), [("zarr", "zarr"), ("robomimic", "h5py"), ("lerobot3", "pyarrow")])
def test_an_absent_library_is_named(name: str, package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = globals()[f"make_{name}"](tmp_path / "data", demonstrations(2))
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingExtraError, match=rf"need {package}: pip install 'polyscore\[robots-data\]'"):
        read(path)


# ------------------------------------------------------------------------------------------------- LeRobot
def reference() -> Path:
    root = os.environ.get("POLYSCORE_REFERENCE")
    if not root:
        pytest.skip("POLYSCORE_REFERENCE is not set")
    return Path(root) / "robots" / "lerobot_v3_tiny"


def table(path: Path) -> Any:
    return parquet.read_table(path)


def test_lerobots_own_set_is_read_and_written_as_it_was(tmp_path: Path) -> None:
    """Layout, names, types and statistics are those of a set that LeRobot 0.4.4 wrote."""
    theirs = reference()
    data = read(theirs)
    assert (len(data), data.lengths.tolist()) == (3, [20, 20, 20])
    assert data.about["observation"] == {"observation.state": 4, "observation.environment_state": 6}
    assert data.about["tasks"] == ["push red to 0, green to 1", "push red to 1, green to 0"]
    ours = tmp_path / "ours"
    lerobot_writer.write(ours, data, fps=data.about["fps"], task=data.about["tasks"][0], robot=data.about["robot"])
    assert read(ours).fingerprint() == data.fingerprint()
    assert {p.relative_to(ours) for p in ours.rglob("*.*")} == {p.relative_to(theirs) for p in theirs.rglob("*.*")}
    for name in ("data/chunk-000/file-000.parquet", "meta/episodes/chunk-000/file-000.parquet", "meta/tasks.parquet"):
        one, other = table(ours / name), table(theirs / name)
        kinds = [{f.name: str(f.type).replace("large_", "").replace("item", "element") for f in t.schema} for t in (one, other)]
        assert kinds[0] == kinds[1], name
    frames = [table(root / "data/chunk-000/file-000.parquet") for root in (ours, theirs)]
    for column in set(frames[0].column_names) - {"task_index"}:
        assert frames[0][column].to_pylist() == frames[1][column].to_pylist(), column
    info, theirs_info = (json.loads((root / "meta/info.json").read_text(encoding="utf-8")) for root in (ours, theirs))
    assert set(info) == set(theirs_info)
    different = {key for key in info if info[key] != theirs_info[key]}
    assert different == {"features", "total_tasks"}  # names of the features are not kept, and there is one task
    assert {n: (f["dtype"], f["shape"]) for n, f in info["features"].items()} == {
        n: (f["dtype"], f["shape"]) for n, f in theirs_info["features"].items()
    }
    stats, theirs_stats = (json.loads((root / "meta/stats.json").read_text(encoding="utf-8")) for root in (ours, theirs))
    assert set(stats) == set(theirs_stats)
    for name in set(stats) - {"task_index"}:
        assert set(stats[name]) == set(theirs_stats[name])
        for key in ("min", "max", "mean", "std", "count"):  # LeRobot's quantiles of a set are means over its episodes
            np.testing.assert_allclose(stats[name][key], theirs_stats[name][key], rtol=5e-4, atol=1e-5)
    episodes: Any = [table(root / "meta/episodes/chunk-000/file-000.parquet").to_pylist() for root in (ours, theirs)]
    rows: Any = zip(episodes[0], episodes[1], strict=True)
    for mine, theirs_row in rows:
        assert set(mine) == set(theirs_row)
        for key in set(mine) - {"tasks"} - {k for k in mine if "task_index" in k}:
            if key.rpartition("/")[2].startswith("q"):  # of an episode: histograms of 5000 bins, up to the next frame's value
                continue
            np.testing.assert_allclose(mine[key], theirs_row[key], rtol=5e-4, atol=2e-3, err_msg=key)  # theirs are float32 sums


def test_statistics_of_a_small_table() -> None:
    found: Any = lerobot_writer.statistics(np.array([[1.0, 0.0], [3.0, 0.0], [5.0, 6.0]]))
    assert (found["min"], found["max"], found["mean"], found["count"]) == ([1, 0], [5, 6], [3, 2], [3])
    np.testing.assert_allclose(found["std"], [np.sqrt(8 / 3), np.sqrt(8)])
    np.testing.assert_allclose(found["q10"] + found["q50"] + found["q99"], [1.4, 0, 3, 0, 4.96, 5.88])


def test_sets_are_inspected_and_converted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = demonstrations(3)
    recordings.write(tmp_path / "a.npz", data)
    assert main(["data", "convert", str(tmp_path / "a.npz"), "-o", str(tmp_path / "set"), "--fps", "5", "--task", "wander"]) == 0
    back = read(tmp_path / "set")
    assert back.fingerprint() == data.fingerprint()
    assert (back.about["fps"], back.about["tasks"], back.about["observation"]) == (5, ["wander"], {"observation.state": 8})
    assert table(tmp_path / "set/data/chunk-000/file-000.parquet")["timestamp"][1].as_py() == pytest.approx(0.2)
    assert main(["data", "convert", str(tmp_path / "set"), "-o", str(tmp_path / "b.npz")]) == 0
    assert read(tmp_path / "b.npz").fingerprint() == data.fingerprint()
    assert main(["data", "inspect", str(tmp_path / "set"), "--report", str(tmp_path / "r.json")]) == 0
    assert "LeRobot v3.0" in capsys.readouterr().out
    assert main(["data", "convert", str(tmp_path / "set")]) == 2
    assert main(["data", "convert", str(tmp_path / "set"), "-o", str(tmp_path / "c"), "--fps", "0"]) == 1
    assert not (tmp_path / "c").exists()
    assert torch.equal(read(tmp_path / "b.npz").actions, data.actions)
