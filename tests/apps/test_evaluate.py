"""`polyscore evaluate speech`: pairing by name, scores against closed forms, and what is missing is said."""

from __future__ import annotations

import csv
import json
import math
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from polyscore.cli.evaluate_speech import METRICS
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
    evaluate(tmp_path, "--metrics", "si_sdr", "lsd", "--noisy", str(tmp_path / "noisy"))
    head, first, second = capsys.readouterr().out.splitlines()
    assert head.split("  ")[0] == "SCORE"
    assert "GAIN" in head
    assert first.split()[0] == "si_sdr"
    assert {"3.750", "75%", "dB"} <= set(first.split())  # gains of 6, 5, -1 and 5 dB
    assert second.split()[0] == "lsd"


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
    for index in (4, 5):
        write(tmp_path / f"clean/sub/{index}.wav", wave)
    write(tmp_path / "enhanced/sub/0.wav", wave[:-2000])
    write(tmp_path / "clean/sub/1.wav", np.stack([wave] * 3, axis=1))
    write(tmp_path / "enhanced/sub/1.wav", np.stack([wave] * 2, axis=1))
    (tmp_path / "enhanced/sub/2.wav").write_bytes(b"RIFF, not really")
    write(tmp_path / "clean/sub/3.wav", 0 * wave)
    write(tmp_path / "enhanced/sub/4.wav", np.where(np.arange(len(wave)) == 7, np.nan, wave))
    (tmp_path / "enhanced/sub/5.wav").write_bytes(b"")
    report = evaluate(tmp_path, "--metrics", "si_sdr", "--quiet", code=1)
    errors = capsys.readouterr().err.splitlines()
    for error, (name, words) in zip(
        errors,
        (
            ("0.wav", "lengths differ: clean 0.50 s, enhanced 0.38 s; expected one recording"),
            ("1.wav", "channels differ: clean 3, enhanced 2; expected equal numbers, or one"),
            ("2.wav", "cannot be read as audio"),
            ("3.wav", "is silent; no score is defined"),
            ("4.wav", "1 of 8000 samples are NaN or infinite; no score is defined"),
            ("5.wav", "cannot be read as audio"),
        ),
        strict=True,
    ):
        assert name in error
        assert words in error
        assert "internal error" not in error
    assert report["metrics"] == {}


def test_files_of_one_recording_are_brought_together(tmp_path: Path) -> None:
    """Other rates, a few samples less, two channels against one: each with the score it has anyway."""
    rng = np.random.default_rng(0)
    clean, error = rng.standard_normal((2, RATE))
    time = np.arange(3 * RATE) / (3 * RATE)
    tones = [0.1 * np.sin(2 * np.pi * f * time) for f in (440.0, 1000.0)]
    write(tmp_path / "clean/rate.wav", tones[0], 3 * RATE)
    write(tmp_path / "enhanced/rate.wav", (tones[0] + 0.1 * tones[1])[::3])  # orthogonal, 20 dB less, at 16 kHz
    error -= (error @ clean) / (clean @ clean) * clean
    error *= np.linalg.norm(clean) / np.linalg.norm(error)
    write(tmp_path / "clean/channels.wav", 0.1 * clean)
    write(tmp_path / "enhanced/channels.wav", 0.1 * np.stack([clean + 0.1 * error, clean + 0.01 * error], axis=1))
    write(tmp_path / "clean/length.wav", 0.1 * clean)
    write(tmp_path / "enhanced/length.wav", 0.1 * (clean + 0.1 * error)[:-1000])
    report = evaluate(tmp_path, "--metrics", "si_sdr", "--quiet")
    items = {item["name"]: item for item in report["items"]}
    assert items["rate"]["si_sdr"] == pytest.approx(20.0, abs=0.05)
    assert items["rate"]["sample_rate"] == RATE
    assert items["channels"]["si_sdr"] == pytest.approx(30.0, abs=1e-3)
    assert items["channels"]["channels"] == 2
    assert items["length"]["si_sdr"] == pytest.approx(20.0, abs=0.3)
    assert items["length"]["cut_seconds"] == pytest.approx(1000 / RATE)
    assert "cut_seconds" not in items["channels"]


def test_the_noise_is_split_off(tmp_path: Path) -> None:
    basis = np.linalg.qr(np.random.default_rng(0).standard_normal((RATE, 3)))[0].T
    write(tmp_path / "clean/a.wav", basis[0])
    write(tmp_path / "noisy/a.wav", basis[0] + basis[1])
    write(tmp_path / "enhanced/a.wav", 2 * basis[0] + 0.2 * basis[1] + 0.02 * basis[2])
    words = ("--noisy", str(tmp_path / "noisy"), "--metrics", "si_sdr", "si_sir", "si_sar", "--quiet")
    metrics = evaluate(tmp_path, *words)["metrics"]
    assert metrics["si_sdr"]["mean"] == pytest.approx(-10 * math.log10(0.01 + 0.0001), abs=1e-3)
    assert metrics["si_sir"]["mean"] == pytest.approx(20, abs=1e-3)
    assert metrics["si_sar"]["mean"] == pytest.approx(40, abs=1e-2)
    assert not {"si_sir_noisy", "si_sar_noisy"} & set(metrics)  # of the noisy file they say nothing


def test_silence_has_no_ratio(tmp_path: Path) -> None:
    wave = np.random.default_rng(1).standard_normal(2000)
    write(tmp_path / "clean/a.wav", 0.1 * wave)
    write(tmp_path / "enhanced/a.wav", 0 * wave)
    report = evaluate(tmp_path, "--metrics", "si_sdr", "lsd", "--quiet")
    assert report["items"][0]["si_sdr"] is None
    assert report["items"][0]["lsd"] > 50


def test_several_processes_give_the_same_scores(tmp_path: Path, pairs: list[tuple[float, float]]) -> None:
    (tmp_path / "enhanced/sub/2.wav").write_bytes(b"RIFF, not really")
    alone, together = (
        evaluate(tmp_path, "--noisy", str(tmp_path / "noisy"), "--metrics", "si_sdr", "--quiet", *words, code=1)
        for words in ((), ("--jobs", "2"))
    )
    assert together["metrics"] == alone["metrics"]
    for one, other in zip(alone["items"], together["items"], strict=True):
        assert {**one, "seconds": 0} == {**other, "seconds": 0}


def test_dnsmos_needs_no_reference(tmp_path: Path, reference: Path) -> None:
    pytest.importorskip("onnxruntime")
    (tmp_path / "enhanced").mkdir()
    (tmp_path / "enhanced/real.wav").write_bytes((reference / "audio/real/00000_-1.9dB.wav").read_bytes())
    models = [str(reference / "audio/dnsmos" / name) for name in ("sig_bak_ovr.onnx", "model_v8.onnx")]
    report = tmp_path / "report.json"
    words = ["--enhanced", str(tmp_path / "enhanced"), "--dnsmos", *models, "--report", str(report), "--quiet"]
    assert main(["evaluate", "speech", *words]) == 0
    metrics = json.loads(report.read_text())["metrics"]
    assert {name: round(value["mean"], 3) for name, value in metrics.items()} == {
        "dnsmos_sig": 1.264,
        "dnsmos_bak": 1.179,
        "dnsmos_ovrl": 1.14,
        "dnsmos_p808": 2.393,
    }


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--metrics", "si_sdr"], "--clean: expected the folder of the clean references"),
        ([], "only the scores of --dnsmos need none"),
        (["--clean", "clean", "--metrics", "si_sar"], "--metrics si_sar: needs the noisy files; give --noisy DIR"),
        (["--dnsmos", "none.onnx"], "none.onnx does not exist; expected sig_bak_ovr.onnx or model_v8.onnx"),
    ],
)
def test_what_a_score_needs_is_asked_for(
    tmp_path: Path, words: list[str], message: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("onnxruntime")
    monkeypatch.chdir(tmp_path)
    assert main(["evaluate", "speech", "--enhanced", "enhanced", *words]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("absent", "words", "message"),
    [
        ("pesq", ["--metrics", "pesq"], "the score pesq needs the package pesq: pip install pesq"),
        ("onnxruntime", ["--dnsmos", "any.onnx"], "DNSMOS needs onnxruntime: pip install 'polyscore[dnsmos]'"),
    ],
)
def test_a_missing_package_is_named(
    tmp_path: Path,
    pairs: list[tuple[float, float]],
    absent: str,
    words: list[str],
    message: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import importlib
    import importlib.util

    find, load = importlib.util.find_spec, importlib.import_module
    monkeypatch.setattr("polyscore.audio.metrics.scores.find_spec", lambda name: None if name == absent else find(name))

    def importing(name: str, package: str | None = None) -> Any:
        if name == absent:
            raise ImportError(name)
        return load(name, package)

    monkeypatch.setattr("polyscore.audio.metrics.dnsmos.import_module", importing)
    evaluate(tmp_path, *words, code=1)
    assert message in capsys.readouterr().err


def test_a_folder_that_may_not_be_read_is_named(
    tmp_path: Path, pairs: list[tuple[float, float]], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: "enhanced" not in str(path))  # root may read everything
    evaluate(tmp_path, "--metrics", "si_sdr", code=2)
    assert "enhanced: no permission to read it" in capsys.readouterr().err


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


def test_the_names_are_those_of_the_library() -> None:
    from polyscore.audio.metrics.scores import NAMES

    assert METRICS == NAMES  # written twice, so that `--help` loads nothing


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
