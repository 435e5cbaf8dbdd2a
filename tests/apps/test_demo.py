"""`polyscore demo`: the commands of its parts, what was measured, and one page; a part that fails does not stop the others."""

from __future__ import annotations

import argparse
import json
import re
import shlex
import types
from importlib import resources
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np
import pytest

from polyscore.cli import demo as demo_verb
from polyscore.cli import demo_figures, demo_inputs
from polyscore.cli import main as entry
from polyscore.cli.demo_parts import PARTS, RECORDING, TRAINED
from polyscore.cli.main import main
from polyscore.cli.report import Report, validate
from polyscore.errors import MissingExtraError, PolyscoreError

soundfile = pytest.importorskip("soundfile")
pytest.importorskip("matplotlib")

SHARE = {"share": 0.75, "n": 4, "ci95": [0.3, 0.95]}
MEAN = {"mean": 14.6, "std": 1.0, "n": 16, "ci95": [14.0, 15.0]}
METRICS: dict[str, dict[str, Any]] = {
    "molecules": {"validity_without_correction": SHARE, "uniqueness": SHARE},
    "graphs": {"nodes": MEAN, "edges": MEAN, "unique": SHARE},
    "animate": {"path": {"velocity_error": 0.25}},
    "points": {"clouds": 4, "points": 1024},
    "rollout": {"full_success": SHARE},
}
ITEMS: dict[str, dict[str, Any]] = {
    "enhance": {"audio_seconds": 5.34},
    "compose": {"new_notes": 182, "music_seconds": 24.0},
    "register": {"confidence": 1.0},
    "shape": {"watertight": True, "bodies": 1, "faces": 9000},
}
SENTENCES = (
    "SI-SDR 3.0 dB before", "1 images", "75 % of them valid", "graphs, on average 15 nodes", "182 notes", "0.25 pixels a frame",
    "off the true pose by 0.00 degrees", "4 clouds of 1024 points", "3 of 4 episodes", "closed, 1 body, 9000 triangles",
)  # fmt: skip
FILES = {part.commands[-1].split()[0]: part.shown for part in PARTS}


class Verbs:
    """In place of the verbs' work: files and a report, behind the verbs' own arguments."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.seen: list[list[str]] = []
        self.errors: dict[str, Exception] = {}
        real = entry.load

        def load(name: str) -> Any:
            if name == "demo":
                return real(name)
            verb = real(name)
            passes_on = {"PASSES_ON": True} if getattr(verb, "PASSES_ON", False) else {}
            return types.SimpleNamespace(
                HELP=verb.HELP, add_arguments=verb.add_arguments, run=lambda args: self._run(name, args), **passes_on
            )

        parse = entry.parse

        def listening(name: str, verb: entry.Verb, words: list[str]) -> argparse.Namespace:
            self.seen.append([name, *words])
            return parse(name, verb, words)

        monkeypatch.setattr(entry, "load", load)
        monkeypatch.setattr(entry, "parse", listening)
        monkeypatch.setattr(demo_verb, "find_spec", lambda name: object())

    def _run(self, name: str, args: argparse.Namespace) -> int:
        if name in ("data", "fit"):
            return 0
        source = args.inputs[0] if name == "enhance" else None
        with Report(name, args) as report, report.item(source, args.out) as item:
            if name in self.errors:
                raise self.errors[name]
            (args.out.parent if args.out.suffix else args.out).mkdir(parents=True, exist_ok=True)
            for shown in FILES[name]:
                if "{input}" not in shown and "spectrograms" not in shown:
                    self._write(Path(shown.format(dir=args.out.parent if args.out.suffix else args.out, suffix=args.out.suffix)))
            item.update(ITEMS.get(name, {}))
            if name == "register":
                item["matrix"] = json.loads((args.out / demo_inputs.TRUTH).read_text())["matrix"]
            report.nfe, report.metrics = 7, METRICS.get(name, {})
        return report.exit_code

    @staticmethod
    def _write(path: Path) -> None:
        if path.suffix == ".wav" and path.stem == "clean":  # the speech itself
            wave, rate = soundfile.read(resources.files("polyscore.demo_data") / "clean.flac")
            soundfile.write(path, wave, rate, subtype="FLOAT")
        else:
            path.write_bytes(path.name.encode())


@pytest.fixture
def verbs(monkeypatch: pytest.MonkeyPatch) -> Verbs:
    return Verbs(monkeypatch)


def demo(folder: Path, *words: str, code: int = 0) -> dict[str, Any]:
    assert main(["demo", *words, "-o", str(folder / "out")]) == code
    content: dict[str, Any] = json.loads((folder / "out" / "report.json").read_text())
    validate(content)
    assert content["command"] == "demo"
    return content


def page_of(folder: Path) -> str:
    return (folder / "out" / "index.html").read_text(encoding="utf-8")


def test_every_part_is_on_one_page(tmp_path: Path, verbs: Verbs, capsys: pytest.CaptureFixture[str]) -> None:
    report = demo(tmp_path, "--seed", "5")
    assert [item["input"] for item in report["items"]] == [part.name for part in PARTS]
    assert {item["status"] for item in report["items"]} == {"done"}
    page, shown = page_of(tmp_path), capsys.readouterr().out
    for part, item, sentence in zip(PARTS, report["items"], SENTENCES, strict=True):
        assert sentence in item["figure"]
        assert part.title in page and item["figure"] in page
        for command in item["commands"]:
            assert command.endswith("--seed 5")
            assert f"$ {command}" in shown
            assert command.replace("'", "&#x27;") in page
    assert page.count("src='data:") == sum(len(part.shown) for part in PARTS)
    assert re.findall(r"(?:src|href)='(?!data:|#)[^']*:", page) == []  # nothing comes from elsewhere
    links = [unquote(link) for link in re.findall(r"href='([^'#]+)'", page)]
    assert links and all((tmp_path / "out" / link).is_file() for link in links)
    assert report["metrics"]["speech"]["si_sdr_noisy"] == pytest.approx(3.0, abs=0.01)
    assert report["metrics"]["speech"]["si_sdr"] > 50
    assert f"10 of 10 parts: {tmp_path / 'out' / 'index.html'}" in shown


def test_a_second_run_does_not_go_on_with_the_first(tmp_path: Path, verbs: Verbs) -> None:
    for folder in ("images", "molecules"):
        shards = tmp_path / "out" / folder / "shards"
        shards.mkdir(parents=True)
        (shards / "kept").write_text("a folder of somebody's own")
    (tmp_path / "out" / "images" / "shards" / "shards.json").write_text("{}")
    demo(tmp_path, "--only", "images,molecules", "--quiet")
    assert not (tmp_path / "out" / "images" / "shards").exists()
    assert (tmp_path / "out" / "molecules" / "shards" / "kept").exists()


def test_a_part_that_fails_is_said_at_the_end_and_the_others_are_done(
    tmp_path: Path, verbs: Verbs, capsys: pytest.CaptureFixture[str]
) -> None:
    verbs.errors = {"graphs": PolyscoreError("the <model> is damaged"), "points": KeyError("x")}
    report = demo(tmp_path, code=1)
    assert [item["input"] for item in report["items"] if item["status"] == "failed"] == ["graphs", "points"]
    last = capsys.readouterr().out.split("8 of 10 parts")[1]
    assert "graphs was failed: `polyscore graphs` failed: the <model> is damaged" in last
    assert "failed: the &lt;model&gt; is damaged" in page_of(tmp_path)
    assert report["metrics"]["graphs"] == {}


def test_a_part_without_its_packages_is_skipped_with_the_command(
    tmp_path: Path, verbs: Verbs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(demo_verb, "find_spec", lambda name: None if name in ("mido", "mujoco", "gymnasium") else object())
    report = demo(tmp_path, "--only", "music,robots,images")
    assert [(item["input"], item["status"], item["error"]) for item in report["items"]] == [
        ("images", "done", None),
        ("music", "skipped", "needs mido: pip install 'polyscore[music]'"),
        ("robots", "skipped", "needs mujoco and gymnasium: pip install 'polyscore[robots]'"),
    ]
    assert "polyscore[music]" in page_of(tmp_path)

    def missing(args: argparse.Namespace) -> int:
        raise MissingExtraError("pip install 'polyscore[x]'")

    monkeypatch.setattr(verbs, "_run", lambda name, args: missing(args))
    assert [item["error"] for item in demo(tmp_path, "--only", "images")["items"]] == ["pip install 'polyscore[x]'"]


def test_a_recording_of_the_user(tmp_path: Path, verbs: Verbs) -> None:
    path = tmp_path / "my voice.wav"
    wave, rate = soundfile.read(resources.files("polyscore.demo_data") / "noisy.flac")
    soundfile.write(path, wave, rate)
    report = demo(tmp_path, str(path), "--only", "speech", "--quiet")
    [item] = report["items"]
    assert shlex.split(item["commands"][0])[2:5] == [str(path), "-o", str(tmp_path / "out" / "speech" / "clean.wav")]
    assert item["figure"].startswith("5.3 s of sound in ")
    assert not (tmp_path / "out" / "speech" / "noisy.wav").exists()
    assert page_of(tmp_path).count("<audio") == 2
    assert RECORDING.commands == PARTS[0].commands


def test_what_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", str(tmp_path / "none.wav"), "-o", str(tmp_path / "out")]) == 2
    assert "none.wav: no such file" in capsys.readouterr().err
    assert main(["demo", "--only", "speech,music,poems", "-o", str(tmp_path / "out")]) == 2
    assert "'poems' is no part; expected some of speech, images" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_policy_is_trained_first_where_that_is_asked(tmp_path: Path, verbs: Verbs) -> None:
    demo(tmp_path, "--train-robot", "--only", "robots", "--seed", "3")
    ran = [words for words in verbs.seen if words[0] != "demo"]
    assert [words[0] for words in ran] == ["data", "fit", "rollout"]
    recorded = ran[0][ran[0].index("-o") + 1]
    assert recorded == ran[1][ran[1].index("--data.init_args.path") + 1]
    assert ran[0][ran[0].index("--seed") + 1] == "100000"  # far from the episodes of the rollout
    assert ran[2][ran[2].index("--model") + 1] == str(Path(ran[1][ran[1].index("--out") + 1]) / "model")
    assert TRAINED.shown == next(part for part in PARTS if part.name == "robots").shown


def test_the_scan_is_a_part_of_the_object_in_another_pose(tmp_path: Path) -> None:
    pytest.importorskip("trimesh")
    from scipy.spatial import cKDTree

    from polyscore.shapes.data.cloud_files import read_cloud

    demo_inputs.scan(tmp_path)
    scan, whole = (read_cloud(tmp_path / f"{name}.ply").points for name in ("scan", "object"))
    pose = np.array(json.loads((tmp_path / demo_inputs.TRUTH).read_text())["matrix"])
    size = float(np.ptp(whole, axis=0).max())
    laid, as_it_is = (cKDTree(whole).query(points)[0].mean() / size for points in (scan @ pose[:3, :3].T + pose[:3, 3], scan))
    assert laid < 0.02
    assert as_it_is > 0.1
    turned = pose.copy()
    turned[:3, :3] = turned[:3, :3] @ [[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]
    report = {"items": [{"matrix": turned.tolist(), "confidence": 0.5}]}
    _, found = demo_figures.registration(demo_figures.Made(tmp_path, report))
    assert found["degrees"] == pytest.approx(90.0, abs=1e-3)


def test_the_scene_drags_the_whole_digit_and_keeps_it_in_the_picture(tmp_path: Path) -> None:
    pytest.importorskip("yaml")
    from polyscore.video.scene import load_scene

    demo_inputs.scene(tmp_path)
    scene = load_scene(tmp_path / "scene.yaml")
    assert scene.image is not None and scene.frames == 8
    rows, columns = np.nonzero((scene.image.amax(0) > 0.5).numpy())
    assert rows.min() > 21 and rows.max() < 82 and columns.min() > 3 and columns.max() < 57  # inside the polygon
    assert rows.min() > 14 and columns.max() + 36 < 96  # the highest and the last key frame
    x, y = scene.flow.forward[0][:, rows, columns].mean(1).tolist()
    assert x > 1 and y < -1  # to the right and up, y pointing down


def test_the_recording_that_ships() -> None:
    noisy, rate = soundfile.read(resources.files("polyscore.demo_data") / "noisy.flac")
    clean, _ = soundfile.read(resources.files("polyscore.demo_data") / "clean.flac")
    assert rate == 16000
    assert len(noisy) == len(clean)
    ratio = (clean**2).sum() / ((noisy - clean) ** 2).sum()
    assert ratio == pytest.approx(10**0.3, rel=1e-3)


def test_the_command_that_is_shown_makes_the_same_again(tmp_path: Path) -> None:
    report = demo(tmp_path, "--only", "speech,images", "--seed", "3", "--quiet")
    assert report["metrics"]["speech"]["si_sdr"] > report["metrics"]["speech"]["si_sdr_noisy"] + 3.0
    picture = tmp_path / "out" / "images" / "grid.png"
    first = picture.read_bytes()
    picture.unlink()
    assert main([*shlex.split(report["items"][1]["commands"][0])[1:], "--quiet"]) == 0
    assert picture.read_bytes() == first


@pytest.mark.slow
def test_the_real_thing(tmp_path: Path) -> None:
    for package in {name for part in PARTS for name in part.needs}:
        pytest.importorskip(package)
    report = demo(tmp_path, "--quiet")
    assert {item["status"] for item in report["items"]} == {"done"}
    metrics = report["metrics"]
    assert metrics["speech"]["si_sdr"] > metrics["speech"]["si_sdr_noisy"] + 6.0
    assert metrics["molecules"]["validity_without_correction"]["share"] > 0.8
    assert metrics["registration"]["degrees"] < 5.0
    assert metrics["video"]["velocity_error"] < 1.0
    assert metrics["shapes"]["watertight"]
    assert report["cpu_seconds"] < 300
    assert (tmp_path / "out" / "index.html").stat().st_size < 16 << 20
