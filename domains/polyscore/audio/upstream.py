"""Reads the training checkpoints of the original SGMSE+ code (sp-uhh/sgmse), without that code.

A checkpoint of theirs is a Lightning pickle. It is opened by torch's restricted unpickler, which builds tensors,
numbers, texts and containers and nothing else; the one foreign class it names (the data module's) becomes an empty
stand-in.

| part of the file | becomes |
|---|---|
| ``hyper_parameters`` (flat mapping of all constructor arguments) | network, process, codec, parameterisation |
| ``ema.shadow_params`` (a list without names, in the order of ``network.parameters()``) | the weights, by default |
| ``ema.collected_params`` if there, else ``state_dict`` ``dnn.*`` | the raw weights |

At the end of a validation the original stores the averaged weights in ``state_dict`` and the raw ones in
``collected_params``; that is why the list is always right and ``state_dict`` is not.

Source: Richter et al. 2023, arXiv:2208.05830; Richter et al. 2024, arXiv:2409.10753.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from polyscore.audio.codec import SpectrogramCodec
from polyscore.audio.denoiser import SpectrogramDenoiser
from polyscore.audio.networks.ncsnpp import NCSNpp
from polyscore.errors import CheckpointError, PolyscoreError
from polyscore.hub.kinds import pickle_words
from polyscore.hub.pickles import read_pickle
from polyscore.processes import OUVE, GaussianProcess, VEBridge

__all__ = ["Published", "describe", "read"]

#: How the published variants differ from the defaults of `NCSNpp`.
_BACKBONES: Mapping[str, Mapping[str, Any]] = {
    "ncsnpp": {},
    "ncsnpp_v2": {"divide_by_time": "never"},
    "ncsnpp_48k": {"divide_by_time": "output", "pyramid": "none", "attn_resolutions": ()},
}
_NETWORK = ("nf", "ch_mult", "num_res_blocks", "attn_resolutions", "image_size", "fourier_scale", "dropout")
#: Settings of the original networks that only ever had one value in published files; another one is another network.
_FIXED = {
    "nonlinearity": "swish",
    "resblock_type": "biggan",
    "embedding_type": "fourier",
    "progressive_combine": "sum",
    "fir": True,
    "conditional": True,
    "skip_rescale": True,
}


@dataclass(frozen=True)
class Published:
    """What a checkpoint of the original code holds, as objects of this library.

    Attributes:
        denoiser: network, process and parameterisation, in eval mode, with the weights asked for.
        codec: wave to compressed spectrogram and back.
        sample_rate: rate the network was trained at (Hz).
        frame_padding: how the original extends the frames to a multiple of 64: "zeros" or "reflect".
        t_eps: smallest time the network was trained at.
        steps: number of steps the checkpoint recommends (its ``N``).
    """

    denoiser: SpectrogramDenoiser
    codec: SpectrogramCodec
    sample_rate: int
    frame_padding: Literal["zeros", "reflect"]
    t_eps: float
    steps: int


class _SpecsDataModule:
    """Stands in for the class of that name in a checkpoint; it is never used."""


def read(path: str | os.PathLike[str], *, weights: Literal["ema", "raw"] = "ema") -> Published:
    """Read an SGMSE+ or Schroedinger-bridge checkpoint: backbones ncsnpp, ncsnpp_v2, ncsnpp_48k, processes ouve, sbve.

    Raises:
        CheckpointError: missing, damaged, not of that project, or with settings or tensors that do not fit.
    """
    if weights not in ("ema", "raw"):
        raise CheckpointError(f"{path}: weights is {weights!r}; expected 'ema' (the moving average) or 'raw'")
    content = _open(Path(path))
    hyper = content["hyper_parameters"]
    try:
        with torch.device("meta"):  # settings that do not fit the tensors build nothing
            values = _weights(_network(hyper), content, weights)
        with torch.random.fork_rng(devices=[]):  # constructors draw initial weights
            network = _network(hyper)
        published = Published(
            denoiser=_denoiser(hyper, network).eval(),
            codec=_codec(hyper),
            sample_rate=_sample_rate(hyper),
            frame_padding="reflect" if hyper["backbone"] in ("ncsnpp_v2", "ncsnpp_48k") else "zeros",
            t_eps=float(hyper.get("t_eps", 0.03)),
            steps=int(hyper.get("N", 30 if hyper["sde"] == "ouve" else 50)),
        )
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}") from error
    except (PolyscoreError, TypeError, ValueError, RuntimeError) as error:
        raise CheckpointError(f"{path}: its hyper_parameters make no model ({error})") from error
    with torch.no_grad():
        for parameter, value in zip(network.parameters(), values, strict=True):
            parameter.copy_(value)
    return published


def describe(path: str | os.PathLike[str]) -> dict[str, Any] | None:
    """What the checkpoint at ``path`` is, in words and numbers; None if it is not one of this project's originals.

    Raises:
        CheckpointError: it looks like one and cannot be read.
    """
    path = Path(path)
    if not path.is_file() or not {"hyper_parameters", "state_dict", "backbone", "sde"} <= pickle_words(path):
        return None
    content = _open(path)
    hyper, ema = content["hyper_parameters"], content.get("ema") or {}
    tensors = {name: value for name, value in content["state_dict"].items() if name.startswith("dnn.")}
    return {
        "kind": "sgmse",
        "what": "a training checkpoint of SGMSE+ (sp-uhh/sgmse), for speech enhancement",
        "use": f"polyscore enhance --model {path}",
        "network": hyper["backbone"],
        "parameters": sum(value.numel() for value in tensors.values()),
        "tensors": len(tensors),
        "process": hyper["sde"],
        "loss": hyper.get("loss_type", "score_matching"),
        "sample_rate": _sample_rate(hyper),
        "epoch": content.get("epoch"),
        "global_step": content.get("global_step"),
        "ema_updates": ema.get("num_updates"),
        "weights": ["ema", "raw"] if ema.get("shadow_params") else ["raw"],
    }


# ---------------------------------------------------------------------- the file


def _open(path: Path) -> dict[str, Any]:
    """The checkpoint's content, with its four parts checked."""
    # The data module that Lightning puts beside the settings is not needed.
    stand_ins = {"sgmse.data_module.SpecsDataModule": _SpecsDataModule}
    content = read_pickle(path, "an SGMSE checkpoint (.ckpt)", stand_ins=stand_ins)
    if "state_dict" not in content or "hyper_parameters" not in content:
        found = ", ".join(map(str, list(content)[:8]))
        raise CheckpointError(f"{path}: holds {found}; expected the state_dict and hyper_parameters of an SGMSE checkpoint")
    hyper = content["hyper_parameters"]
    if not isinstance(hyper, Mapping) or not {"backbone", "sde"} <= set(hyper):
        storm = isinstance(hyper, Mapping) and "backbone_score" in hyper
        kind = "a StoRM checkpoint" if storm else "of another project"
        raise CheckpointError(f"{path}: is {kind}; expected hyper_parameters with 'backbone' and 'sde' (sp-uhh/sgmse)")
    return content


def _weights(network: nn.Module, content: Mapping[str, Any], weights: str) -> list[Tensor]:
    """The tensors for ``network.parameters()``, in that order, with their shapes checked."""
    ema = content.get("ema") or {}
    own = list(network.named_parameters())
    if weights == "ema":
        if not ema.get("shadow_params"):
            raise CheckpointError("holds no moving average; ask for weights='raw'")
        values = list(ema["shadow_params"])
    elif ema.get("collected_params"):
        values = list(ema["collected_params"])
    else:
        values = _by_name(dict(own), content["state_dict"])
    if len(own) != len(values):
        raise CheckpointError(f"its moving average has {len(values)} tensors, its settings give {len(own)}")
    for (name, parameter), value in zip(own, values, strict=True):
        if not isinstance(value, Tensor) or value.shape != parameter.shape:
            found = tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
            raise CheckpointError(f"{name} is {found}, its settings give {tuple(parameter.shape)}")
    return values


def _by_name(own: Mapping[str, object], state: Mapping[str, Any]) -> list[Any]:
    values = {name.removeprefix("dnn."): value for name, value in state.items() if name.startswith("dnn.")}
    for label, names in (("lacks", own.keys() - values.keys()), ("also holds", values.keys() - own.keys())):
        if names:
            shown = ", ".join(f"dnn.{name}" for name in sorted(names)[:3])
            raise CheckpointError(f"does not fit its own settings: it {label} {len(names)} tensors ({shown})")
    return [values[name] for name in own]


# ---------------------------------------------------------------------- the settings


def _network(hyper: Mapping[str, Any]) -> NCSNpp:
    backbone = hyper["backbone"]
    if backbone not in _BACKBONES:
        raise CheckpointError(f"its network is {backbone!r}; expected one of {', '.join(_BACKBONES)}")
    for name, value in _FIXED.items():
        if name in hyper and hyper[name] != value:
            raise CheckpointError(f"its network has {name} = {hyper[name]!r}; expected {value!r}")
    settings = dict(_BACKBONES[backbone])
    settings.update({name: hyper[name] for name in _NETWORK if name in hyper})
    if backbone != "ncsnpp_v2":
        settings["centered"] = bool(hyper.get("centered", True))
        if not hyper.get("scale_by_sigma", True):
            settings["divide_by_time"] = "never"
    if "progressive" in hyper or "progressive_input" in hyper:
        found = (hyper.get("progressive"), hyper.get("progressive_input"))
        pyramids = {("output_skip", "input_skip"): "skip", ("none", "none"): "none"}
        if found not in pyramids:
            raise CheckpointError(f"its network has progressive and progressive_input {found}; expected {list(pyramids)}")
        settings["pyramid"] = pyramids[found]
    return NCSNpp(**settings)


def _process(hyper: Mapping[str, Any]) -> GaussianProcess:
    if hyper["sde"] == "ouve":
        return OUVE(
            theta=float(hyper.get("theta", 1.5)),
            sigma_min=float(hyper.get("sigma_min", 0.05)),
            sigma_max=float(hyper.get("sigma_max", 0.5)),
        )
    if hyper["sde"] == "sbve":
        return VEBridge(k=float(hyper.get("k", 2.6)), c=float(hyper.get("c", 0.4)), regulariser=float(hyper.get("eps", 1e-8)))
    raise CheckpointError(f"its process is {hyper['sde']!r}; expected 'ouve' or 'sbve'")


def _denoiser(hyper: Mapping[str, Any], network: NCSNpp) -> SpectrogramDenoiser:
    process = _process(hyper)
    if hyper["backbone"] != "ncsnpp_v2":
        return SpectrogramDenoiser(network, process, predicts="score", c_out="-1")
    loss = hyper.get("loss_type", "score_matching")
    predicts: dict[str, Literal["score", "mean", "x0"]] = {
        "score_matching": "score",
        "denoiser": "mean",
        "data_prediction": "x0",
    }
    if loss not in predicts:
        raise CheckpointError(f"its loss_type is {loss!r}; expected one of {', '.join(predicts)}")
    return SpectrogramDenoiser(
        network,
        process,
        predicts=predicts[loss],
        c_in=str(hyper.get("c_in", "1")),
        c_out=str(hyper.get("c_out", "1")),
        c_skip=str(hyper.get("c_skip", "0")),
        network_scaling=hyper.get("network_scaling"),
        sigma_data=float(hyper.get("sigma_data", 0.1)),
    )


def _codec(hyper: Mapping[str, Any]) -> SpectrogramCodec:
    large = hyper["backbone"] == "ncsnpp_48k"
    return SpectrogramCodec(
        n_fft=int(hyper.get("n_fft", 1534 if large else 510)),
        hop=int(hyper.get("hop_length", 384 if large else 128)),
        window=hyper.get("window", "hann"),
        transform=hyper.get("transform_type", "exponent"),
        exponent=float(hyper.get("spec_abs_exponent", 0.667 if large else 0.5)),
        factor=float(hyper.get("spec_factor", 0.065 if large else 0.15)),
    )


def _sample_rate(hyper: Mapping[str, Any]) -> int:
    return 48000 if hyper["backbone"] == "ncsnpp_48k" else int(hyper.get("sr", 16000))
