r"""A local text-to-image pipeline of diffusers as a frozen judge of pictures.

A latent pipeline (Stable Diffusion 1 and 2, and what is built like them) or a pixel pipeline with a U-Net (the first stage of
DeepFloyd IF) becomes what `polyscore.distillation` asks for: a denoiser with its process, what a text means to it, and the states
that pictures are,

    z = k (mean of encode(2 x - 1)) of the resized picture x,        k the autoencoder's scaling factor; 2 x - 1 without one,

differentiable in x. Nothing is downloaded and no code of the folder is run.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from polyscore.errors import CheckpointError, InputError, MissingExtraError
from polyscore.interchange.api import read_scheduler
from polyscore.interchange.diffusers.denoiser import DiffusersDenoiser, table_index
from polyscore.processes import GaussianProcess

__all__ = ["TextToImage"]

_TABLE = (
    "num_train_timesteps", "beta_start", "beta_end", "beta_schedule", "trained_betas", "prediction_type",
    "rescale_betas_zero_snr",
)  # fmt: skip


class TextToImage(nn.Module):
    """What a pipeline says about pictures.

    Args:
        pipeline: an object with `unet`, `scheduler` and `encode_prompt`, and a `vae` where it works on latents.

    Attributes:
        denoiser: of states (B, C, h, w); `given.cond` is {"encoder_hidden_states": ...}, see `told`.
        size: height and width of the pictures it was made for.

    Raises:
        InputError: a pipeline without these, or one whose network asks for more than a text.
        ConfigError: a scheduler whose table of noise is not known.
    """

    def __init__(self, pipeline: Any) -> None:
        super().__init__()
        kind = type(pipeline).__name__
        lacking = [part for part in ("unet", "scheduler", "encode_prompt") if getattr(pipeline, part, None) is None]
        more = getattr(getattr(getattr(pipeline, "unet", None), "config", None), "addition_embed_type", None)
        if lacking or more is not None:
            found = f"its network also asks for {more!r}" if not lacking else f"it has no {', '.join(lacking)}"
            raise InputError(f"{kind}: {found}; expected a pipeline like Stable Diffusion 1 or 2, or DeepFloyd IF's first stage")
        self.pipeline = pipeline
        self.vae = getattr(pipeline, "vae", None)
        settings = {name: value for name, value in pipeline.scheduler.config.items() if name in _TABLE}
        scheduler = read_scheduler({"_class_name": "DDIMScheduler", "clip_sample": False, **settings})
        told = table_index(scheduler.process)  # such networks were trained at whole timesteps
        self.denoiser = DiffusersDenoiser(
            pipeline.unet, scheduler.process, scheduler.readout, timesteps=lambda t: float(round(told(t)))
        )
        self.scale = 1 if self.vae is None else 2 ** (len(self.vae.config.block_out_channels) - 1)
        self.size = int(pipeline.unet.config.sample_size) * self.scale
        self.eval().requires_grad_(False)

    @classmethod
    def from_folder(cls, folder: str | os.PathLike[str], *, device: str | torch.device = "cpu") -> TextToImage:
        """The pipeline of a local folder, in single precision on a CPU and in half precision elsewhere.

        Raises:
            CheckpointError: no pipeline in it, or one that cannot be loaded.
            InputError: a pipeline of another kind.
            MissingExtraError: diffusers, or a library it needs for this pipeline, is not installed.
        """
        if not (Path(folder) / "model_index.json").is_file():
            raise CheckpointError(f"{folder}: no model_index.json; expected the folder of a diffusers pipeline")
        try:
            import diffusers
        except ImportError as error:
            raise MissingExtraError("a pipeline folder is read by diffusers: pip install diffusers transformers") from error
        dtype = torch.float32 if torch.device(device).type == "cpu" else torch.float16
        loader: Any = diffusers.DiffusionPipeline
        try:
            pipeline = loader.from_pretrained(
                str(folder), local_files_only=True, use_safetensors=True, dtype=dtype, safety_checker=None
            )
        except ImportError as error:
            first = (str(error).strip().splitlines() or ["a package is missing"])[0]
            raise MissingExtraError(f"{folder}: {first}; it needs diffusers and transformers: pip install both") from error
        except (OSError, ValueError, TypeError, AttributeError) as error:
            first = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise CheckpointError(f"{folder}: diffusers cannot load it ({first})") from error
        return cls(pipeline.to(device))

    @property
    def process(self) -> GaussianProcess:
        """The process the network was trained on."""
        return self.denoiser.process

    @torch.no_grad()
    def told(self, texts: Sequence[str]) -> dict[str, Tensor]:
        """What the network is told for texts: {"encoder_hidden_states": (B, tokens, width)}."""
        device = next(self.denoiser.parameters()).device
        found = self.pipeline.encode_prompt(
            prompt=list(texts), device=device, num_images_per_prompt=1, do_classifier_free_guidance=False
        )[0]
        return {"encoder_hidden_states": found}

    def states(self, pictures: Tensor) -> Tensor:
        """The states (B, C, h, w) of pictures (B, 3, H, W) in [0, 1], resized to `size`; differentiable.

        Raises:
            InputError: pictures of another shape.
        """
        if pictures.ndim != 4 or pictures.shape[1] != 3:
            raise InputError(f"states: pictures {tuple(pictures.shape)}; expected (B, 3, H, W)")
        x = 2 * F.interpolate(pictures, (self.size, self.size), mode="bilinear", antialias=True) - 1
        if self.vae is None:
            return x
        first = next(self.vae.parameters())
        moments = self.vae.encode(x.to(first.dtype)).latent_dist.mean
        shift = getattr(self.vae.config, "shift_factor", None) or 0.0
        latents: Tensor = (moments - shift) * self.vae.config.scaling_factor
        return latents.to(pictures.dtype)
