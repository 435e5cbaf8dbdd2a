"""Reads the checkpoints of diffusion-point-cloud (luost26/diffusion-point-cloud): autoencoder, Gaussian and flow models.

| name in the checkpoint | becomes |
|---|---|
| `encoder.conv{i}`, `encoder.bn{i}` | `encoder.points.{3 i - 3}`, `encoder.points.{3 i - 2}` |
| `encoder.fc{i}_m`, `encoder.fc_bn{i}_m` (`_v`) | `encoder.mean.{3 i - 3}`, `encoder.mean.{3 i - 2}` (`log_variance`) |
| `diffusion.net.layers.i.{_layer,_hyper_gate,_hyper_bias}` | `network.layers.i.{value,gate,bias}` |
| `flow.chain.i.net_s_t.j` | `flow.layers.i.j` |
| `diffusion.var_sched.betas` | compared with the table of the settings; the other buffers follow from it |

Source: Luo and Hu 2021, arXiv 2103.01458.
"""

from __future__ import annotations

import argparse
import os
import re
from typing import Any

import torch
from torch import Tensor

from polyscore.errors import CheckpointError, InputError
from polyscore.hub.pickles import read_pickle
from polyscore.processes import linear_betas
from polyscore.shapes.networks import CouplingFlow, PointEncoder, PointwiseNet
from polyscore.shapes.points import PointGenerator, PointTable

__all__ = ["read_points"]

_LARGEST = 8192  # of a size in the settings: a damaged file must not ask for a network of any size
_HEADS = {"m": "mean", "v": "log_variance"}
_RULES: tuple[tuple[str, Any], ...] = (
    (r"^encoder\.conv(\d)", lambda found: f"encoder.points.{3 * int(found[1]) - 3}"),
    (r"^encoder\.bn(\d)", lambda found: f"encoder.points.{3 * int(found[1]) - 2}"),
    (r"^encoder\.fc(\d)_(m|v)", lambda found: f"encoder.{_HEADS[found[2]]}.{3 * int(found[1]) - 3}"),
    (r"^encoder\.fc_bn(\d)_(m|v)", lambda found: f"encoder.{_HEADS[found[2]]}.{3 * int(found[1]) - 2}"),
    (r"^diffusion\.net\.layers\.(\d)\._layer", r"network.layers.\1.value"),
    (r"^diffusion\.net\.layers\.(\d)\._hyper_(gate|bias)", r"network.layers.\1.\2"),
    (r"^flow\.chain\.(\d+)\.net_s_t", r"flow.layers.\1"),
)


def read_points(path: str | os.PathLike[str]) -> PointGenerator:
    """The model of a checkpoint. The codes of an autoencoder have no law: `encode` and `decode` are what it is for.

    A flow with spectral normalisation is refused: its stored weights are not those that were used.

    Raises:
        CheckpointError: missing, damaged, or settings and tensors that do not fit.
    """
    place = os.fspath(path)
    content = read_pickle(path, "a checkpoint of diffusion-point-cloud", stand_ins={"argparse.Namespace": argparse.Namespace})
    try:
        settings, state = vars(content["args"]), dict(content["state_dict"])
        model = _model(settings)
        betas = state["diffusion.var_sched.betas"].double()
        if betas.shape != (len(model.process) + 1,) or not torch.allclose(betas[1:], torch.tensor(model.process.betas).double()):
            raise CheckpointError(f"{place}: its table of betas is not that of its settings")
        model.load_state_dict(_renamed(state), strict=True, assign=True)
    except (KeyError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        raise CheckpointError(f"{place}: no checkpoint of diffusion-point-cloud: {error}") from error
    return model.requires_grad_(False).eval()


def _renamed(state: dict[str, Tensor]) -> dict[str, Tensor]:
    out = {}
    for name, value in state.items():
        if not name.startswith("diffusion.var_sched."):
            for pattern, new in _RULES:
                name = re.sub(pattern, new, name)
            out[name] = value
    return out


def _model(settings: dict[str, Any]) -> PointGenerator:
    """The model of the settings, on the meta device."""

    def size(key: str) -> int:
        value = int(settings[key])
        if not 1 <= value <= _LARGEST:
            raise InputError(f"{key} is {value}, expected 1 to {_LARGEST}")
        return value

    kind = settings.get("model", "autoencoder")
    if kind not in {"autoencoder", "AutoEncoder", "gaussian", "flow"}:
        raise InputError(f"its kind is {kind!r}; expected gaussian, flow or an autoencoder")
    if settings.get("sched_mode", "linear") != "linear" or (kind == "flow" and settings.get("spectral_norm")):
        raise InputError("it has another schedule than the linear one, or spectral normalisation")
    latent, table = size("latent_dim"), linear_betas(size("num_steps"), float(settings["beta_1"]), float(settings["beta_T"]))
    with torch.device("meta"):
        flow = CouplingFlow(latent, size("latent_flow_depth"), size("latent_flow_hidden_dim")) if kind == "flow" else None
        network = PointwiseNet(latent, residual=bool(settings.get("residual", True)))
        encoder = PointEncoder(latent)
    truncate = float(settings.get("truncate_std") or 2.0)
    return PointGenerator(network, encoder, flow, process=PointTable(table), truncate=truncate)
