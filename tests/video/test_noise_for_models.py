"""Scenes, layouts of model families, and noise for them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from polyscore.cli.main import main
from polyscore.errors import InputError
from polyscore.films import read_film, write_film
from polyscore.hub.weights import read_header
from polyscore.noise import Dither
from polyscore.video.families import FAMILIES
from polyscore.video.latents import latent_noise
from polyscore.video.motion import field
from polyscore.video.panels import flow_colours, panel
from polyscore.video.scene import load_scene
from polyscore.video.whiteness import coherence, whiteness

SHAPES = {  # 1 + 8 frames of 64 x 96, what prepare_latents makes of them
    "cogvideox": (1, 3, 16, 8, 12),
    "wan": (1, 16, 3, 8, 12),
    "hunyuan": (1, 16, 3, 8, 12),
    "svd": (1, 9, 4, 8, 12),
    "animatediff": (1, 4, 9, 8, 12),
    "ltx": (1, 2 * 2 * 3, 128),
}


@pytest.mark.parametrize("name", list(FAMILIES))
def test_noise_has_the_layout_and_moves_with_the_video(name: str) -> None:
    family = FAMILIES[name]
    flow = field("translate", (64, 96), 9, x=float(family.space) / family.time)
    noise = latent_noise(flow, family, motion=Dither(), noise=3)
    assert tuple(noise.shape) == SHAPES[name]
    frames = family.frames_of(noise[0], (64, 96))
    # one latent pixel to the right from each latent frame to the next
    assert torch.allclose(frames[1:, :, :, 1:], frames[:-1, :, :, :-1], atol=1e-5)
    for frame in frames:
        assert max(abs(z) for z in whiteness(frame).values()) < 4.5


@pytest.mark.parametrize("name", list(FAMILIES))
def test_layouts_are_those_of_the_installed_pipelines(name: str) -> None:
    """`prepare_latents` of diffusers, called with a stand-in for the pipeline."""
    pytest.importorskip("transformers")
    diffusers = pytest.importorskip("diffusers")
    pipelines = {
        "cogvideox": "CogVideoXPipeline",
        "wan": "WanPipeline",
        "hunyuan": "HunyuanVideoPipeline",
        "svd": "StableVideoDiffusionPipeline",
        "animatediff": "AnimateDiffPipeline",
        "ltx": "LTXPipeline",
    }
    family = FAMILIES[name]

    class StandIn:
        vae_scale_factor_spatial = vae_scale_factor = vae_spatial_compression_ratio = family.space
        vae_scale_factor_temporal = vae_temporal_compression_ratio = family.time
        transformer_spatial_patch_size = transformer_temporal_patch_size = 1
        free_noise_enabled = False

        class scheduler:  # noqa: N801
            init_noise_sigma = 1.0

    pipeline = getattr(diffusers, pipelines[name])
    stand_in: Any = StandIn()
    if hasattr(pipeline, "_pack_latents"):
        stand_in._pack_latents = pipeline._pack_latents
    channels = family.channels * (2 if name == "svd" else 1)
    settings: dict[str, Any] = {"height": 64, "width": 96, "num_frames": 9, "dtype": torch.float32, "device": "cpu"}
    settings["generator"] = torch.Generator().manual_seed(0)
    if name == "svd":
        settings["num_channels_latents"] = channels
        made = pipeline.prepare_latents(stand_in, batch_size=1, **settings)
    else:
        made = pipeline.prepare_latents(stand_in, 1, channels, **settings)
    assert tuple(made.shape) == SHAPES[name]


def test_frames_and_sizes_the_codec_cannot_take() -> None:
    with pytest.raises(InputError, match="10 frames; its codec takes 4 k \\+ 1 \\(9 or 13, say\\)"):
        FAMILIES["wan"].latent_frames(10)
    with pytest.raises(InputError, match="70 x 64 pixels; expected multiples of 8 \\(72 x 64\\)"):
        FAMILIES["wan"].latent_size((64, 70))


def test_whiteness_finds_what_is_not_white() -> None:
    generator = torch.Generator().manual_seed(0)
    white = torch.randn(4, 48, 64, generator=generator)
    assert max(abs(z) for z in whiteness(white).values()) < 4
    assert whiteness(white + 0.1)["mean"] > 8
    assert whiteness(1.1 * white)["variance"] > 8 and abs(whiteness(1.1 * white)["kurtosis"]) < 4
    assert whiteness((white + white.roll(1, 2)) / 2**0.5)["lag"] > 8
    doubled = white.clone()
    doubled[1] = 0.9 * white[0] + 0.19**0.5 * white[1]
    assert whiteness(doubled)["channels"] > 8
    assert whiteness(white.abs() - 0.8)["ks"] > 8
    shifted = torch.zeros(2, 48, 64)
    shifted[0] = 2.0
    assert coherence(white, white.roll(2, 2), shifted) > 0.95 and abs(coherence(white, white, shifted)) < 0.05


def test_films_go_out_and_come_back(tmp_path: Path) -> None:
    frames = np.zeros((6, 32, 48, 3), dtype=np.uint8)
    for t in range(6):
        frames[t, 8:24, 4 + 6 * t : 12 + 6 * t] = (200, 120, 40)
    for suffix in (".mp4", ".gif"):
        back, rate = read_film(write_film(tmp_path / f"clip{suffix}", frames, fps=8))
        assert back.shape == frames.shape and rate == pytest.approx(8, rel=0.1)
        assert float(np.abs(back.astype(float) - frames).mean()) < 6
    with pytest.raises(InputError, match="has 6 frames; 9 were asked"):
        read_film(tmp_path / "clip.mp4", frames=9)
    (tmp_path / "not.mp4").write_bytes(b"not a film at all")
    with pytest.raises(InputError, match="cannot be read as video"):
        read_film(tmp_path / "not.mp4")
    (tmp_path / "half.mp4").write_bytes((tmp_path / "clip.mp4").read_bytes()[:300])
    with pytest.raises(InputError, match="cannot be read as video"):
        read_film(tmp_path / "half.mp4")
    with pytest.raises(InputError, match="no frames"):
        write_film(tmp_path / "none.mp4", [])


def picture(path: Path, size: tuple[int, int] = (48, 64)) -> None:
    from PIL import Image

    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 255, (*size, 3), dtype=np.uint8)).save(path)


SCENES = {
    "drag": """
image: photo.png
frames: 9
motion:
  kind: drag
  ground: {keyframes: [{time: 0}, {time: 1, x: -4}]}
  layers:
    - polygon: [[4, 4], [20, 4], [20, 20], [4, 20]]
      keyframes: [{time: 0}, {time: 1, x: 16, y: 8, scale: 1.2}]
      z: 1
      ease: 1
""",
    "camera": "image: photo.png\nframes: 9\nmotion: {kind: camera, depth: depth.npy, poses: [{time: 0}, {time: 1, x: 1}]}",
    "disparity": "image: photo.png\nframes: 9\nmotion: {kind: camera, disparity: depth.npy, poses: [{time: 0}]}",
    "transfer": "motion: {kind: transfer, video: clip.mp4, method: torch}",
    "arrows": "image: photo.png\nframes: 9\nmotion: {kind: arrows, arrows: [[10, 10, 20, 14]]}",
    "field": "size: [48, 64]\nframes: 9\nmotion: {kind: field, name: zoom, rate: 0.02}",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    picture(tmp_path / "photo.png")
    np.save(tmp_path / "depth.npy", np.linspace(1, 4, 48 * 64).reshape(48, 64))
    clip = np.zeros((9, 48, 64, 3), dtype=np.uint8)
    rng = np.random.default_rng(1)
    ground = rng.integers(0, 255, (48, 96, 3), dtype=np.uint8)
    for t in range(9):
        clip[t] = ground[:, 2 * t : 2 * t + 64]
    write_film(tmp_path / "clip.mp4", clip, fps=8)
    return tmp_path


@pytest.mark.parametrize("name", list(SCENES))
def test_scenes(folder: Path, name: str) -> None:
    (folder / "scene.yaml").write_text(SCENES[name])
    scene = load_scene(folder / "scene.yaml")
    assert scene.frames == 9 and scene.flow.size == (48, 64)
    assert scene.film is not None and scene.film.shape == (9, 3, 48, 64)
    assert (scene.image is None) == (name == "field")
    assert float(scene.film[0].std()) > 0.1  # a chessboard where there is no picture
    larger = scene.resized((96, 96))
    assert larger.flow.size == (96, 96)
    assert float(larger.flow.forward[:, 1].mean()) == pytest.approx(2 * float(scene.flow.forward[:, 1].mean()), abs=0.05)
    frames = panel(scene.flow, torch.randn(9, 4, 6, 8), film=scene.film, width=64)
    assert frames.shape == (9, 96, 128, 3)


BAD = {
    "unknown sped": "size: [48, 64]\nframes: 9\nsped: 2\nmotion: {kind: field, name: zoom}",
    "kind is 'fly'": "size: [48, 64]\nframes: 9\nmotion: {kind: fly}",
    "frames is 'many'": "size: [48, 64]\nframes: many\nmotion: {kind: field, name: zoom}",
    "neither image nor size": "frames: 9\nmotion: {kind: field, name: zoom}",
    "no such picture": "image: none.png\nframes: 9\nmotion: {kind: field, name: zoom}",
    "expected either polygon or mask": "size: [48, 64]\nframes: 9\nmotion: {kind: drag, layers: [{keyframes: [{time: 0}]}]}",
    "keyframes\\[0\\]: time is missing": (
        "size: [48, 64]\nframes: 9\n"
        "motion: {kind: drag, layers: [{polygon: [[0, 0], [9, 0], [9, 9]], keyframes: [{x: 1}]}]}"
    ),
    "depth has shape": "size: [40, 64]\nframes: 9\nmotion: {kind: camera, depth: depth.npy, poses: [{time: 0}]}",
    "arrows\\[0\\] is": "size: [48, 64]\nframes: 9\nmotion: {kind: arrows, arrows: [[1, 2]]}",
    "arrows is \\[\\]": "size: [48, 64]\nframes: 9\nmotion: {kind: arrows, arrows: []}",
    "not readable as YAML": "frames: [9",
    "the scene is list": "- 1",
}


@pytest.mark.parametrize("message", list(BAD))
def test_bad_scenes_name_the_key(folder: Path, message: str) -> None:
    (folder / "scene.yaml").write_text(BAD[message])
    with pytest.raises(InputError, match=message):
        load_scene(folder / "scene.yaml")


def test_colours_tell_direction_and_speed() -> None:
    flow = torch.zeros(1, 2, 2, 2)
    flow[0, 0, 0, 0], flow[0, 0, 0, 1] = 3.0, -3.0
    colours = flow_colours(flow, 3.0)
    assert torch.equal(colours[0, :, 1, 1], torch.ones(3))
    assert float(colours[0, 0, 0, 0]) > 0.9 and float(colours[0, 0, 0, 1]) < 0.1  # right is red, left its complement


def test_warp_noise_from_the_command_line(folder: Path) -> None:
    (folder / "scene.yaml").write_text(SCENES["drag"])
    out, report = folder / "noise.safetensors", folder / "report.json"
    words = ["warp-noise", str(folder / "scene.yaml"), "--for", "wan", "-o", str(out), "--quiet"]
    assert main([*words, "--report", str(report), "-n", "2"]) == 0
    header = read_header(out)
    assert header.tensors["noise"][1] == (2, 16, 3, 6, 8) and header.metadata["mode"] == "residual"
    assert (folder / "noise.mp4").is_file() and "whiteness_z" in report.read_text()
    assert main(["warp-noise", str(folder / "clip.mp4"), "--for", "svd", "--size", "64x48", "-o", str(out), "--quiet"]) == 0
    assert read_header(out).tensors["noise"][1] == (1, 9, 4, 6, 8)


def test_warp_noise_says_what_is_wrong(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    clip, out = str(folder / "clip.mp4"), str(folder / "x.safetensors")
    for source, target, more, message, code in (
        ("none.mp4", out, [], "no such file", 1),
        (clip, "x.npz", [], "ends in .safetensors", 2),
        (clip, out, ["--size", "wide"], "expected width x height", 1),
        (clip, out, ["--size", "70x48"], "multiples of 8", 1),
        (str(folder / "photo.png"), out, ["--frames", "9"], "has 1 frames", 1),
    ):
        assert main(["warp-noise", source, "--for", "wan", "-o", target, *more]) == code
        assert message in capsys.readouterr().err
    assert not (folder / "x.safetensors").exists()
