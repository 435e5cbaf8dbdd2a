"""Other people's models: a video pipeline of diffusers, in a folder on this machine, that runs with our noise.

The family of a pipeline (its layout of latents) follows from its class, its strides and channels from the pipeline itself, so a
variant with other numbers is served too. The pipeline scales the noise itself where it wants it scaled. Schedulers that draw
noise of their own at every step wash the motion out: `Guest.washes_out` names them.

A model obeys the noise only if it was trained, or fine-tuned, to (Go-with-the-Flow publishes such a LoRA for CogVideoX).
"""

from __future__ import annotations

import inspect
import json
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from polyscore.errors import CheckpointError, InputError, MissingExtraError, PolyscoreError
from polyscore.pictures import pixels
from polyscore.video.families import FAMILIES, Family

__all__ = ["Guest", "is_guest"]

_CLASSES = {
    "CogVideoX": "cogvideox",
    "ConsisID": "cogvideox",
    "Wan": "wan",
    "HunyuanVideo": "hunyuan",
    "StableVideoDiffusion": "svd",
    "AnimateDiff": "animatediff",
    "LTX": "ltx",
}
_FLOAT32 = {"wan", "hunyuan", "ltx"}  # their pipelines keep latents in float32 whatever the network's type
_LARGEST = 1_000_000  # bytes of a model_index.json


def is_guest(name: str | os.PathLike[str]) -> bool:
    """Whether this is a folder of a diffusers pipeline."""
    return (Path(name) / "model_index.json").is_file()


@dataclass(frozen=True)
class Guest:
    """A pipeline and the layout of its latents."""

    pipeline: Any
    family: Family

    @classmethod
    def of(cls, pipeline: Any) -> Guest:
        """A pipeline object, with the strides and channels it says it has.

        Raises:
            InputError: a pipeline of another kind, or one that takes no latents.
        """
        family = _family(type(pipeline).__name__)
        if "latents" not in inspect.signature(pipeline.__call__).parameters:
            raise InputError(f"{type(pipeline).__name__} takes no latents=; it cannot be given noise")
        space = _first(pipeline, "vae_scale_factor_spatial", "vae_spatial_compression_ratio", "vae_scale_factor")
        time = _first(pipeline, "vae_scale_factor_temporal", "vae_temporal_compression_ratio") if family.time > 1 else None
        config = getattr(getattr(pipeline, "vae", None), "config", None)
        channels = next((n for key in ("latent_channels", "z_dim") if isinstance(n := getattr(config, key, None), int)), None)
        return cls(
            pipeline, replace(family, channels=channels or family.channels, space=space or family.space, time=time or family.time)
        )

    @classmethod
    def from_folder(cls, folder: str | os.PathLike[str], *, device: str | torch.device = "cpu") -> Guest:
        """The pipeline of a local folder; nothing is downloaded, and no code of the folder is run.

        Raises:
            CheckpointError: no pipeline in it, or one that cannot be loaded.
            InputError: a pipeline of another kind.
            MissingExtraError: diffusers, or a library it needs for this pipeline, is not installed.
        """
        index = Path(folder) / "model_index.json"
        try:
            if index.stat().st_size > _LARGEST:
                raise CheckpointError(f"{index}: {index.stat().st_size} bytes; expected at most {_LARGEST}")
            named = json.loads(index.read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError) as error:
            raise CheckpointError(f"{folder}: no readable model_index.json ({error}); expected a diffusers pipeline") from error
        kind = named.get("_class_name") if isinstance(named, dict) else None
        if not isinstance(kind, str):
            raise CheckpointError(f"{index}: names no pipeline (_class_name)")
        _family(kind)
        try:
            import diffusers
        except ImportError as error:
            raise MissingExtraError(f"{kind} is run by diffusers: pip install diffusers transformers") from error
        dtype = torch.float32 if torch.device(device).type == "cpu" else torch.bfloat16
        try:
            loader: Any = diffusers.DiffusionPipeline
            pipeline = loader.from_pretrained(str(folder), local_files_only=True, use_safetensors=True, dtype=dtype)
        except ImportError as error:
            raise MissingExtraError(f"{kind}: {str(error).strip().splitlines()[0]}") from error
        except (OSError, ValueError, TypeError, AttributeError) as error:
            first = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise CheckpointError(f"{folder}: diffusers cannot load it as {kind} ({first})") from error
        return cls.of(pipeline.to(device))

    @property
    def washes_out(self) -> str | None:
        """The name of a scheduler that draws noise of its own; None if it draws none."""
        name = type(getattr(self.pipeline, "scheduler", None)).__name__
        return name if name in self.family.own_noise or "Ancestral" in name else None

    def generate(
        self,
        noise: Tensor,
        *,
        frames: int,
        size: tuple[int, int],
        image: Tensor | None = None,
        prompt: str = "",
        steps: int = 30,
        guidance: float | None = None,
        seed: int = 0,
    ) -> Tensor:
        """The clip (T, 3, H, W) in [0, 1] that the pipeline makes of `noise`, in the family's layout.

        Args:
            noise: one sample, from `polyscore.video.latents.latent_noise(flow, guest.family)`.
            frames, size: of the video, (H, W).
            image: the first frame (3, H, W) in [0, 1], for pipelines that take one.
            prompt: what to show, for pipelines that take one.
            steps, guidance: of the pipeline; guidance None leaves its own.
            seed: of what else it draws.

        Raises:
            InputError: a pipeline that needs an image and gets none, or a latent it does not take.
            PolyscoreError: the pipeline failed, or gave something else than frames.
        """
        dtype = torch.float32 if self.family.name in _FLOAT32 else getattr(self.pipeline, "dtype", torch.float32)
        parameters = inspect.signature(self.pipeline.__call__).parameters
        needs_image = "image" in parameters and parameters["image"].default in (inspect.Parameter.empty, None)
        if needs_image and image is None:
            raise InputError(f"{type(self.pipeline).__name__} makes clips of a picture; give the scene an image")
        offered: dict[str, Any] = {
            "prompt": prompt,
            "image": None if image is None else _picture(image),
            "height": size[0],
            "width": size[1],
            "num_frames": frames,
            "num_inference_steps": steps,
            "guidance_scale": guidance,
            "generator": torch.Generator("cpu").manual_seed(seed),
            "latents": noise.to(dtype),
            "output_type": "np",
        }
        given = {name: value for name, value in offered.items() if name in parameters and value is not None}
        try:
            made = self.pipeline(**given).frames
        except (ValueError, RuntimeError, TypeError, AttributeError) as error:
            first = (str(error).strip().splitlines() or [type(error).__name__])[0]
            shape = tuple(noise.shape)
            raise PolyscoreError(f"{type(self.pipeline).__name__} failed on latents of shape {shape}: {first}") from error
        clip = np.asarray(made[0] if len(made) == 1 else made)
        if clip.ndim != 4 or clip.shape[-1] != 3:
            raise PolyscoreError(f"{type(self.pipeline).__name__} gave {clip.shape}; expected frames (T, H, W, 3)")
        film = torch.from_numpy(np.array(clip, dtype=np.float32)).movedim(-1, 1)
        return film / 255 if clip.dtype == np.uint8 else film.clamp(0, 1)


def _family(kind: str) -> Family:
    found = next((family for prefix, family in _CLASSES.items() if kind.startswith(prefix)), None)
    if found is None:
        raise InputError(f"{kind}: no video pipeline whose latents are known here; there are those of {', '.join(_CLASSES)}")
    return FAMILIES[found]


def _first(pipeline: Any, *names: str) -> int | None:
    return next((int(value) for name in names if isinstance(value := getattr(pipeline, name, None), int)), None)


def _picture(image: Tensor) -> Any:
    from PIL import Image

    return Image.fromarray(pixels(image[None])[0])
