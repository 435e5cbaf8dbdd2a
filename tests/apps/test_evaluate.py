"""`polyscore evaluate speech`: pairing by name, scores against closed forms, and what is missing is said."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from polyscore.cli.main import main
from polyscore.cli.report import validate

soundfile = pytest.importorskip("soundfile")

RATE = 16000


def write(path: Path, wave: np.ndarray[Any, Any], rate: int = RATE) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, wave, rate, subtype="FLOAT")


def evaluate(tmp_path: Path, *words: str, code: int = 0) -> dict[str, Any]:
    folders = ["--clean", str(tmp_path / "clean"), "--enhanced", str(tmp_path / "enhanced")]
    report = tmp_path / "report.json"
    assert main(["evaluate", "speech", *folders, *words, "--report", str(report)]) == code
    content: dict[str, Any] = json.loads(report.read_text())
    validate(content)
    return content


@pytest.fixture
def pairs(tmp_path: Path) -> list[tuple[float, float]]:
    """Four clips; the error of each is orthogonal to the clean signal, so its SI-SDR is known. Noisy and enhanced, in dB."""
    rng = np.random.default_rng(0)
    levels = [(0.0, 6.0), (3.0, 8.0), (5.0, 4.0), (10.0, 15.0)]
    for index, (before, after) in enumerate(levels):
        clean, error = rng.standard_normal((2, RATE // 2))
        error -= (error @ clean) / (clean @ clean) * clean
        error *= np.linalg.norm(clean) / np.linalg.norm(error)
        name = f"sub/{index}.wav"
        write(tmp_path / "clean" / name, 0.1 * clean)
        write(tmp_path / "noisy" / name, 0.1 * (clean + 10 ** (-before / 20) * error))
        write(tmp_path / "enhanced" / name, 0.2 * (clean + 10 ** (-after / 20) * error))  # a gain changes nothing
    return levels


def test_scores_are_the_closed_form(tmp_path: Path, pairs: list[tuple[float, float]]) -> None:
    words = ("--noisy", str(tmp_path / "noisy"), "--metrics", "si_sdr", "lsd", "-o", str(tmp_path / "scores.csv"), "--quiet")
    report = evaluate(tmp_path, *words)
    for item, (before, after) in zip(report["items"], pairs, strict=True):
        assert item["si_sdr"] == pytest.approx(after, abs=1e-3)
        assert item["si_sdr_noisy"] == pytest.approx(before, abs=1e-3)
    gains = [after - before for before, after in pairs]
    metrics = report["metrics"]
    assert metrics["si_sdr_gain"]["mean"] == pytest.approx(np.mean(gains), abs=1e-3)
    assert metrics["si_sdr_gain"]["std"] == pytest.approx(np.std(gains, ddof=1), abs=1e-3)
    assert metrics["si_sdr_improved"]["share"] == 0.75
    assert metrics["si_sdr_improved"]["n"] == 4
    low, high = metrics["si_sdr_gain"]["ci95"]
    assert min(gains) <= low < np.mean(gains) < high <= max(gains) + 1e-3
    rows = list(csv.DictReader((tmp_path / "scores.csv").open()))
    assert [row["name"] for row in rows] == ["sub/0", "sub/1", "sub/2", "sub/3"]
    assert float(rows[1]["si_sdr"]) == pytest.approx(8.0, abs=1e-3)


def test_a_lower_distance_is_an_improvement(tmp_path: Path, pairs: list[tuple[float, float]]) -> None:
    for index, _ in enumerate(pairs):
        wave, _ = soundfile.read(tmp_path / f"clean/sub/{index}.wav")
        write(tmp_path / f"enhanced/sub/{index}.wav", 10 ** (1 / 20) * wave)  # a gain of 1 dB is a distance of 1 dB
    report = evaluate(tmp_path, "--noisy", str(tmp_path / "noisy"), "--metrics", "lsd", "--quiet")
    assert report["metrics"]["lsd"]["mean"] == pytest.approx(1.0, abs=1e-3)
    assert report["metrics"]["lsd_improved"]["share"] == 1.0


def test_the_table_shows_the_interval(
    tmp_path: Path, pairs: list[tuple[float, float]], capsys: pytest.CaptureFixture[str]
) -> None:
    evaluate(tmp_path, "--metrics", "si_sdr")
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split("  ")[0] == "SCORE"
    assert lines[1].split()[0] == "si_sdr"
    assert " .. " in lines[1]


def test_what_a_killed_run_left_behind_is_no_recording(tmp_path: Path, pairs: list[tuple[float, float]]) -> None:
    (tmp_path / "enhanced/sub/.polyscore-1-ab.partial.wav").write_bytes(b"half")
    assert len(evaluate(tmp_path, "--metrics", "si_sdr", "--quiet")["items"]) == 4


def test_missing_partners_are_named_and_the_others_done(
    tmp_path: Path, pairs: list[tuple[float, float]], capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "enhanced/sub/1.wav").unlink()
    (tmp_path / "clean/sub/2.wav").unlink()
    report = evaluate(tmp_path, "--metrics", "si_sdr", "--quiet", code=1)
    assert [item["status"] for item in report["items"]] == ["done", "failed", "failed", "done"]
    errors = capsys.readouterr().err.splitlines()
    assert "sub/1: has no file of that name in --enhanced" in errors[0]
    assert "sub/2: has no file of that name in --clean" in errors[1]
    assert report["metrics"]["si_sdr"]["n"] == 2


def test_files_that_do_not_match_are_named(
    tmp_path: Path, pairs: list[tuple[float, float]], capsys: pytest.CaptureFixture[str]
) -> None:
    wave, _ = soundfile.read(tmp_path / "enhanced/sub/0.wav")
    write(tmp_path / "enhanced/sub/0.wav", wave[:-5])
    write(tmp_path / "enhanced/sub/1.wav", wave, 8000)
    (tmp_path / "enhanced/sub/2.wav").write_bytes(b"RIFF, not really")
    write(tmp_path / "clean/sub/3.wav", 0 * wave)
    report = evaluate(tmp_path, "--metrics", "si_sdr", "--quiet", code=1)
    errors = capsys.readouterr().err
    for words in (
        "7995 samples, 1 channels at 16000 Hz; expected those of",
        "at 8000 Hz",
        "cannot be read as audio",
        "is silent",
    ):
        assert words in errors
    assert report["metrics"] == {}
    assert "internal error" not in errors


def test_undefined_scores_are_null_and_do_not_count(tmp_path: Path) -> None:
    pytest.importorskip("pystoi")
    wave = np.random.default_rng(1).standard_normal(2000)  # 0.125 s: too short for STOI
    write(tmp_path / "clean/a.wav", 0.1 * wave)
    write(tmp_path / "enhanced/a.wav", 0.1 * wave)
    report = evaluate(tmp_path, "--metrics", "estoi", "--quiet")
    assert report["items"][0]["estoi"] is None
    assert report["metrics"]["estoi"] == {"mean": None, "std": None, "n": 0, "ci95": None}


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda root: None, "is no folder"),
        (lambda root: (root / "clean").mkdir(), "holds no audio files"),
    ],
)
def test_folders_that_are_none_are_wrong_usage(tmp_path: Path, capsys: pytest.CaptureFixture[str], make: Any, words: str) -> None:
    make(tmp_path)
    report = evaluate(tmp_path, code=2)
    assert words in capsys.readouterr().err
    assert report["items"][-1]["status"] == "failed"


def test_two_files_of_one_name_are_wrong_usage(
    tmp_path: Path, pairs: list[tuple[float, float]], capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "clean/sub/0.flac").write_bytes(b"")
    evaluate(tmp_path, code=2)
    assert "have one name" in capsys.readouterr().err


def test_all_scores_of_the_demo_recording(tmp_path: Path) -> None:
    from importlib import resources

    pytest.importorskip("pystoi")
    data = resources.files("polyscore.demo_data")
    for folder, name in (("clean", "clean.flac"), ("enhanced", "noisy.flac")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "a.flac").write_bytes((data / name).read_bytes())
    metrics = evaluate(tmp_path, "--quiet")["metrics"]
    assert metrics["si_sdr"]["mean"] == pytest.approx(3.0, abs=0.01)  # what its README says
    assert metrics["estoi"]["mean"] < metrics["stoi"]["mean"] < 1
    assert all(value["n"] == 1 and value["mean"] is not None and math.isfinite(value["mean"]) for value in metrics.values())
