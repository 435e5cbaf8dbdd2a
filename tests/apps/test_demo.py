"""`polyscore demo`: every part in one folder, measured; a part that fails does not stop the others."""

from __future__ import annotations

import argparse
import json
import shutil
from collections.abc import Callable
from importlib import resources
from pathlib import Path
from typing import Any

import pytest

from polyscore.cli import demo as demo_verb
from polyscore.cli import demo_robots, enhance, molecules
from polyscore.cli.main import main
from polyscore.cli.report import Report, validate
from polyscore.errors import CheckpointError
from polyscore.hub import save

soundfile = pytest.importorskip("soundfile")
pytest.importorskip("matplotlib")

PNG = b"\x89PNG\r\n\x1a\n"
CLEAN = resources.files("polyscore.demo_data") / "clean.flac"


def demo(folder: Path, *words: str, code: int = 0) -> dict[str, Any]:
    report = folder / "report.json"
    assert main(["demo", *words, "-o", str(folder / "out"), "--report", str(report)]) == code
    content: dict[str, Any] = json.loads(report.read_text())
    validate(content)
    assert content["command"] == "demo"
    return content


def fake_enhance(monkeypatch: pytest.MonkeyPatch, work: Callable[[argparse.Namespace], None]) -> None:
    """Put a verb `enhance` in place whose work is `work`."""

    def run(args: argparse.Namespace) -> int:
        with Report("enhance", args) as report:
            report.nfe = 7
            with report.item(args.inputs[0], args.out) as item:
                item["sample_rate"] = 16000
                work(args)
        return report.exit_code

    monkeypatch.setattr(enhance, "run", run)


def perfect(args: argparse.Namespace) -> None:
    wave, rate = soundfile.read(CLEAN)
    soundfile.write(args.out, wave, rate, subtype="FLOAT")


def failing(args: argparse.Namespace) -> None:
    raise CheckpointError("there is no model 'speech-16k'")


def page(args: argparse.Namespace) -> int:
    """In place of the verb `molecules`: a page and a report, and a folder as the parts are."""
    with Report("molecules", args) as report:
        (args.out / "shards").mkdir(parents=True)
        (args.out / "report.html").write_text(f"{args.model} {args.count} {args.seed}")
        report.metrics = {"molecules": args.count}
    return report.exit_code


@pytest.fixture
def digits(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained model of that name, shipped by a domain that exists for this test alone; no molecules and no robot."""
    import polyscore
    from polyscore.denoisers import Precondition
    from polyscore.images import ImageGenerator, UNet
    from polyscore.processes import Cosine

    root = tmp_path_factory.mktemp("root")
    monkeypatch.setattr(molecules, "run", page)
    monkeypatch.setattr(demo_verb, "PARTS", [part for part in demo_verb.PARTS if part is not demo_robots.run])
    model = ImageGenerator(Precondition(UNet(1, 8, classes=10), Cosine(), predicts="v"), (1, 8, 8), classes=10)
    monkeypatch.setattr(polyscore, "__path__", [*polyscore.__path__, str(root)])
    return save(root / "a-toy" / "models" / "digits", model)  # before `images`, so it is the one found


def test_the_parts_lie_in_one_folder_and_are_measured(
    tmp_path: Path, digits: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fake_enhance(monkeypatch, perfect)
    for _ in range(2):  # a second run replaces the files of the first
        report = demo(tmp_path, "--seed", "5")
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {"noisy.wav", "enhanced.wav", "spectrograms.png", "digits.png", "molecules"}
    assert (tmp_path / "out" / "molecules" / "report.html").read_text() == "qm9 24 5"
    assert {path.name for path in (tmp_path / "out" / "molecules").iterdir()} == {"report.html", "report.json"}
    for name in ("spectrograms.png", "digits.png"):
        assert (tmp_path / "out" / name).read_bytes()[:8] == PNG
    outputs = ["enhanced.wav", "spectrograms.png", "digits.png", "report.html"]
    assert [Path(item["output"]).name for item in report["items"]] == outputs
    assert report["items"][0]["sample_rate"] == 16000
    assert (report["nfe"], report["seed"], report["model"]) == (7, 5, "speech-16k")
    assert report["metrics"]["si_sdr_noisy"] == pytest.approx(3.0, abs=0.01)
    assert report["metrics"]["si_sdr"] > 50
    text = capsys.readouterr().out
    for name in sorted(names - {"noisy.wav"}):
        assert str(tmp_path / "out" / name) in text
    assert "$ polyscore enhance" in text
    assert "SI-SDR of the recording: 3.0 dB noisy" in text


def test_the_digits_are_those_of_the_command_it_shows(
    tmp_path: Path, digits: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fake_enhance(monkeypatch, perfect)
    demo(tmp_path, "--seed", "5")
    shown = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("$ polyscore sample"))
    words = shown.removeprefix("$ polyscore ").split()
    assert main([*words[:-1], str(tmp_path / "again"), "--quiet"]) == 0
    assert (tmp_path / "again" / "grid.png").read_bytes() == (tmp_path / "out" / "digits.png").read_bytes()


def test_a_part_that_fails_is_said_and_the_others_are_done(
    tmp_path: Path, digits: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fake_enhance(monkeypatch, failing)
    report = demo(tmp_path, code=1)
    assert [item["status"] for item in report["items"]] == ["failed", "done", "done"]
    assert report["metrics"] == {}
    fake_enhance(monkeypatch, perfect)
    (digits / "config.json").write_text("{")
    report = demo(tmp_path, code=1)
    assert [item["status"] for item in report["items"]] == ["done", "done", "failed", "done"]
    errors = capsys.readouterr().err
    assert "there is no model 'speech-16k'" in errors
    assert "config.json cannot be read" in errors


def test_a_recording_of_the_user(tmp_path: Path, digits: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []

    def copy(args: argparse.Namespace) -> None:
        seen.extend(args.inputs)
        args.out.parent.mkdir(exist_ok=True)
        shutil.copy(args.inputs[0], args.out)

    with resources.as_file(CLEAN) as clean:
        shutil.copy(clean, tmp_path / "my voice.flac")
    fake_enhance(monkeypatch, copy)
    report = demo(tmp_path, str(tmp_path / "my voice.flac"), "--quiet")
    assert seen == [str(tmp_path / "my voice.flac")]
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "enhanced.flac",
        "spectrograms.png",
        "digits.png",
        "molecules",
    }
    assert report["metrics"] == {}


def test_a_recording_that_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", str(tmp_path / "none.wav"), "-o", str(tmp_path / "out")]) == 2
    assert "none.wav: no such file" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_the_recording_that_ships() -> None:
    noisy, rate = soundfile.read(resources.files("polyscore.demo_data") / "noisy.flac")
    clean, _ = soundfile.read(CLEAN)
    assert rate == 16000
    assert len(noisy) == len(clean)
    ratio = (clean**2).sum() / ((noisy - clean) ** 2).sum()
    assert ratio == pytest.approx(10**0.3, rel=1e-3)


def test_the_real_thing(tmp_path: Path) -> None:
    pytest.importorskip("rdkit")
    report = demo(tmp_path, "--quiet")
    assert all(item["status"] == "done" for item in report["items"])
    assert (tmp_path / "out" / "digits.png").read_bytes()[:8] == PNG
    assert report["metrics"]["si_sdr"] > report["metrics"]["si_sdr_noisy"] + 3.0
    assert report["items"][-1]["count"] == 24
    assert {path.name for path in (tmp_path / "out" / "molecules").iterdir()} == {
        *(f"molecules.{kind}" for kind in ("csv", "smi", "sdf")), "grid.png", "trajectory.gif", "report.html", "report.json"
    }  # fmt: skip
