"""Full, read-only and shared disks, and processes that are killed: no half-written file under a final name."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.core import hub_models as models

from polyscore.errors import PolyscoreError
from polyscore.hub import atomic_path, load, save
from polyscore.hub.files import check_writable

ALLOW = ("tests.core.hub_models",)

# Saves the same big model over and over until it is killed; says when the first one is there.
WRITER = """
import sys, torch
from polyscore.hub import save
from tests.core import hub_models as models
model = models.Tied(int(sys.argv[2]))
count = int(sys.argv[3])
for i in range(count):
    torch.nn.init.constant_(model.encoder.weight, float(i))
    save(sys.argv[1], model, card=str(i))
    print(i, flush=True)
"""


def writer(path: Path, width: int, count: int, repository: Path) -> subprocess.Popen[str]:
    roots = os.pathsep.join(str(repository / part) for part in ("core", "domains", "apps", "."))
    command = [sys.executable, "-c", WRITER, str(path), str(width), str(count)]
    environment = {**os.environ, "PYTHONPATH": roots}
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def fail(number: int) -> Callable[..., None]:
    def failing(*args: object) -> None:
        raise OSError(number, os.strerror(number))

    return failing


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.ENOSPC, "no space is left on the disk"),
        (errno.EDQUOT, "the disk quota is used up"),
        (errno.EROFS, "the file system is read-only"),
        (errno.EIO, "input/output error"),
        (errno.EACCES, "no permission"),
    ],
)
@pytest.mark.parametrize("call", ["fsync", "replace", "rename"])
def test_a_disk_that_fails_at_any_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, words: str, call: str
) -> None:
    old = save(tmp_path / "m", models.Inner(1))
    (tmp_path / "file").write_text("old")
    monkeypatch.setattr(os, call, fail(number))

    def write() -> None:
        with atomic_path(tmp_path / "file") as name:
            name.write_text("new")

    if call != "rename":
        with pytest.raises(PolyscoreError, match=rf"cannot write .*file: .*{words}"):
            write()
        assert (tmp_path / "file").read_text() == "old"
    if call != "replace":
        with pytest.raises(PolyscoreError, match=rf"cannot write .*m: .*{words}"):
            save(tmp_path / "m", models.Inner(2))
    monkeypatch.undo()
    assert load(old, allow=ALLOW).width == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "m"]


def test_a_disk_that_fills_while_the_weights_are_written(tmp_path: Path) -> None:
    # A file-size limit of the process stands in for a full disk: the write itself fails half-way, inside safetensors.
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))
    try:
        with pytest.raises(PolyscoreError, match="cannot write .*m: .*larger than"):
            save(tmp_path / "m", models.Tied(200))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)
    assert list(tmp_path.iterdir()) == []


def test_a_full_and_then_a_read_only_file_system(tmp_path: Path) -> None:
    mount = tmp_path / "small"
    mount.mkdir()
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(mount)], capture_output=True)
    if made.returncode:
        pytest.skip("a file system can only be mounted by root")
    try:
        with pytest.raises(PolyscoreError, match="no space is left on the disk"):
            save(mount / "m", models.Tied(200))
        assert list(mount.iterdir()) == []
        save(mount / "m", models.Tied(20))
        subprocess.run(["mount", "-o", "remount,ro", str(mount)], check=True)
        with pytest.raises(PolyscoreError, match="the file system is read-only"):
            save(mount / "m", models.Tied(20))
        with pytest.raises(PolyscoreError, match="the file system is read-only"):
            check_writable(mount / "report.json")
        assert load(mount / "m", allow=ALLOW).width == 20
    finally:
        subprocess.run(["umount", str(mount)], check=True)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_folder(tmp_path: Path) -> None:
    tmp_path.chmod(0o555)
    try:
        with pytest.raises(PolyscoreError, match="no permission"):
            save(tmp_path / "m", models.Inner(1))
        with pytest.raises(PolyscoreError, match="no permission"):
            check_writable(tmp_path / "report.json")
    finally:
        tmp_path.chmod(0o755)


def test_two_processes_that_save_under_one_name(tmp_path: Path, repository: Path) -> None:
    writers = [writer(tmp_path / "m", 64, 40, repository) for _ in range(2)]
    for process in writers:
        _, errors = process.communicate(timeout=120)
        assert process.returncode == 0, errors
    model = load(tmp_path / "m", allow=ALLOW)
    assert (tmp_path / "m" / "card.md").read_text() == "39"
    assert bool((model.encoder.weight == 39).all())
    assert [path.name for path in tmp_path.iterdir()] == ["m"]


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere two renames replace a folder, with a moment between them")
def test_a_writer_that_is_killed_leaves_a_whole_model(tmp_path: Path, repository: Path) -> None:
    for attempt in range(3):
        target = tmp_path / f"m{attempt}"
        process = writer(target, 1500, 1000, repository)
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(0.005 * attempt)  # another moment of the second save each time
        process.send_signal(signal.SIGKILL)
        process.communicate()
        model = load(target, allow=ALLOW)
        value = float((target / "card.md").read_text())
        assert bool((model.encoder.weight == value).all())
        remains = [path.name for path in tmp_path.iterdir() if path.name != target.name and not path.name.startswith("m")]
        assert all(name.startswith(".polyscore-") for name in remains)
