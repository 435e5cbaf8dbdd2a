"""Places that cannot be written, for every verb: said in one sentence, with nothing half-written and nothing lost."""

from __future__ import annotations

import errno
import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.robustness.hostile import Case, Shelf, attack, cases, contents
from tests.robustness.hostile_files import ABSENT

from polyscore.cli.main import VERBS, main

for name in ("soundfile", "rdkit", "gymnasium", "mido", "trimesh", "av", "lightning"):
    pytest.importorskip(name)

FOLDERS = [
    "sample -n 1 --steps 1 -o {bad}",
    "enhance {wav} -o {bad} --model {enhancer} --preset fast",
    "molecules --model qm9 -n 1 --steps 1 --no-pictures -o {bad}",
    "graphs --model community-small -n 1 --steps 1 --no-pictures -o {bad}",
    "compose --new --bars 1 --steps 1 --sweeps 0 --no-roll --no-preview -o {bad}",
    "animate {png} --field translate:x=1 --frames 2 --size 32x32 --steps 1 -o {bad}",
    "rollout --model push-blocks --episodes 1 --steps 1 --no-films -o {bad}",
    "export lerobot --model push-blocks -o {bad}",
    "register {ply} {ply} --points 64 --samples 1 --no-pictures -o {bad}",
    "pose {ply} --points 64 --samples 1 --no-pictures -o {bad}",
    "points chair -n 1 --steps 1 --points 16 --no-pictures -o {bad}",
    "shape 'a red chair' -o {bad}",
    "mesh show {ply} -o {bad}",
    "data convert {demos} -o {bad}",
    "fit --config {config} --limit 1 -o {bad}",
    "demo {wav} -o {bad}",
]
FILES = [
    "warp-noise {clip} --for svd --size 64x64 --frames 3 --flow torch -o {bad}.safetensors",
    "data record --episodes 1 -o {bad}.npz",
    "data convert {demos} -o {bad}.npz",
    "evaluate speech --clean {speech} --enhanced {speech} --metrics si_sdr -o {bad}.csv",
    "evaluate molecules {smi} --resamples 2 -o {bad}.csv",
    "evaluate music {midi} -o {bad}.csv",
    "evaluate video {clip} --method torch -o {bad}.csv",
]
REPORTS = [
    "models",
    "info digits",
    "mesh check {ply}",
    "data inspect {demos}",
    "evaluate graphs {edges} --reference {edges} --resamples 2",
    "evaluate points {clouds} {clouds} --points 16 --no-emd",
    "evaluate samples {samples} --reference {samples}",
]


def a_file(path: Path) -> None:
    path.write_text("mine")


def below_a_file(path: Path) -> None:
    path.parent.write_text("mine")


CANNOT = "cannot write|is a file|a file, expected|cannot be used|it is a file"
PLACES = [("taken", a_file, CANNOT), ("file/below", below_a_file, CANNOT), ("n" * 300, ABSENT, "too long")]


@pytest.mark.parametrize("case", [case for words in FOLDERS for case in cases(words, PLACES)])
def test_a_folder_that_cannot_be(case: Case, shelf: Shelf, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    attack(case, shelf, tmp_path, capfd)


@pytest.mark.parametrize("case", [case for words in FILES for case in cases(words, PLACES[1:])])
def test_a_file_that_cannot_be(case: Case, shelf: Shelf, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    attack(case, shelf, tmp_path, capfd)


REPORTED = [
    ("folder", Path.mkdir, "it is a folder"),
    ("file/below", below_a_file, "cannot write"),
    ("r" * 300, ABSENT, "too long"),
]


@pytest.mark.parametrize("case", [case for words in REPORTS for case in cases(words + " --report {bad}", REPORTED)])
def test_a_report_that_cannot_be(case: Case, shelf: Shelf, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    attack(case, shelf, tmp_path, capfd)


FULL = [words for words in [*FOLDERS, *FILES] if not words.startswith(("shape", "demo", "fit"))]


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS], ids=["full", "read-only"])
@pytest.mark.parametrize("words", FULL, ids=[" ".join(words.split()[:2]) for words in FULL])
def test_a_disk_that_takes_nothing(
    words: str, code: int, shelf: Shelf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    _filled(words, shelf, tmp_path / "out")  # sound things are made while the disk is well

    def failing(*args: Any) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "fsync", failing)
    says = "no space is left|the file system is read-only"
    (case,) = cases(words.replace("{bad}", "{out}/made"), [("none", ABSENT, says)])
    attack(case.values[0], shelf, tmp_path, capfd, sentences=2)  # the work's file, and the report's


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A disk of 16 kB."""
    mount = tmp_path / "small"
    mount.mkdir()
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16k", "tmpfs", str(mount)], capture_output=True)
    if made.returncode:
        pytest.skip("a file system can only be mounted by root")
    try:
        yield mount
    finally:
        subprocess.run(["umount", str(mount)], check=True)


LARGE = [
    "sample -n 40 --steps 1 -o {bad}",
    "molecules --model qm9 -n 8 --steps 1 -o {bad}",
    "graphs --model community-small -n 40 --steps 1 -o {bad}",
    "compose --new --bars 1 --steps 1 --sweeps 0 -o {bad}",
    "animate {png} --field translate:x=1 --frames 8 --size 64x64 --steps 1 -o {bad}",
    "rollout --model push-blocks --episodes 2 --steps 1 -o {bad}",
    "export lerobot --model push-blocks -o {bad}",
    "register {ply} {ply} --points 2000 --samples 1 -o {bad}",
    "points chair -n 2 --steps 1 -o {bad}",
    "mesh show {ply} -o {bad}",
    "warp-noise {clip} --for svd --size 64x64 --frames 3 --flow torch -o {bad}/a.safetensors",
    "data record --episodes 8 -o {bad}/a.npz",
]


@pytest.mark.parametrize("words", LARGE, ids=[" ".join(words.split()[:2]) for words in LARGE])
def test_a_disk_that_fills(words: str, shelf: Shelf, small: Path, capfd: pytest.CaptureFixture[str]) -> None:
    command = _filled(words, shelf, small / "out")
    capfd.readouterr()
    assert main([*command, "--quiet"]) == 1
    error = capfd.readouterr().err
    assert "internal error" not in error
    assert "Traceback" not in error
    assert 1 <= error.count("\n") <= 2, error  # the result's file, and the report's where that finds no place either
    assert all("no space is left on the disk" in line for line in error.splitlines()), error
    assert not [name for name in contents(small) if ".polyscore-" in name]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
@pytest.mark.parametrize("words", ["--help", "models", "info digits"])
def test_a_standard_output_that_is_full(words: str, repository: Path) -> None:
    roots = os.pathsep.join(str(repository / part) for part in ("core", "domains", "apps"))
    command = [sys.executable, "-m", "polyscore.cli.main", *words.split()]
    with open("/dev/full", "w") as full:  # noqa: PTH123
        ended = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": roots})
    assert ended.returncode == 1
    assert ended.stderr.count("\n") == 1, ended.stderr
    assert "no space is left" in ended.stderr


def test_every_verb_is_here() -> None:
    words = [words.split()[0] for words in [*FOLDERS, *FILES, *REPORTS]]
    assert set(VERBS) - set(words) == {"convert"}  # it needs a published checkpoint; tests/audio writes one


def _filled(words: str, shelf: Shelf, out: Path) -> list[str]:
    names = {"bad": out}
    return [word.format_map(_Either(names, shelf)) for word in shlex.split(words)]


class _Either(dict[str, Any]):
    def __init__(self, own: dict[str, Path], shelf: Shelf) -> None:
        super().__init__(own)
        self.shelf = shelf

    def __missing__(self, name: str) -> Path:
        return self.shelf[name]


