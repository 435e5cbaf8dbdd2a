"""`polyscore sample` interrupted, killed, short of disk or run twice at once: no half-written file, the same bytes in the end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from polyscore import hub
from polyscore.cli.main import main
from polyscore.cli.report import validate

COUNT = 24
SETTINGS = ("-n", str(COUNT), "--batch-size", "2", "--steps", "20", "--sampler", "ddpm", "--seed", "3", "--device", "cpu")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A saved generator, tiny and untrained."""
    from polyscore.denoisers import Precondition
    from polyscore.images import ImageGenerator, UNet
    from polyscore.processes import Cosine

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = UNet(1, 16, classes=3)
        torch.nn.init.normal_(network.last.weight, std=0.1)
    generator = ImageGenerator(Precondition(network, Cosine(), predicts="v"), (1, 8, 8), classes=3)
    return hub.save(tmp_path_factory.mktemp("models") / "tiny", generator)


@pytest.fixture(scope="module")
def expected(model: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """What a run without trouble writes."""
    out = tmp_path_factory.mktemp("expected") / "out"
    assert main(words(model, out)) == 0
    return contents(out)


def words(model: Path, out: Path, *more: str) -> list[str]:
    return ["sample", "--model", str(model), "-o", str(out), "--quiet", *SETTINGS, *more]


def contents(folder: Path) -> dict[str, bytes]:
    """Every file under its final name."""
    files = (path for path in folder.rglob("*") if path.is_file() and not path.name.startswith("."))
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def leftovers(folder: Path) -> list[str]:
    return [path.name for path in folder.rglob(".*")]


def start(command: list[str], repository: Path) -> subprocess.Popen[str]:
    roots = os.pathsep.join(str(repository / part) for part in ("core", "domains", "apps"))
    environment = {**os.environ, "PYTHONPATH": roots, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "polyscore.cli.main", *command]
    return subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)


def wait_for_shards(out: Path, count: int, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 120
    while process.poll() is None and time.monotonic() < deadline:
        if len(list(out.glob("shards/shard-*"))) >= count:
            return
        time.sleep(0.002)
    pytest.fail(f"the run ended or hung before it wrote {count} shards: {process.communicate()[1]}")


@pytest.mark.parametrize(
    ("number", "shards", "wait"),
    [(signal.SIGKILL, 1, 0.0), (signal.SIGKILL, 3, 0.041), (signal.SIGINT, 2, 0.0)],
)
def test_a_run_that_is_stopped_ends_in_the_same_bytes(
    model: Path, expected: dict[str, bytes], tmp_path: Path, repository: Path, number: signal.Signals, shards: int, wait: float
) -> None:
    out, report = tmp_path / "out", tmp_path / "report.json"
    process = start(words(model, out, "--report", str(report)), repository)
    wait_for_shards(out, shards, process)
    time.sleep(wait)  # another moment of a shard each time
    process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    written = contents(out)
    assert "samples.npz" not in written, "the signal came too late to test anything"
    assert written.items() <= expected.items()  # every file that has its name is complete
    drawn = 2 * (len(written) - 1)  # shards.json is one of them
    if number == signal.SIGINT:
        assert (process.returncode, errors) == (130, "polyscore sample: interrupted\n")
        assert leftovers(out) == []
        content = json.loads(report.read_text())
        validate(content)
        assert content["items"][-1]["error"] == "interrupted"
        done = sum(item["status"] == "done" for item in content["items"])
        assert drawn - 2 <= done <= drawn  # a shard is there before its two samples are listed, one after the other
    else:
        assert not report.exists()
    assert main(words(model, out, "--resume", "--report", str(report))) == 0
    assert contents(out) == expected
    status = [item["status"] for item in json.loads(report.read_text())["items"]]
    assert (status.count("skipped"), status.count("done")) == (drawn, COUNT - drawn)


def test_two_runs_into_one_folder_that_may(
    model: Path, expected: dict[str, bytes], tmp_path: Path, repository: Path
) -> None:
    process = start(words(model, tmp_path / "out"), repository)
    wait_for_shards(tmp_path / "out", 1, process)
    assert main(words(model, tmp_path / "out", "--resume")) == 0
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    assert contents(tmp_path / "out") == expected
    assert leftovers(tmp_path / "out") == []


def test_of_two_runs_that_start_at_once_one_is_refused(
    model: Path, expected: dict[str, bytes], tmp_path: Path, repository: Path
) -> None:
    runs = [start(words(model, tmp_path / "out"), repository) for _ in range(2)]
    answers = [(*process.communicate(timeout=120), process.returncode) for process in runs]
    assert sorted(code for _, _, code in answers) == [0, 2]
    assert next(errors for _, errors, code in answers if code == 2).count("holds samples already") == 1
    assert contents(tmp_path / "out") == expected


def test_a_disk_that_fills_and_is_cleared(
    model: Path, expected: dict[str, bytes], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mount = tmp_path / "small"
    mount.mkdir()
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=48k", "tmpfs", str(mount)], capture_output=True)
    if made.returncode:
        pytest.skip("a file system can only be mounted by root")
    try:
        (mount / "ballast").write_bytes(bytes(24_000))
        assert main(words(model, mount / "out")) == 1
        errors = capsys.readouterr().err
        assert "no space is left on the disk" in errors
        assert errors.count("\n") == 1
        written = contents(mount / "out")
        assert 1 < len(written) < len(expected)
        assert written.items() <= expected.items()
        assert leftovers(mount / "out") == []
        (mount / "ballast").unlink()
        subprocess.run(["mount", "-o", "remount,size=1m", str(mount)], check=True)
        assert main(words(model, mount / "out", "--resume")) == 0
        assert contents(mount / "out") == expected
        subprocess.run(["mount", "-o", "remount,ro", str(mount)], check=True)
        assert main(words(model, mount / "another")) == 1
        assert "the file system is read-only" in capsys.readouterr().err
    finally:
        subprocess.run(["umount", str(mount)], check=True)


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_disk_that_fails_at_any_file(
    model: Path, expected: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    """The write of the n-th file fails, for every n; each time the run goes on from there."""
    out, honest, left = tmp_path / "out", getattr(os, call), 0

    def failing(*args: Any) -> Any:
        nonlocal left
        left -= 1
        if left < 0:
            raise OSError(28, "No space left on device")
        return honest(*args)

    few = ("-n", "4", "--batch-size", "2", "--steps", "2")
    assert main(words(model, tmp_path / "whole", *few)) == 0
    monkeypatch.setattr(os, call, failing)
    codes = []
    for attempt in range(60):
        left = attempt
        codes.append(main(words(model, out, *few, "--resume")))
        assert contents(out).items() <= contents(tmp_path / "whole").items()
        assert leftovers(out) == [] if out.exists() else True
        if codes[-1] == 0:
            break
    assert set(codes[:-1]) == {1}
    assert codes[-1] == 0
    assert contents(out) == contents(tmp_path / "whole")


def test_places_that_cannot_be_written(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("mine")
    for out in (tmp_path / "file", tmp_path / "file" / "out"):
        assert main(words(model, out)) == 1
        assert "cannot write" in capsys.readouterr().err
    assert main(words(model, tmp_path / "out", "--report", str(tmp_path / "file" / "r.json"))) == 1
    assert "cannot write" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()  # said before the work, not after it
    assert (tmp_path / "file").read_text() == "mine"


def test_a_damaged_part_is_named(
    model: Path, expected: dict[str, bytes], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert main(words(model, out)) == 0
    part = out / "shards" / "shard-000003.safetensors"
    part.write_bytes(part.read_bytes()[:-5])
    assert main(words(model, out, "--resume")) == 1
    assert "shard-000003.safetensors cannot be read" in capsys.readouterr().err
    part.unlink()
    assert main(words(model, out, "--resume")) == 0
    assert contents(out) == expected
    assert load_file(part)["x"].shape == (2, 1, 8, 8)
    (out / "shards" / "shards.json").write_text('{"count": ')
    assert main(words(model, out, "--resume")) == 1
    assert "shards.json cannot be read" in capsys.readouterr().err
