"""`polyscore fit` with bad configurations, bad disks and sudden ends: one clear error, or a run that ends with the same model."""

from __future__ import annotations

import errno
import json
import os
import resource
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from tests.apps.fit_runs import MODEL, config, fit, start, wait_for

from polyscore import hub
from polyscore.cli.main import main
from polyscore.cli.report import validate
from polyscore.errors import CheckpointError, PolyscoreError
from polyscore.training import SafeCheckpointIO

LAST = Path("checkpoints") / "last.ckpt"
BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{new}: &{new} [{', '.join([f'*{old}'] * 9)}]\n" for old, new in zip("abcdefg", "bcdefgh", strict=True)
)


# ------------------------------------------------------------------------------------------------------ configurations
@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("max_epochs: 4", "max_epoch: 4", ["trainer.max_epoch is not known", "did you mean max_epochs?"]),
        ("max_epochs: 4", "max_epochs: many", ["trainer.max_epochs", "found many", "expected int"]),
        ("warmup: 4", "warmups: 4", ["optimiser", "warmups is not known", "did you mean warmup?"]),
        ("predicts: v", "predicts: w", ["predicts", "found w"]),
        ("polyscore.processes.Cosine", "polyscore.processes.Cosin", ["process", "polyscore.processes.Cosin"]),
        ("polyscore.training.EpsLoss", "polyscore.processes.Cosine", ["objective", "polyscore.processes.Cosine"]),
        ("polyscore.training.ScoreTraining", "no.such.module.Thing", ["model", "no.such.module"]),
        ("mix: 0.2", "mix: 2.0", ["Importance", "mix 2.0"]),
        ("seed_everything: 3", "seeds: 3", ["seeds is not known"]),
        ("polyscore.training.ema.Constant", "posix.system", ["profile", "posix.system"]),
    ],
)
def test_a_wrong_key_or_value_is_named_with_its_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], old: str, new: str, words: list[str]
) -> None:
    file = config(tmp_path, (old, new))
    assert main(fit(file, tmp_path / "run")) == 2
    error = capsys.readouterr().err
    assert error.startswith("polyscore fit: ")
    assert error.count("\n") == 1
    assert "internal error" not in error
    for word in [str(file), *words]:
        assert word in error, error
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"", "is empty, expected a mapping"),
        (b"- 1\n- 2\n", "is a list, expected a mapping"),
        (b"model: [1, 2\n", "is not valid YAML"),
        (b"\xff\xfe\x00", "cannot be read"),
        (b"model: &m [*m, *m]\n", "unfolds into more than"),
        (BOMB.encode(), "unfolds into more than"),
        (b"x: " + b"[" * 5000 + b"]" * 5000, "nested too deeply"),
        (b"#" * 1_000_001, "expected a configuration below"),
        (b"model: !!python/object/apply:os.system ['touch hacked']\n", "python/object/apply"),
    ],
)
def test_hostile_files_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, text: bytes, words: str
) -> None:
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "bad.yaml"
    file.write_bytes(text)
    assert main(fit(file, tmp_path / "run")) == 2
    error = capsys.readouterr().err
    assert words in error
    assert "bad.yaml" in error
    assert error.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["bad.yaml"]  # and nothing was run


def test_missing_files_and_no_configuration(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(fit(tmp_path / "none.yaml", tmp_path / "run")) == 2
    assert "none.yaml: there is no such file, and no shipped configuration; those are audio/" in capsys.readouterr().err
    assert main(["fit", "--out", str(tmp_path / "run")]) == 2
    assert "no --config" in capsys.readouterr().err
    assert main(["fit", "--resume", "--out", str(tmp_path / "run")]) == 2
    assert list(tmp_path.iterdir()) == []


# ---------------------------------------------------------------------------------------------------------- checkpoints
def test_damaged_and_hostile_checkpoints_are_not_loaded(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, out = config(tmp_path), tmp_path / "run"
    assert main(fit(file, out, "--trainer.max_epochs", "1")) == 0
    whole = (out / LAST).read_bytes()
    (out / LAST).write_bytes(whole[: len(whole) // 2])
    assert main(fit(file, out)) == 1
    assert "last.ckpt: it is damaged" in capsys.readouterr().err
    torch.save({"state_dict": {}, "callback": subprocess.Popen}, out / LAST)
    assert main(fit(file, out)) == 1
    assert "holds more than tensors and plain values" in capsys.readouterr().err
    torch.save([1, 2], out / LAST)
    with pytest.raises(CheckpointError, match="no state_dict"):
        SafeCheckpointIO().load_checkpoint(out / LAST)


# ---------------------------------------------------------------------------------------------------------------- disks
def test_a_disk_that_fills_during_a_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file, out = config(tmp_path), tmp_path / "run"
    genuine: Callable[[int], None] = os.fsync

    def failing(descriptor: int) -> None:
        if (out / LAST).exists():  # from the second epoch on
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        genuine(descriptor)

    monkeypatch.setattr(os, "fsync", failing)
    assert main(fit(file, out, "--report", str(tmp_path / "elsewhere.json"))) == 1
    error = capsys.readouterr().err
    assert "no space is left on the disk" in error
    assert "internal error" not in error
    assert list(out.rglob("*.partial*")) == []
    assert torch.load(out / LAST, weights_only=True)["global_step"] == 4  # the first epoch's is whole
    monkeypatch.undo()
    assert main(fit(file, out)) == 0  # there is space again
    assert main(fit(file, tmp_path / "through")) == 0
    assert (out / MODEL).read_bytes() == (tmp_path / "through" / MODEL).read_bytes()


def test_a_checkpoint_that_does_not_fit(tmp_path: Path) -> None:
    # A file-size limit of the process stands in for a full disk: the write itself fails half-way, inside torch's archive writer.
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))
    try:
        with pytest.raises(PolyscoreError, match=r"cannot write .*last.ckpt: .*larger than"):
            SafeCheckpointIO().save_checkpoint({"state_dict": {"w": torch.zeros(100_000)}}, tmp_path / "last.ckpt")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = config(tmp_path)
    (tmp_path / "file").write_text("mine")
    assert main(fit(file, tmp_path / "file" / "run")) == 1
    assert "cannot write" in capsys.readouterr().err
    mount = tmp_path / "small"
    mount.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16k,ro", "tmpfs", str(mount)], capture_output=True).returncode:
        pytest.skip("a file system can only be mounted by root")
    try:
        assert main(fit(file, mount / "run")) == 1
        assert "the file system is read-only" in capsys.readouterr().err
        subprocess.run(["mount", "-o", "remount,rw", str(mount)], check=True)
        assert main(fit(file, mount / "run")) == 1
        error = capsys.readouterr().err
        assert "no space is left on the disk" in error
        assert "internal error" not in error
        assert not (mount / "run" / LAST).exists()  # it never fitted, so it never had its name
    finally:
        subprocess.run(["umount", str(mount)], check=True)


# ---------------------------------------------------------------------------------------------------------- sudden ends
@pytest.fixture(scope="module")
def long_run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, bytes]:
    """A configuration with dropout and 30 epochs, and the model of an uninterrupted run."""
    folder = tmp_path_factory.mktemp("long")
    file = config(folder, ("dropout: 0.0", "dropout: 0.2"), ("max_epochs: 4", "max_epochs: 30"))
    assert main(fit(file, folder / "through")) == 0
    return file, (folder / "through" / MODEL).read_bytes()


@pytest.mark.parametrize(
    "number", [signal.SIGKILL, signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)], ids=lambda s: s.name
)
def test_a_run_that_is_stopped_goes_on_to_the_same_model(
    long_run: tuple[Path, bytes], tmp_path: Path, repository: Path, capsys: pytest.CaptureFixture[str], number: signal.Signals
) -> None:
    (file, expected), out, report = long_run, tmp_path / "run", tmp_path / "report.json"
    process = start(fit(file, out, "--report", str(report)), repository)
    wait_for(out / LAST, process)
    os.kill(process.pid, signal.SIGSTOP)  # it stays in the middle while another run tries the folder
    assert main(fit(file, out)) == 2
    assert "another process trains in this folder" in capsys.readouterr().err
    process.send_signal(number)
    process.send_signal(signal.SIGCONT)
    _, errors = process.communicate(timeout=300)
    steps = torch.load(out / LAST, weights_only=True)["global_step"]
    assert 0 < steps < 120, "the signal came too late to test anything"
    if (out / "model").exists():
        hub.load(out / "model", allow=("tests.core.training_parts",))
    if number == signal.SIGKILL:
        assert not report.exists()
    else:
        assert process.returncode == 130
        assert errors.endswith("polyscore fit: interrupted\n")
        content = json.loads(report.read_text())
        validate(content)
        assert content["items"][-1]["error"] == "interrupted"
    assert main(fit(file, out)) == 0  # the same command again
    assert (out / MODEL).read_bytes() == expected
