"""Checkpoints made to harm or damaged by accident: refused in one clear sentence, and nothing in them runs."""

from __future__ import annotations

import json
import os
import pickle
import struct
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.core import hub_models as models

from polyscore.errors import CheckpointError, ConfigError, PolyscoreError
from polyscore.hub import build, load, save
from polyscore.hub.kinds import kind_of, pickle_words
from polyscore.hub.pickles import read_pickle

ALLOW = ("tests.core.hub_models",)


class Settings:
    """A class that a checkpoint names."""


class StandIn:
    """What is built instead."""


class Bomb:
    """Unpickling it makes the folder ``executed``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return os.mkdir, (str(self.folder / "executed"),)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return save(tmp_path / "m", models.Zoo([]))


def pickles(tmp_path: Path) -> dict[str, Path]:
    bomb = {"state_dict": {"w": torch.zeros(2)}, "x": Bomb(tmp_path)}
    paths = {name: tmp_path / name for name in ("a.ckpt", "b.pt", "c.pkl", "legacy.bin")}
    torch.save({**bomb, "pytorch-lightning_version": "2.6.6"}, paths["a.ckpt"])
    torch.save(bomb, paths["b.pt"])
    paths["c.pkl"].write_bytes(pickle.dumps(bomb["x"]))
    torch.save(bomb, paths["legacy.bin"], _use_new_zipfile_serialization=False)
    return paths


def test_the_bomb_works(tmp_path: Path) -> None:
    torch.load(pickles(tmp_path)["b.pt"], weights_only=False)
    assert (tmp_path / "executed").is_dir()


@pytest.mark.parametrize(
    ("name", "kind", "words"),
    [
        ("a.ckpt", "lightning", "a Lightning training checkpoint"),
        ("b.pt", "torch", "a torch file"),
        ("c.pkl", "pickle", "a pickle, which can run any code"),
        ("legacy.bin", "pickle", "a pickle, which can run any code"),
    ],
)
def test_a_pickle_is_named_and_not_run(tmp_path: Path, name: str, kind: str, words: str) -> None:
    path = pickles(tmp_path)[name]
    assert kind_of(path).name == kind
    with pytest.raises(CheckpointError, match=words):
        load(path)
    assert not (tmp_path / "executed").exists()


def test_a_pickle_under_the_name_of_the_weights(tmp_path: Path, folder: Path) -> None:
    for path in pickles(tmp_path).values():
        (folder / "model.safetensors").write_bytes(path.read_bytes())
        with pytest.raises(CheckpointError, match="no safetensors file"):
            load(folder, allow=ALLOW)
    assert not (tmp_path / "executed").exists()


def test_the_words_of_a_pickle_are_read_without_running_it(tmp_path: Path) -> None:
    assert {"state_dict", "pytorch-lightning_version", "2.6.6"} <= pickle_words(pickles(tmp_path)["a.ckpt"])
    assert not (tmp_path / "executed").exists()


def test_a_pickle_of_another_project_is_read_and_a_hostile_one_refused(tmp_path: Path) -> None:
    hostile, cases = r"names \w+\.mkdir", {"c.pkl": "is no torch checkpoint", "none": "no such file"}
    pickles(tmp_path)
    for name, words in {"a.ckpt": hostile, "b.pt": hostile, **cases}.items():
        with pytest.raises(CheckpointError, match=words):
            read_pickle(tmp_path / name, "a checkpoint", stand_ins={"other.Settings": dict})
    assert not (tmp_path / "executed").exists()
    torch.save({"w": torch.arange(3.0), "settings": OrderedDict(a=1)}, tmp_path / "good.pt")
    found = read_pickle(tmp_path / "good.pt")
    assert found["settings"] == {"a": 1}
    assert found["w"].tolist() == [0.0, 1.0, 2.0]
    whole = (tmp_path / "good.pt").read_bytes()
    for size in (0, 10, len(whole) // 2, len(whole) - 4):
        (tmp_path / "good.pt").write_bytes(whole[:size])
        with pytest.raises(CheckpointError, match=r"good\.pt: (is no torch checkpoint, or is cut off|cannot be read)"):
            read_pickle(tmp_path / "good.pt")
    torch.save([1, 2], tmp_path / "list.pt")
    with pytest.raises(CheckpointError, match="holds a list; expected a mapping"):
        read_pickle(tmp_path / "list.pt")


def test_only_a_class_with_a_stand_in_is_built(tmp_path: Path) -> None:
    path = tmp_path / "m.pt"
    torch.save({"settings": Settings()}, path)
    name = f"{Settings.__module__}.Settings"
    with pytest.raises(CheckpointError, match=f"refused, because it names {name}"):
        read_pickle(path)
    assert type(read_pickle(path, stand_ins={name: StandIn})["settings"]) is StandIn


@pytest.mark.parametrize("content", [b"", b"PK", b"PK\x03\x04" + bytes(90), b"\x80", b"plain text", bytes(100)])
def test_rubbish_has_a_kind(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x.ckpt"
    path.write_bytes(content)
    assert kind_of(path).text
    assert pickle_words(path) == set()
    with pytest.raises(CheckpointError, match="expected a folder with config.json"):
        load(path)


def test_an_archive_with_a_broken_pickle_has_a_kind(tmp_path: Path) -> None:
    path = tmp_path / "x.ckpt"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", b"\x80\x02}q\x00X\x09\x00\x00\x00truncated")
    assert kind_of(path).name in ("torch", "zip")
    assert pickle_words(path) <= {"truncated"}


# ---------------------------------------------------------------------------------------------------- weights
def safetensors_file(header: object, data: bytes) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


ONE = {"w": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}


@pytest.mark.parametrize("keep", [0, 1, 7, 8, 20, -40, -1])
def test_truncated_weights(folder: Path, keep: int) -> None:
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:keep])
    with pytest.raises(CheckpointError, match=r"model\.safetensors (is truncated|is no safetensors file, or is cut off)"):
        load(folder, allow=ALLOW)


def test_weights_with_more_bytes_than_announced(folder: Path) -> None:
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes() + bytes(3))
    with pytest.raises(CheckpointError, match=r"announces \d+ bytes, the file has \d+"):
        load(folder, allow=ALLOW)


@pytest.mark.parametrize(
    "content",
    [
        struct.pack("<Q", 2**63) + b"{}",
        struct.pack("<Q", 2**40) + b"{}",
        safetensors_file(b"[1, 2]", b""),
        safetensors_file(b"{" * 200_000, b""),
        safetensors_file(b'{"w": 3}', b""),
        safetensors_file({"w": {"dtype": "F32", "shape": [2]}}, bytes(8)),
        safetensors_file({"w": {**ONE["w"], "data_offsets": [0, 2**62]}}, bytes(8)),
        safetensors_file({"w": {**ONE["w"], "data_offsets": [-8, 8]}}, bytes(8)),
        safetensors_file({"w": {**ONE["w"], "shape": [2**40]}}, bytes(8)),
        safetensors_file({"w": {**ONE["w"], "shape": [-2]}}, bytes(8)),
        safetensors_file({"w": {**ONE["w"], "dtype": "F128"}}, bytes(8)),
        safetensors_file({**ONE, "v": {**ONE["w"], "data_offsets": [4, 12]}}, bytes(12)),
        safetensors_file({**ONE, "__metadata__": [1]}, bytes(8)),
        safetensors_file({**ONE, "__metadata__": {"polyscore": '{"tied": {"a": "nothing"}}'}}, bytes(8)),
        safetensors_file({**ONE, "__metadata__": {"polyscore": '{"complex": ["w", "nothing"]}'}}, bytes(8)),
        safetensors_file({**ONE, "__metadata__": {"polyscore": '{"tied": 7}'}}, bytes(8)),
        safetensors_file({**ONE, "__metadata__": {"polyscore": "not json"}}, bytes(8)),
    ],
)
def test_a_header_that_lies(folder: Path, content: bytes) -> None:
    (folder / "model.safetensors").write_bytes(content)
    with pytest.raises(CheckpointError, match=r"model\.safetensors"):
        load(folder, allow=ALLOW)


def test_a_git_lfs_pointer_is_named(folder: Path) -> None:
    (folder / "model.safetensors").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 3\n")
    with pytest.raises(CheckpointError, match="git lfs pull"):
        load(folder, allow=ALLOW)


# ---------------------------------------------------------------------------------------------- configuration
@pytest.mark.parametrize(
    "path",
    [
        "os.system",
        "builtins.eval",
        "builtins.exec",
        "subprocess.Popen",
        "torch.load",
        "torch.nn.Linear",
        "polyscore.hub.os.system",
        "polyscore.hub.files.os.system",
        "polyscore.hub.files.shutil.rmtree",
        "polyscore.hub.files.Path",
        "polyscore.hub.config.importlib",
        "polyscore.hub.config.nn",
        "polyscore.hub.load",
        "polyscore.hub.files.atomic_path",
        "polyscore.hub.files.__builtins__",
        "polyscore.hub.files.__loader__",
        "polyscore.hub.files._CAUSES",
        "polyscore.processes.VP.__init__",
        "polyscore.processes.VP.__subclasses__",
        "polyscore.errors.PolyscoreError.__class__",
        "polyscorex.evil.Thing",
        "polyscore",
        "polyscore.",
        ".polyscore.processes.VP",
        "polyscore..processes.VP",
        "polyscore/processes.VP",
        "",
    ],
)
def test_class_paths_that_lead_elsewhere(folder: Path, path: str) -> None:
    marker = folder.parent / "executed"
    arguments = {"path": str(marker)} if path.endswith("atomic_path") else {}
    for config in ({"class_path": path}, {"class_path": path, "init_args": arguments}):
        with pytest.raises(ConfigError):
            build(config)
    file = folder / "config.json"
    file.write_text(json.dumps({"format": 1, "class_path": path, "init_args": arguments}))
    with pytest.raises(PolyscoreError):
        load(folder)
    assert not marker.exists()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "cannot be read"),
        ("{", "cannot be read"),
        ("[" * 100_000, "cannot be read"),
        ("[]", "has no class_path"),
        ('{"_class_name": "DDIMScheduler"}', "has no class_path"),
        ('{"class_path": "polyscore.processes.VP", "format": 2, "polyscore": "9.0"}', "format 2.*written by polyscore 9.0"),
        ('{"class_path": "polyscore.processes.VP"}', "has format None"),
        ('{"class_path": "polyscore.processes.VP", "format": 1}', "describes a VP, expected a torch module"),
    ],
)
def test_configurations_that_are_none(folder: Path, text: str, words: str) -> None:
    (folder / "config.json").write_text(text)
    with pytest.raises(CheckpointError, match=words):
        load(folder)


def test_a_nest_deeper_than_the_stack(folder: Path) -> None:
    config: dict[str, Any] = {"class_path": "tests.core.hub_models.Inner", "init_args": {}}
    for _ in range(3000):
        config = {"class_path": "tests.core.hub_models.Inner", "init_args": {"width": config}}
    with pytest.raises(ConfigError, match="nested too deeply"):
        build(config, allow=ALLOW)


def test_a_network_too_large_for_any_machine(folder: Path) -> None:
    config = {"class_path": "tests.core.hub_models.Tied", "init_args": {"width": 2**40}}
    with pytest.raises(ConfigError, match="cannot build tests.core.hub_models.Tied"):
        build(config, allow=ALLOW)


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_a_missing_part_is_named(folder: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(CheckpointError, match=name):
        load(folder, allow=ALLOW)


def test_other_folders_are_named(tmp_path: Path) -> None:
    (tmp_path / "pipe").mkdir()
    (tmp_path / "pipe" / "model_index.json").write_text("{}")
    with pytest.raises(CheckpointError, match="a diffusers pipeline"):
        load(tmp_path / "pipe")
    (tmp_path / "empty").mkdir()
    with pytest.raises(CheckpointError, match="a folder without a model"):
        load(tmp_path / "empty")
