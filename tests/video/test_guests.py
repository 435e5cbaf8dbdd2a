"""Pipelines of diffusers with our noise: a pipeline of the published call signature around a tiny genuine network."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from polyscore.cli.main import main
from polyscore.errors import CheckpointError, InputError, PolyscoreError
from polyscore.noise import Residual
from polyscore.video.guests import Guest, is_guest
from polyscore.video.latents import latent_noise
from polyscore.video.motion import field
from polyscore.video.noise_files import read_noise

diffusers = pytest.importorskip("diffusers")


class CogVideoXPipeline:
    """Called as diffusers' own; runs a CogVideoX transformer and scheduler, and takes three channels as frames, 8 times as large.

    The published pipeline adds a text encoder and a codec, which need weights and another library.
    """

    vae_scale_factor_spatial, vae_scale_factor_temporal, dtype = 8, 4, torch.float32

    def __init__(self, channels: int = 16) -> None:
        torch.manual_seed(0)
        size = {"num_attention_heads": 1, "attention_head_dim": 16, "time_embed_dim": 8, "text_embed_dim": 8, "num_layers": 1}
        frame = {"sample_width": 8, "sample_height": 6, "sample_frames": 9, "max_text_seq_length": 4, "patch_size": 2}
        self.transformer = diffusers.CogVideoXTransformer3DModel(in_channels=channels, out_channels=channels, **size, **frame)
        self.scheduler = diffusers.CogVideoXDDIMScheduler()
        self.vae = SimpleNamespace(config=SimpleNamespace(latent_channels=channels))
        self.asked: dict[str, Any] = {}

    def to(self, device: object) -> CogVideoXPipeline:
        return self

    @torch.no_grad()
    def __call__(
        self,
        prompt: str | None = None,
        height: int | None = None,
        width: int | None = None,
        num_frames: int | None = None,
        num_inference_steps: int = 50,
        guidance_scale: float = 6,
        generator: torch.Generator | None = None,
        latents: Tensor | None = None,
        output_type: str = "pil",
    ) -> Any:
        assert latents is not None and output_type == "np" and height is not None and width is not None and num_frames is not None
        self.asked = {"prompt": prompt, "steps": num_inference_steps, "guidance": guidance_scale, "latents": latents.clone()}
        self.scheduler.set_timesteps(num_inference_steps)
        x = latents * self.scheduler.init_noise_sigma
        for t in self.scheduler.timesteps:
            out = self.transformer(x, encoder_hidden_states=torch.zeros(1, 4, 8), timestep=t[None], return_dict=False)[0]
            x = self.scheduler.step(out, t, x, return_dict=False)[0]
        frames = x[0, :, :3].repeat_interleave(self.vae_scale_factor_temporal, 0)[-num_frames:]
        video = (frames / 4 + 0.5).clamp(0, 1).repeat_interleave(8, -1).repeat_interleave(8, -2)
        assert video.shape[-2:] == (height, width)
        return SimpleNamespace(frames=video.movedim(1, -1).numpy()[None])


class WanImagePipeline:
    """A family by its prefix, a picture it cannot do without."""

    vae_scale_factor_spatial, vae_scale_factor_temporal = 16, 4
    vae = SimpleNamespace(config=SimpleNamespace(z_dim=48))

    def __call__(self, image: Any = None, latents: Tensor | None = None, num_frames: int = 81) -> Any:
        assert image.size == (48, 32)
        return SimpleNamespace(frames=[[np.full((32, 48, 3), 0.25, dtype=np.float32)] * num_frames])


def test_a_pipeline_gets_our_noise_and_its_frames_come_back() -> None:
    guest = Guest.of(CogVideoXPipeline())
    flow = field("translate", (48, 64), 9, x=2.0)
    noise = latent_noise(flow, guest.family, motion=Residual(), noise=5)
    clip = guest.generate(noise, frames=9, size=(48, 64), prompt="a cat", steps=2, guidance=3.0)
    assert clip.shape == (9, 3, 48, 64) and float(clip.std()) > 0.01
    asked = guest.pipeline.asked
    assert torch.equal(asked["latents"], noise) and asked["latents"].shape == (1, 3, 16, 6, 8)
    assert (asked["prompt"], asked["steps"], asked["guidance"]) == ("a cat", 2, 3.0)
    assert guest.washes_out is None
    guest.pipeline.scheduler = diffusers.CogVideoXDPMScheduler()
    assert guest.washes_out == "CogVideoXDPMScheduler"


def test_strides_and_channels_are_those_the_pipeline_has() -> None:
    guest = Guest.of(WanImagePipeline())
    assert (guest.family.name, guest.family.channels, guest.family.space) == ("wan", 48, 16)
    noise = latent_noise(field("zoom", (32, 48), 5), guest.family)
    assert noise.shape == (1, 48, 2, 2, 3)
    clip = guest.generate(noise, frames=5, size=(32, 48), image=torch.rand(3, 32, 48))
    assert torch.equal(clip, torch.full((5, 3, 32, 48), 0.25))
    with pytest.raises(InputError, match="give the scene an image"):
        guest.generate(noise, frames=5, size=(32, 48))
    cog = Guest.of(CogVideoXPipeline())
    with pytest.raises(PolyscoreError, match="failed on latents of shape \\(1, 3, 5, 6, 8\\)"):
        cog.generate(torch.zeros(1, 3, 5, 6, 8), frames=9, size=(48, 64), steps=1)


class StableDiffusionPipeline:
    def __call__(self, latents: Tensor) -> None: ...


class LTXPipeline:
    def __call__(self, prompt: str) -> None: ...


def test_pipelines_that_cannot_be_given_noise() -> None:
    with pytest.raises(InputError, match="no video pipeline whose latents are known"):
        Guest.of(StableDiffusionPipeline())
    with pytest.raises(InputError, match="takes no latents="):
        Guest.of(LTXPipeline())


def test_folders_that_are_none(tmp_path: Path) -> None:
    index = tmp_path / "model_index.json"
    assert not is_guest(tmp_path)
    for text, message, error in (
        ("{", "no readable model_index", CheckpointError),
        ("[1]", "names no pipeline", CheckpointError),
        ('{"_class_name": ["code", "Pipeline"]}', "names no pipeline", CheckpointError),
        ('{"_class_name": "StableDiffusionPipeline"}', "no video pipeline", InputError),
        ('{"_class_name": "WanPipeline"}', "WanPipeline", PolyscoreError),  # its parts are missing, or transformers is
    ):
        index.write_text(text)
        with pytest.raises(error, match=message):
            Guest.from_folder(tmp_path)
    index.write_text(" " * 1_000_001)
    with pytest.raises(CheckpointError, match="expected at most"):
        Guest.from_folder(tmp_path)


def test_animate_runs_a_folder_of_diffusers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("av")
    folder, pipeline = tmp_path / "cog", CogVideoXPipeline()
    folder.mkdir()
    (folder / "model_index.json").write_text('{"_class_name": "CogVideoXPipeline"}')
    pipeline.scheduler = diffusers.CogVideoXDPMScheduler()

    def from_pretrained(path: str, **settings: Any) -> CogVideoXPipeline:
        assert path == str(folder) and settings["local_files_only"] and settings["use_safetensors"]
        return pipeline

    monkeypatch.setattr(diffusers.DiffusionPipeline, "from_pretrained", from_pretrained)
    monkeypatch.setattr(pipeline.scheduler, "step", lambda out, t, x, **_: (x - 0.1 * out,))
    (tmp_path / "scene.yaml").write_text("size: [48, 64]\nframes: 9\nmotion: {kind: field, name: translate, x: 3}")
    words = ["animate", str(tmp_path / "scene.yaml"), "--model", str(folder), "-o", str(tmp_path / "out"), "--size", "64x48"]
    assert main([*words, "--steps", "2", "--prompt", "waves", "--quiet"]) == 0
    assert torch.equal(read_noise(tmp_path / "out" / "noise.safetensors").frames, pipeline.asked["latents"])
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert "CogVideoXDPMScheduler draws noise of its own" in report["items"][0]["warning"]
    assert report["metrics"]["motion"]["epe_nothing"] == pytest.approx(3.0, abs=1e-3) and pipeline.asked["prompt"] == "waves"
