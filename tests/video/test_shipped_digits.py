"""The shipped model `moving-digits`: its digits go where the noise goes; and the shipped configurations train."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from tests.benchmarks.video_control import measure, requests, score

from polyscore.cli.main import main
from polyscore.hub import shipped
from polyscore.noise import Recorded, as_noise
from polyscore.video import Animator
from polyscore.video.data.following import following

ONE_STEP = ["--limit", "1", "--data.init_args.batch_size", "2", "--data.init_args.items_per_epoch", "2"]


@pytest.fixture(scope="module")
def model() -> Animator:
    return Animator.from_pretrained("moving-digits")


def test_it_is_small() -> None:
    folder = next(m.path for m in shipped() if m.name == "moving-digits")
    assert sum(file.stat().st_size for file in folder.iterdir()) <= 2_000_000
    card = (folder / "card.md").read_text(encoding="utf-8")
    assert "US20260134518A1" in card and "Trained by" in card


def test_it_follows_its_noise(model: Animator) -> None:
    """Far from chance with a few clips; `test_as_good_as_its_card` measures."""
    channels, frames, height, width = model.shape
    clips = requests(12, frames=frames, size=(height, width), seed=77)
    first = (clips.film[:, :, 0] + 1) / 2
    found = {}
    for share in (0.0, 1.0):
        noise = following(clips, channels, as_noise(3), degrade=torch.full((12,), share))
        film = model.sample(Recorded([noise]), (12, frames, height, width), picture=first, steps=5)
        assert float((film[:, 0] - first).abs().mean()) < 0.08
        found[share] = score(film, clips)
    assert found[0.0]["r"] > 0.85
    assert found[0.0]["error"] < 0.7 * found[1.0]["error"]


@pytest.mark.slow
def test_as_good_as_its_card(model: Animator) -> None:
    found = measure(model, count=64, steps=8)
    degraded = [found["degrade"][str(share)]["error"] for share in (0.0, 0.3, 0.5, 0.7, 1.0)]
    assert degraded == sorted(degraded)
    assert degraded[0] < 0.22 and found["degrade"]["0.0"]["r"] > 0.92
    assert found["first_frame"]["error"] < 0.16 and found["first_frame"]["r"] > 0.95
    assert abs(found["unwarped"]["r"]) < 0.3
    assert found["real"]["error"] < 0.01


@pytest.mark.slow
@pytest.mark.parametrize("name", ["moving_digits", "textures", "image_to_video", "bridge", "flow_maps", "distill"])
def test_configurations_train(name: str, tmp_path: Path) -> None:
    more: list[Any] = [*ONE_STEP, "--data.init_args.validation_items", "2", "--out", str(tmp_path / "run")]
    assert main(["fit", "--config", f"configs/video/{name}.yaml", *more]) == 0
    assert (tmp_path / "run" / "model" / "config.json").is_file()
