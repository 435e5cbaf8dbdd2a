"""`polyscore evaluate video`: scores of clips of known motion, tables, and what is missing is said."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from polyscore.cli.evaluate_video import SCORES
from polyscore.cli.main import main
from polyscore.cli.report import validate
from polyscore.films import write_film
from polyscore.video.families import FAMILIES
from polyscore.video.latents import latent_noise
from polyscore.video.motion import field
from polyscore.video.motion.files import write_flow
from polyscore.video.noise_files import write_noise

pytest.importorskip("av")


def clip(path: Path, speed: int, seed: int = 0) -> None:
    """A texture that goes `speed` pixels to the right in every one of 5 frames of 48 x 64."""
    noise = torch.randn(1, 3, 48, 120, generator=torch.Generator().manual_seed(seed))
    large = (F.avg_pool2d(noise, 5, 1, 2)[0] * 2.5 + 0.5).clamp(0, 1)
    frames = torch.stack([large[:, :, 40 - speed * t : 104 - speed * t] for t in range(5)])
    path.parent.mkdir(parents=True, exist_ok=True)
    write_film(path, (frames.movedim(1, -1) * 255).byte().numpy(), fps=8)


def evaluate(folder: Path, *words: str, code: int = 0) -> dict[str, Any]:
    report = folder / "report.json"
    assert main(["evaluate", "video", *words, "--method", "torch", "--report", str(report), "--quiet"]) == code
    content: dict[str, Any] = json.loads(report.read_text())
    validate(content)
    return content


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, speed in (("one", 2), ("two", 2), ("wrong", 0)):
        clip(tmp_path / "made" / f"{name}.mp4", speed, seed=len(name))
        write_flow(tmp_path / "made" / f"{name}.npz", field("translate", (48, 64), 5, x=2.0))
    clip(tmp_path / "made" / "preview.mp4", 1)
    return tmp_path


def test_clips_and_what_was_asked_of_them(folder: Path) -> None:
    out = folder / "scores.csv"
    report = evaluate(folder, str(folder / "made"), "-o", str(out))
    by_name = {Path(item["input"]).stem: item for item in report["items"]}
    assert sorted(by_name) == ["one", "two", "wrong"]  # a preview is no clip
    for name in ("one", "two"):
        assert by_name[name]["epe"] < 0.35 and by_name[name]["epe_nothing"] == pytest.approx(2.0, abs=1e-3)
        assert by_name[name]["speed"] == pytest.approx(2.0, abs=0.3)
    assert by_name["wrong"]["epe_moving"] == pytest.approx(2.0, abs=0.3) and by_name["wrong"]["speed"] < 0.3
    assert by_name["wrong"]["warp_error"] < 0.02 > by_name["wrong"]["flicker"]
    low, high = report["metrics"]["epe"]["ci95"]
    assert low <= report["metrics"]["epe"]["mean"] <= high and report["metrics"]["epe"]["n"] == 3
    with out.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 3 and set(SCORES) <= set(rows[0]) and float(rows[0]["epe"]) == pytest.approx(by_name["one"]["epe"])


def test_sets_of_clips_and_noise(folder: Path) -> None:
    for k in range(3):
        clip(folder / "real" / f"{k}.mp4", 2, seed=10 + k)
    flow = field("translate", (64, 64), 5, x=2.0)
    family = FAMILIES["wan"]
    write_noise(folder / "n.safetensors", latent_noise(flow, family), family, frames=5, size=(64, 64), notes={})
    words = [str(folder / "made" / "one.mp4"), str(folder / "made" / "two.mp4"), "--reference", str(folder / "real")]
    report = evaluate(folder, *words, "--noise", str(folder / "n.safetensors"))
    distance = report["metrics"]["frechet_random_conv3d_64"]
    assert distance["value"] > 0 and (distance["n"], distance["reference"]) == (2, 3)
    assert not any("fvd" in name for name in report["metrics"])
    z = report["items"][-1]["whiteness_z"]
    assert set(z) == {"mean", "variance", "kurtosis", "ks", "lag", "channels"} and max(abs(v) for v in z.values()) < 5


def test_a_clip_that_cannot_be_scored_does_not_stop_the_others(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "broken.mp4").write_bytes(b"no film")
    write_film(folder / "still.mp4", np.zeros((1, 32, 32, 3), dtype=np.uint8))
    words = [str(folder / "broken.mp4"), str(folder / "still.mp4"), str(folder / "made" / "one.mp4")]
    report = evaluate(folder, *words, code=1)
    assert [item["status"] for item in report["items"]] == ["failed", "failed", "done"]
    said = capsys.readouterr().err
    assert "cannot be read as video" in said and "motion of a clip" in said


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "nothing to score"),
        (["nowhere"], "no such file or folder"),
        (["{}"], "holds no clips"),
        (["{}/made", "--cd-fvd", "i3d"], "give --reference"),
    ],
)
def test_what_is_missing_is_said(folder: Path, capsys: pytest.CaptureFixture[str], words: list[str], message: str) -> None:
    empty = folder / "empty"
    empty.mkdir()
    places = [word.format(empty if word == "{}" else folder) for word in words]
    assert main(["evaluate", "video", *places]) == 2
    assert message in capsys.readouterr().err
