"""`polyscore enhance` interrupted, killed, short of disk or run twice at once: no half-written file, and a way to go on."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from polyscore import hub
from polyscore.cli.main import main
from polyscore.cli.report import validate
from polyscore.processes import OUVE

soundfile = pytest.importorskip("soundfile")
pytest.importorskip("soxr")

FILES = 12


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A saved diffusion enhancer, tiny and untrained."""
    from polyscore.audio import SpeechEnhancer
    from polyscore.audio.codec import SpectrogramCodec
    from polyscore.audio.denoiser import SpectrogramDenoiser
    from polyscore.audio.networks.ncsnpp import NCSNpp

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = NCSNpp(nf=4, ch_mult=(1, 1), num_res_blocks=1, attn_resolutions=(), init_scale=0.1)
    denoiser = SpectrogramDenoiser(network, OUVE(), predicts="score")
    enhancer = SpeechEnhancer(denoiser, codec=SpectrogramCodec(n_fft=62, hop=16), frame_multiple=4)
    return hub.save(tmp_path_factory.mktemp("models") / "tiny", enhancer)


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("in")
    for index in range(FILES):
        wave = 0.1 * torch.randn(3000, generator=torch.Generator().manual_seed(index))
        soundfile.write(folder / f"{index:02}.wav", wave.numpy(), 16000)
    return folder


@pytest.fixture(scope="module")
def expected(model: Path, recordings: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """What a run without trouble writes."""
    out = tmp_path_factory.mktemp("expected")
    assert main(words(model, recordings, out)) == 0
    return contents(out)


def words(model: Path, recordings: Path, out: Path, *more: str) -> list[str]:
    base = ["enhance", str(recordings), "-o", str(out), "--model", str(model), "--preset", "fast", "--device", "cpu", "--quiet"]
    return [*base, *more]


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if not path.name.startswith(".")}


def start(command: list[str], repository: Path) -> subprocess.Popen[str]:
    roots = os.pathsep.join(str(repository / part) for part in ("core", "domains", "apps"))
    environment = {**os.environ, "PYTHONPATH": roots, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "polyscore.cli.main", *command]
    return subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)


def wait_for_files(out: Path, count: int, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 120
    while process.poll() is None and time.monotonic() < deadline:
        if out.is_dir() and len(contents(out)) >= count:
            return
        time.sleep(0.002)
    pytest.fail(f"the run ended or hung before it wrote {count} files")


def test_a_run_that_is_interrupted_says_so_and_can_be_resumed(
    model: Path, recordings: Path, expected: dict[str, bytes], tmp_path: Path, repository: Path
) -> None:
    out, report = tmp_path / "out", tmp_path / "report.json"
    process = start(words(model, recordings, out, "--report", str(report)), repository)
    wait_for_files(out, 2, process)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    written = contents(out)
    assert 0 < len(written) < FILES, "the signal came too late to test anything"
    assert written.items() <= expected.items()  # every file that has its name is complete
    assert process.returncode == 130
    assert errors == "polyscore enhance: interrupted\n"
    assert len(list(out.iterdir())) == len(written)  # and nothing else is left
    content = json.loads(report.read_text())
    validate(content)
    assert content["items"][-1]["error"] == "interrupted"
    done = sum(item["status"] == "done" for item in content["items"])
    assert done in (len(written), len(written) - 1)  # the last may have been renamed in the moment of the signal
    assert main(words(model, recordings, out, "--skip-existing", "--report", str(report))) == 0
    assert contents(out) == expected
    status = [item["status"] for item in json.loads(report.read_text())["items"]]
    assert status.count("skipped") == len(written)
    assert status.count("done") == FILES - len(written)


def test_a_run_that_is_killed_at_random_moments_can_be_resumed(
    model: Path, recordings: Path, expected: dict[str, bytes], tmp_path: Path, repository: Path
) -> None:
    out, report, moments = tmp_path / "out", tmp_path / "report.json", random.Random(0)
    command = words(model, recordings, out, "--skip-existing", "--report", str(report))
    before: dict[str, int] = {}
    for kill in range(3):
        process = start(command, repository)
        wait_for_files(out, len(before) + 1, process)
        time.sleep(moments.uniform(0, 0.05))
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=60)
        assert process.returncode == -signal.SIGKILL, f"kill {kill} came too late to test anything"
        assert contents(out).items() <= expected.items()
        assert not report.exists()
        times = {name: (out / name).stat().st_mtime_ns for name in contents(out)}
        assert before.items() <= times.items()  # what was there was not made again
        before = times
    assert main(command) == 0
    assert contents(out) == expected
    assert all(path.name.startswith(".polyscore-") for path in out.iterdir() if path.name not in expected)


def test_two_runs_into_one_folder(
    model: Path, recordings: Path, expected: dict[str, bytes], tmp_path: Path, repository: Path
) -> None:
    process = start(words(model, recordings, tmp_path / "out"), repository)
    wait_for_files(tmp_path / "out", 1, process)
    assert main(words(model, recordings, tmp_path / "out")) == 0
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    assert contents(tmp_path / "out") == expected
    assert len(list((tmp_path / "out").iterdir())) == FILES


def test_a_disk_that_fills(
    model: Path, recordings: Path, expected: dict[str, bytes], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mount = tmp_path / "small"
    mount.mkdir()
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=32k", "tmpfs", str(mount)], capture_output=True)
    if made.returncode:
        pytest.skip("a file system can only be mounted by root")
    try:
        assert main(words(model, recordings, mount)) == 1
        errors = capsys.readouterr().err
        written = contents(mount)
        assert 0 < len(written) < FILES
        assert written.items() <= expected.items()
        assert len(list(mount.iterdir())) == len(written)
        assert errors.count("\n") == FILES - len(written)  # one sentence a file
        assert "internal error" not in errors
        assert "no space" in errors.lower()
    finally:
        subprocess.run(["umount", str(mount)], check=True)


def test_a_place_that_cannot_be_written(
    model: Path, recordings: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("mine")
    assert main(words(model, recordings, tmp_path / "file" / "out")) != 0
    assert "internal error" not in capsys.readouterr().err
    assert main(words(model, recordings, tmp_path / "out", "--report", str(tmp_path / "file" / "r.json"))) == 1
    assert "cannot write" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()  # said before the work, not after it
    assert (tmp_path / "file").read_text() == "mine"
