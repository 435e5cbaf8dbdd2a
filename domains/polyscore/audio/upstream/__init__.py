"""Reads the training checkpoints of the original SGMSE+ (sp-uhh/sgmse) and StoRM (sp-uhh/storm), without that code.

A checkpoint of theirs is a Lightning pickle. It is opened by torch's restricted unpickler, which builds tensors,
numbers, texts and containers and nothing else; the one foreign class it names (the data module's) becomes an empty
stand-in. What can be read:

| project | networks | processes | trained for |
|---|---|---|---|
| SGMSE+ | ncsnpp, ncsnpp_v2, ncsnpp_48k, dcunet | ouve, sbve | the score, the mean, x0, with all scalings |
| StoRM | ncsnpp, ncsnpplarge, ncsnpp12M, ncsnpp6M | ouve, ouvp | regeneration, score-only, denoiser-only |
| StoRM | gagnet, convtasnet | - | the predictor: denoiser-only, and gagnet in regeneration |

Source: Richter et al. 2023, arXiv:2208.05830; Richter et al. 2024, arXiv:2409.10753; Lemercier et al. 2023, arXiv:2212.11851.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal

import torch

from polyscore.audio.codec import SpectrogramCodec
from polyscore.audio.networks.convtasnet import ConvTasNet
from polyscore.audio.upstream.checkpoint import open_checkpoint
from polyscore.audio.upstream.models import codec_of, model_of, networks_of, paper_settings, sample_rate_of
from polyscore.errors import CheckpointError, PolyscoreError
from polyscore.hub.kinds import pickle_words

__all__ = ["Published", "describe", "read"]


@dataclass(frozen=True)
class Published:
    """What a checkpoint of the original code holds, as objects of this library.

    Attributes:
        model: in eval mode, with the weights asked for: a `SpectrogramDenoiser`, a `StochasticRegeneration`, or a predictor
            of spectrograms or waves.
        codec: wave to compressed spectrogram and back; None for a predictor of waves.
        sample_rate: rate the network was trained at (Hz).
        frame_padding: how the original extends the frames to a multiple of 64: "zeros" or "reflect".
        t_eps: smallest time the network was trained at.
        sampler: name of the original's sampler in `polyscore.audio.methods`.
        steps: number of steps the checkpoint (its ``N``) or the original's script recommends.
        snr: signal-to-noise ratio of its Langevin steps.
    """

    model: Any
    codec: SpectrogramCodec | None
    sample_rate: int
    frame_padding: Literal["zeros", "reflect"]
    t_eps: float
    sampler: str
    steps: int
    snr: float

    def settings(self) -> dict[str, Any]:
        """Keyword arguments that make it a `polyscore.audio.SpeechEnhancer`."""
        # The 65-million network takes 0.5 GB for 2 s of 256 bins, in proportion to both: at most 3 GB a window.
        large = self.codec is not None and self.codec.bins > 300
        return {
            **{field.name: getattr(self, field.name) for field in fields(self)},
            "frame_multiple": 64,
            "window_seconds": 2.0 if large else 4.0,
            "context_seconds": 0.5 if large else 1.0,
        }


def read(path: str | os.PathLike[str], *, weights: Literal["ema", "raw"] = "ema") -> Published:
    """Read an SGMSE+ or StoRM checkpoint (module docstring).

    Raises:
        CheckpointError: missing, damaged, not of those projects, or with settings or tensors that do not fit.
    """
    if weights not in ("ema", "raw"):
        raise CheckpointError(f"{path}: weights is {weights!r}; expected 'ema' (the moving average) or 'raw'")
    checkpoint = open_checkpoint(Path(path))
    hyper = checkpoint.hyper
    try:
        with torch.device("meta"):  # settings that do not fit the tensors build nothing
            values = checkpoint.weights(networks_of(model_of(checkpoint), checkpoint), weights)
        with torch.random.fork_rng(devices=[]):  # constructors draw initial weights
            model = model_of(checkpoint).eval()
        paper = paper_settings(checkpoint)
        published = Published(
            model=model,
            codec=None if isinstance(model, ConvTasNet) else codec_of(hyper),
            sample_rate=sample_rate_of(hyper),
            frame_padding="reflect" if hyper.get("backbone") in ("ncsnpp_v2", "ncsnpp_48k") else "zeros",
            t_eps=float(hyper.get("t_eps", 0.03)),
            **paper._asdict(),
        )
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}") from error
    except (PolyscoreError, TypeError, ValueError, RuntimeError) as error:
        raise CheckpointError(f"{path}: its hyper_parameters make no model ({error})") from error
    with torch.no_grad():
        for prefix, network in networks_of(model, checkpoint).items():
            for name, tensor in network.state_dict().items():
                tensor.copy_(values[f"{prefix}.{name}"])
    return published


def describe(path: str | os.PathLike[str]) -> dict[str, Any] | None:
    """What the checkpoint at ``path`` is, in words and numbers; None if it is not one of these originals.

    Raises:
        CheckpointError: it looks like one and cannot be read.
    """
    path = Path(path)
    words = pickle_words(path) if path.is_file() else set()
    if not {"hyper_parameters", "state_dict", "sde"} <= words or not {"backbone", "backbone_score"} & words:
        return None
    checkpoint = open_checkpoint(path)
    hyper, ema = checkpoint.hyper, checkpoint.content.get("ema") or {}
    regeneration = checkpoint.mode == "regeneration"
    tensors = checkpoint.tensors_of(("denoiser_net", "score_net") if regeneration else ("dnn",))
    name, place = {"sgmse": ("SGMSE+", "sp-uhh/sgmse"), "storm": ("StoRM", "sp-uhh/storm")}[checkpoint.project]
    kinds = {"score": "a score model or bridge", "predictor": "a predictor", "regeneration": "predictor and score model"}
    return {
        "kind": checkpoint.project,
        "what": f"a training checkpoint of {name} ({place}), {kinds[checkpoint.mode]}, for speech enhancement",
        "use": f"polyscore enhance --model {path}",
        "network": f"{hyper['backbone_denoiser']} and {hyper['backbone_score']}" if regeneration else hyper["backbone"],
        **({"condition": hyper.get("condition", "both")} if regeneration else {}),
        "parameters": sum(value.numel() for value in tensors.values()),
        "tensors": len(tensors),
        "process": hyper["sde"],
        "loss": hyper.get("loss_type", hyper.get("loss_type_score", "score_matching")),
        "sample_rate": sample_rate_of(hyper),
        "paper": str(paper_settings(checkpoint)),
        "epoch": checkpoint.content.get("epoch"),
        "global_step": checkpoint.content.get("global_step"),
        "ema_updates": ema.get("num_updates"),
        "weights": ["ema", "raw"] if checkpoint.has_average else ["raw"],
    }
