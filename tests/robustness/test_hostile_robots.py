"""Demonstrations and policies that are none, to every verb that reads them."""

from __future__ import annotations

import gc
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.robustness.hostile import Case, Shelf, attack, cases, logged
from tests.robustness.hostile_files import (
    ABSENT,
    BINARY,
    DANGLING,
    DEEP_JSON,
    FOLDER,
    LOOP,
    YAML_BOMB,
    YAML_CODE,
    cut,
    lying_npy,
    lying_npz,
    npy,
    npz,
    object_npy,
    object_npz,
    pickled,
    torch_bomb,
    zip_bomb,
)
from tests.robustness.hostile_shelf import recording

pytest.importorskip("gymnasium")

PARTS = ("observations", "actions", "offsets", "about")


def changed(**changes: Any) -> Callable[[Path], None]:
    return lambda path: recording(path, **changes)


def play(observations: bytes, actions: bytes, masks: bytes) -> Callable[[Path], None]:
    def make(path: Path) -> None:
        path.mkdir()
        for part, data in (("observations", observations), ("actions", actions), ("masks", masks)):
            (path / f"multimodal_push_{part}.npy").write_bytes(data)

    return make


def lerobot(info: str) -> Callable[[Path], None]:
    def make(path: Path) -> None:
        (path / "meta").mkdir(parents=True)
        (path / "meta" / "info.json").write_text(info)

    return make


def zarr(ends: str, action: str = "{}") -> Callable[[Path], None]:
    def make(path: Path) -> None:
        for name, text in (("meta/episode_ends", ends), ("data/action", action), ("data/obs", action)):
            (path / name).mkdir(parents=True)
            (path / name / ".zarray").write_text(text)
        for name in ("", "meta", "data"):
            (path / name / ".zgroup").write_text('{"zarr_format": 2}')

    return make


def hdf5(fill: Callable[[Any], object]) -> Callable[[Path], None]:
    def make(path: Path) -> None:
        import h5py

        with h5py.File(path, "w") as file:
            fill(file)

    return make


def large(file: Any) -> None:
    """Arrays of 8 TB each, of which nothing is stored."""
    for name in ("obs/state", "actions"):
        file.create_dataset(f"data/demo_0/{name}", (10**9, 1000), "f8", chunks=(1000, 1000))


PLAIN = {"zarr_format": 2, "dtype": "<i8", "compressor": None, "fill_value": 0, "order": "C", "filters": None}
ZARRAY = {**PLAIN, "shape": [10**12], "chunks": [10**12]}
ROWS = [
    ("empty.npz", b"", "cannot be read as a recording"),
    ("cut.npz", cut(recording), "cannot be read as a recording"),
    ("binary.npz", BINARY, "cannot be read as a recording"),
    ("pickle.npz", pickled(), "cannot be read as a recording"),
    ("object.npz", object_npz(*PARTS), "cannot be read as a recording"),
    ("lying.npz", lying_npz(*PARTS), "cannot be read as a recording"),
    ("bomb.npz", zip_bomb(*PARTS), "cannot be read as a recording"),
    ("lacks.npz", npz(observations=np.zeros((2, 3))), "lacks actions, offsets, about"),
    ("nan.npz", changed(observations=np.full((8, 16), np.nan)), "NaN or infinity, first in frame 0 of 8"),
    ("words.npz", changed(actions=np.array(["a"] * 8)), "cannot be read as a recording"),
    ("offsets.npz", changed(offsets=[0, 9, 8]), "do not divide 8 frames"),
    ("no-episode.npz", changed(offsets=[0]), "do not divide 8 frames"),
    ("about.npz", changed(about=np.array("{")), "cannot be read as a recording"),
    ("deep-about.npz", changed(about=np.array(DEEP_JSON)), "cannot be read as a recording"),
    ("list-about.npz", changed(about=np.array("[1]")), "expected a mapping|about"),
    ("text.csv", "1, 2, 3", "of no format that is read"),
    ("play-empty", play(b"", b"", b""), "cannot be read as a numpy array"),
    ("play-object", play(object_npy(), object_npy(), object_npy()), "cannot be read as a numpy array"),
    ("play-lying", play(lying_npy((10**6, 10**6)), npy([1]), npy([1])), "cannot be read as a numpy array"),
    ("play-shapes", play(npy(np.zeros((2, 3, 4))), npy(np.zeros((2, 2, 2))), npy(np.ones((2, 3)))), "do not fit each other"),
    ("play-holes", play(npy(np.zeros((1, 3, 4))), npy(np.zeros((1, 3, 2))), npy([[1, 0, 1]])), "the mask has holes"),
    ("play-nothing", play(npy(np.zeros((1, 3, 4))), npy(np.zeros((1, 3, 2))), npy([[0, 0, 0]])), "episode"),
    ("lerobot-empty", lerobot(""), "cannot be read"),
    ("lerobot-deep", lerobot(DEEP_JSON), "cannot be read|damaged"),
    ("lerobot-list", lerobot("[]"), "cannot be read|expected"),
    ("lerobot-version", lerobot(json.dumps({"codebase_version": "v99.0"})), "v99.0|version"),
    ("zarr-text", zarr("no JSON", "no JSON"), "has no data/action|cannot be read"),
    ("zarr-huge", zarr(json.dumps(ZARRAY), json.dumps(ZARRAY)), "missing|cannot be read|damaged|0 of 1 chunks"),
    ("text.hdf5", "no such thing", "cannot be read as HDF5"),
    ("cut.hdf5", cut(hdf5(lambda file: file.create_dataset("data/demo_0/x", data=[1])), 0.4), "cannot be read as HDF5"),
    ("other.hdf5", hdf5(lambda file: file.create_dataset("x", data=[1])), "expected data/demo_0"),
    ("nothing.hdf5", hdf5(lambda file: file.create_group("data/demo_0")), "cannot be read as HDF5"),
    ("huge.hdf5", hdf5(large), "cannot be read as HDF5"),
    ("folder", FOLDER, "of no format that is read"),
    ("dangling.npz", DANGLING, "no such file or folder"),
    ("loop.npz", LOOP, "no such file or folder"),
    ("d" * 300 + ".npz", ABSENT, "too long"),
]


@pytest.mark.parametrize("case", cases("data inspect {bad} --quiet", ROWS))
def test_inspect(case: Case, shelf: Shelf, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """With what zarr leaves behind: a task that nobody waited for complains when it is collected."""
    for name, package in (("lerobot", "pyarrow"), ("zarr", "zarr"), (".hdf5", "h5py")):
        if name in case.name:
            pytest.importorskip(package)
    attack(case, shelf, tmp_path, capfd)
    if "zarr" in case.name:
        with logged() as records:
            gc.collect()
        assert not records, [record.getMessage() for record in records]


FEW = [row for row in ROWS if row[0] in ("nan.npz", "object.npz", "bomb.npz", "dangling.npz")]


@pytest.mark.parametrize(
    "case",
    [
        *cases("data convert {bad} -o {out}/set --quiet", FEW),
        *cases("data convert {bad} -o {out}/set.npz --quiet", FEW),
        *cases("rollout --model push-blocks -o {out} --demonstrations {bad} --quiet", FEW),
    ],
)
def test_what_else_reads_them(case: Case, shelf: Shelf, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    attack(case, shelf, tmp_path, capfd)


def beso(config: str, weights: Callable[[Path], object]) -> Callable[[Path], None]:
    def make(path: Path) -> None:
        (path / ".hydra").mkdir(parents=True)
        (path / ".hydra" / "config.yaml").write_text(config)
        for name in ("model_state_dict.pth", "non_ema_model_state_dict.pth"):
            weights(path / name)

    return make


BESO = [
    ("code", beso(YAML_CODE, torch_bomb), "config.yaml|settings"),
    ("yaml-bomb", beso(YAML_BOMB, torch_bomb), "config.yaml|settings|refused"),
    ("empty", beso("", torch_bomb), "config.yaml|settings"),
]


@pytest.mark.parametrize("case", cases("rollout --model {bad} -o {out} --quiet", BESO))
def test_runs_of_beso(case: Case, shelf: Shelf, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    attack(case, shelf, tmp_path, capfd)


def test_a_zip_of_zarr_that_leads_elsewhere(shelf: Shelf, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("zarr")

    def make(path: Path) -> None:
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("../outside/.zgroup", "{}")
            archive.writestr("meta/episode_ends/.zarray", "{}")

    (case,) = cases("data inspect {bad} --quiet", [("evil.zarr.zip", make, "cannot be read|of no format")])
    attack(case.values[0], shelf, tmp_path, capfd)
    assert not (tmp_path / "outside").exists()
