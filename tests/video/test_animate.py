"""`polyscore animate`: what it writes is what the model was given and gave; hostile inputs are named."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from polyscore.cli.main import main
from polyscore.cli.report import validate
from polyscore.denoisers import Precondition
from polyscore.errors import InputError
from polyscore.films import read_film, write_film
from polyscore.hub import save
from polyscore.noise import Warped
from polyscore.processes import Flow as FlowMatching
from polyscore.video import Animator
from polyscore.video.motion import field
from polyscore.video.motion.files import read_flow
from polyscore.video.networks import VideoUNet
from polyscore.video.noise_files import read_noise
from polyscore.video.overlay import overlay, ride
from polyscore.video.panels import wheel
from polyscore.video.scene import load_scene

pytest.importorskip("av")

DRAG = """
size: [48, 64]
frames: 6
motion:
  kind: drag
  layers:
    - polygon: [[8, 8], [28, 8], [28, 28], [8, 28]]
      keyframes: [{time: 0}, {time: 1, x: 20, y: 5}]
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that gives back its noise (its last layer is zero, so it predicts no velocity), a scene, a picture, a clip."""
    import av
    from PIL import Image

    tmp_path = tmp_path_factory.mktemp("scenes")
    network = VideoUNet(channels=3, picture=4, width=8, multipliers=[1, 2], blocks=1, patch=2, heads=2, cues=["strength"])
    save(tmp_path / "model", Animator(Precondition(network, FlowMatching(), predicts="flow"), (3, 6, 32, 32)))
    (tmp_path / "scene.yaml").write_text(DRAG)
    rng = np.random.default_rng(0)
    ground = rng.integers(0, 255, (48, 96, 3), dtype=np.uint8)
    Image.fromarray(ground[:, :64]).save(tmp_path / "photo.png")
    write_film(tmp_path / "pan.mp4", [ground[:, 2 * t : 2 * t + 64] for t in range(7)])
    (tmp_path / "broken.yaml").write_text("motion: {kind: [")
    (tmp_path / "words.yaml").write_text("just words")
    (tmp_path / "zero.yaml").write_text(DRAG.replace("frames: 6", "frames: 0"))
    (tmp_path / "long.yaml").write_text(DRAG.replace("frames: 6", "frames: 65"))
    (tmp_path / "kinds.yaml").write_text(f"{DRAG}      z: high\n")
    np.save(tmp_path / "nan.npy", np.full((48, 64), np.nan))
    (tmp_path / "nan.yaml").write_text("size: [48, 64]\nframes: 6\nmotion: {kind: camera, depth: nan.npy, poses: [{time: 0}]}")
    (tmp_path / "field.yaml").write_text("size: [48, 64]\nframes: 6\nmotion: {kind: field, name: zoom, rate: .nan.}")
    with av.open(str(tmp_path / "empty.mp4"), "w") as file:
        stream = file.add_stream("libx264", rate=8)
        stream.width = stream.height = 32
    return tmp_path


def animate(folder: Path, out: Path, *words: str) -> int:
    return main(["animate", *words, "--model", str(folder / "model"), "-o", str(out), "--steps", "1", "--quiet"])


def test_what_is_written_is_what_was_asked_given_and_made(folder: Path, tmp_path: Path) -> None:
    assert animate(folder, tmp_path / "out", str(folder / "scene.yaml"), "--seed", "3") == 0
    out = tmp_path / "out"
    assert sorted(p.name for p in out.iterdir()) == [
        "arrows.png", "clip.mp4", "flow.npz", "noise.safetensors", "preview.mp4", "report.json",
    ]  # fmt: skip
    scene = load_scene(folder / "scene.yaml").resized((32, 40))  # the shape of the scene, the shorter side of the model
    assert torch.equal(read_flow(out / "flow.npz").forward, scene.flow.forward)
    noise = Warped(scene.flow, 3)(torch.empty(1, 3, 6, 32, 40))
    assert torch.equal(read_noise(out / "noise.safetensors").frames[0], noise[0].transpose(0, 1))
    film, _ = read_film(out / "clip.mp4")  # the model gives back its noise; colours are coarse in the file, brightness is not
    grey = ((noise[0].mean(0) + 1) / 2).clamp(0, 1)
    made = torch.from_numpy(film).float().mean(-1) / 255
    assert float(torch.corrcoef(torch.stack([grey.flatten(), made.flatten()]))[0, 1]) > 0.8
    report: dict[str, Any] = json.loads((out / "report.json").read_text())
    validate(report)
    found = report["metrics"]
    assert found["coherence"] > 0.85 and max(abs(z) for z in found["whiteness_z"].values()) < 4
    # the part that was dragged moves by (20, 5) pixels of 48 x 64 in 5 steps, less at its soft border
    speed = math.hypot(4 * 40 / 64, 32 / 48)
    assert 0.75 * speed < found["motion"]["epe_nothing"] <= speed
    assert found["motion"]["epe_moving"] < 0.85 * found["motion"]["epe_nothing"]
    assert report["nfe"] >= 1 and report["items"][0]["size"] == [32, 40]


def test_a_picture_with_a_motion(folder: Path, tmp_path: Path) -> None:
    photo = str(folder / "photo.png")
    for words, frames in (
        (["--arrow", "20,20,40,24", "--arrow", "50,40,50,30"], 6),
        (["--field", "zoom:rate=0.03", "--frames", "4"], 4),
        (["--field", "rotate", "--frames", "3", "--size", "48x32", "--degrade", "1", "--own-picture"], 3),
        (["--like", str(folder / "pan.mp4"), "--frames", "5"], 5),
    ):
        assert animate(folder, tmp_path / "out", photo, *words) == 0
        assert read_film(tmp_path / "out" / "preview.mp4")[0].shape[0] == frames
    flow = read_flow(tmp_path / "out" / "flow.npz").forward
    assert float(flow[:, 0].mean()) == pytest.approx(-2 * 40 / 64, abs=0.25)  # the clip pans by two of its 64 pixels a frame


BAD = {
    "no such file": ["{}/none.yaml"],
    "none.png": ["{}/none.png", "--field", "zoom"],
    "a picture needs one motion": ["{}/photo.png"],
    "arrow and field": ["{}/photo.png", "--arrow", "1,1,2,2", "--field", "zoom"],
    "expected four numbers": ["{}/photo.png", "--arrow", "1,1,nan,2"],
    "is no setting": ["{}/photo.png", "--field", "zoom:rate"],
    "there are translate": ["{}/photo.png", "--field", "spin"],
    "says that itself": ["{}/scene.yaml", "--frames", "9"],
    "not readable as YAML": ["{}/broken.yaml"],
    "the scene is str": ["{}/words.yaml"],
    "frames is 0": ["{}/zero.yaml"],
    "makes at most 64": ["{}/long.yaml"],
    "empty.mp4": ["{}/photo.png", "--like", "{}/empty.mp4"],
    "has 7 frames; 9": ["{}/photo.png", "--like", "{}/pan.mp4", "--frames", "9"],
    "expected width x height": ["{}/scene.yaml", "--size", "8x8"],
    "divisible by 4": ["{}/scene.yaml", "--size", "33x31"],
    "degrade is 2": ["{}/scene.yaml", "--degrade", "2"],
    "depth": ["{}/nan.yaml"],
    "must be numbers": ["{}/field.yaml"],
    "of the wrong kind": ["{}/kinds.yaml"],
}


@pytest.mark.parametrize("message", list(BAD))
def test_hostile_input_is_named(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], message: str) -> None:
    assert animate(folder, tmp_path, *(word.format(folder) for word in BAD[message])) in (1, 2)
    error = capsys.readouterr().err
    assert message in error and "internal error" not in error
    assert not (tmp_path / "clip.mp4").exists()


@pytest.mark.parametrize("value", [".nan", ".inf"])
def test_numbers_that_are_none_are_refused(tmp_path: Path, value: str) -> None:
    scene = tmp_path / "scene.yaml"
    scene.write_text(DRAG.replace("x: 20", f"x: {value}"))
    with pytest.raises(InputError, match="layers\\[0\\].keyframes\\[1\\].x is .*; expected a finite number"):
        load_scene(scene)
    scene.write_text(f"size: [48, 64]\nframes: 6\nmotion: {{kind: field, name: zoom, rate: {value}}}")
    with pytest.raises(InputError, match="motion.rate is"):
        load_scene(scene)


def test_points_ride_on_the_flow_until_they_are_lost() -> None:
    flow = field("translate", (20, 30), 6, x=2.0, y=-1.0)
    path = ride(torch.tensor([[3.0, 10.0], [3.0, 2.0]]), flow)
    assert torch.allclose(path[0], torch.stack([torch.tensor([3.0 + 2 * t, 10.0 - t]) for t in range(6)]), atol=1e-5)
    assert bool(path[1, :3].isfinite().all()) and bool(path[1, 3:].isnan().all())  # over the upper border after two steps
    turn = ride(torch.tensor([[14.5 + 5, 9.5]]), field("rotate", (20, 30), 10, degrees=10.0))[0]
    assert torch.allclose((turn - torch.tensor([14.5, 9.5])).norm(dim=-1), torch.full((10,), 5.0), atol=0.01)
    picture = overlay(flow, torch.zeros(3, 20, 30), [(5, 5, 15, 10)], side=100)
    assert picture.shape == (100, 150, 3)
    assert tuple(picture[round(7.5 * 5 + 2), (10 * 5 + 2)]) == (230, 40, 40)  # half way along the arrow
    assert {tuple(p) for p in picture.reshape(-1, 3).tolist()} == {(0, 0, 0), (255, 255, 255), (230, 40, 40)}


def test_the_wheel_is_the_key_to_the_colours() -> None:
    key = wheel(33)
    assert torch.equal(key[:, 0, 0], torch.ones(3)) and torch.allclose(key[:, 16, 16], torch.ones(3), atol=1e-5)
    assert float(key[0, 16, 32]) > 0.95 and float(key[1, 16, 32]) < 0.3  # to the right: red
