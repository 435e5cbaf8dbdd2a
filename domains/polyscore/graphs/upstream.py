"""Reads the published checkpoints of GDSS (harryjo97/GDSS) and the regressors of MOOD (SeulLee05/MOOD), without their code.

A file is a torch pickle of tensors, numbers and mappings. It is opened by torch's restricted unpickler; the one foreign class it
names (a mapping with attribute access) is read as an ordered mapping, so that class need not be installed.

| part of the file | becomes |
|---|---|
| `params_x`, `params_adj` (arguments of the networks) | `ScoreNetworkX`, `ScoreNetworkXGMH`, `ScoreNetworkA` |
| `x_state_dict`, `adj_state_dict` (with or without `module.`) | the raw weights |
| `ema_x`, `ema_adj`: `shadow_params`, a list in the order of the state dict | the averaged weights |
| `model_config.sde` | VP, VE or SubVP per leaf; for VE the two betas are sigma_min and sigma_max |
| `params`, `state_dict` (MOOD) | `PropertyRegressor` |

The settings of sampling are not in all files, and in one file they are not those that were published; they are kept here, as are
the numbers of nodes of the training graphs, which the original read from its data.

Source: Jo et al. 2022, arXiv 2202.02514; Lee et al. 2023, arXiv 2206.07632.
"""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from polyscore.errors import CheckpointError, PolyscoreError
from polyscore.graphs.denoiser import GraphDenoiser, ScoreNetworks
from polyscore.graphs.methods import Settings
from polyscore.graphs.networks import PropertyRegressor, ScoreNetworkA, ScoreNetworkX, ScoreNetworkXGMH
from polyscore.graphs.processes import graph_process
from polyscore.graphs.published import PUBLISHED, PublishedData
from polyscore.hub.kinds import pickle_words
from polyscore.hub.pickles import read_pickle
from polyscore.processes import VE, VP, GaussianProcess, SubVP

__all__ = ["Published", "Weights", "describe", "read", "read_regressor"]

Weights = Literal["published", "ema", "raw"]

_NETWORKS: Mapping[str, type[nn.Module]] = {
    "ScoreNetworkX": ScoreNetworkX,
    "ScoreNetworkX_GMH": ScoreNetworkXGMH,
    "ScoreNetworkA": ScoreNetworkA,
}
_LARGEST = 4096  # of a size in the settings: a damaged file must not ask for a network of any size


@dataclass(frozen=True)
class Published:
    """What a checkpoint of GDSS holds, as objects of this library.

    Attributes:
        denoiser: networks, processes and parameterisation, in eval mode, with the weights asked for.
        data: what is known of its training data: sizes, atoms, settings of sampling.
        weights: which weights these are, "ema" or "raw".
    """

    denoiser: GraphDenoiser
    data: PublishedData
    weights: str


def read(path: str | os.PathLike[str], *, weights: Weights = "published") -> Published:
    """Read a checkpoint of GDSS.

    Args:
        path: the file.
        weights: "published" takes the moving average where the authors sampled with it (ENZYMES, grid).

    Raises:
        CheckpointError: missing, damaged, not of that project, or with settings or tensors that do not fit.
    """
    if weights not in ("published", "ema", "raw"):
        raise CheckpointError(f"{path}: weights is {weights!r}; expected 'published', 'ema' or 'raw'")
    content = _open(Path(path))
    if not {"params_x", "params_adj", "x_state_dict", "adj_state_dict"} <= set(content):
        raise CheckpointError(f"{path}: holds {', '.join(map(str, content))}; expected a checkpoint of GDSS (params_x, ...)")
    try:
        data = _data(content)
        chosen = weights if weights != "published" else ("ema" if data.use_ema else "raw")
        networks = {leaf: _network(content[f"params_{leaf}"]) for leaf in ("x", "adj")}
        for leaf, network in networks.items():
            _fill(network, _tensors(content, leaf, chosen))
        process, predicts = _process(content["model_config"]["sde"])
        denoiser = GraphDenoiser(ScoreNetworks(**networks), process, predicts)
    except (PolyscoreError, KeyError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        raise CheckpointError(f"{path}: {_reason(error)}") from error
    return Published(denoiser.eval(), data, chosen)


def read_regressor(path: str | os.PathLike[str]) -> PropertyRegressor:
    """Read a property regressor of MOOD.

    Raises:
        CheckpointError: missing, damaged, not of that project, or with settings or tensors that do not fit.
    """
    content = _open(Path(path))
    if not {"params", "state_dict"} <= set(content):
        raise CheckpointError(f"{path}: holds {', '.join(map(str, content))}; expected a regressor of MOOD (params, state_dict)")
    try:
        with torch.device("meta"):
            regressor = PropertyRegressor(**_sizes(content["params"], {"dropout"}))
        _fill(regressor, _named(content["state_dict"]))
    except (PolyscoreError, KeyError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        raise CheckpointError(f"{path}: {_reason(error)}") from error
    return regressor.eval()


def describe(path: str | os.PathLike[str]) -> dict[str, Any] | None:
    """What the checkpoint at `path` is, in words and numbers; None if it is not one of these projects' originals.

    Raises:
        CheckpointError: it looks like one and cannot be read.
    """
    words = pickle_words(Path(path)) if Path(path).is_file() else set()
    if {"model_config", "params", "state_dict", "max_feat_num"} <= words and "params_x" not in words:
        regressor = read_regressor(path)
        return {
            "kind": "mood",
            "what": "a property regressor of MOOD (SeulLee05/MOOD), for molecules",
            "parameters": sum(p.numel() for p in regressor.parameters()),
            "nodes": regressor.max_node_num,
        }
    if not {"model_config", "params_x", "params_adj", "x_state_dict"} <= words:
        return None
    published = read(path)
    process: Any = published.denoiser.process
    return {
        "kind": "gdss",
        "what": f"a checkpoint of GDSS (harryjo97/GDSS), trained on {published.data.name}",
        "use": f"polyscore molecules --model {path}" if published.data.atoms else f"GraphGenerator.from_pretrained('{path}')",
        "parameters": sum(p.numel() for p in published.denoiser.parameters()),
        "process": {leaf: type(process[leaf]).__name__ for leaf in process},
        "weights": published.weights,
    }


# ---------------------------------------------------------------------- the file


def _open(path: Path) -> dict[str, Any]:
    # The class of its settings is a mapping with attribute access, which is not needed.
    return read_pickle(path, "a checkpoint of GDSS or MOOD (.pth)", stand_ins={"easydict.EasyDict": OrderedDict})


def _reason(error: Exception) -> str:
    if isinstance(error, PolyscoreError):
        return str(error)
    return f"its settings make no model ({type(error).__name__}: {str(error).splitlines()[0][:200] if str(error) else ''})"


# ---------------------------------------------------------------------- weights


def _named(state: Mapping[str, Any]) -> dict[str, Any]:
    return {name.removeprefix("module."): value for name, value in state.items()}


def _tensors(content: Mapping[str, Any], leaf: str, weights: str) -> dict[str, Any]:
    raw = _named(content[f"{leaf}_state_dict"])
    if weights == "raw":
        return raw
    shadow = (content.get(f"ema_{leaf}") or {}).get("shadow_params")
    if not shadow:
        raise CheckpointError("holds no moving average; ask for weights='raw'")
    if len(shadow) != len(raw):
        raise CheckpointError(f"its moving average of {leaf} has {len(shadow)} tensors, the network {len(raw)}")
    return dict(zip(raw, shadow, strict=True))


def _fill(network: nn.Module, tensors: Mapping[str, Any]) -> None:
    """Give a network without memory its tensors, whose names and shapes must be its own."""
    own = dict(network.named_parameters())
    for label, names in (("lacks", own.keys() - tensors.keys()), ("also holds", tensors.keys() - own.keys())):
        if names:
            raise CheckpointError(f"does not fit its settings: it {label} {len(names)} tensors ({', '.join(sorted(names)[:3])})")
    for name, parameter in own.items():
        value = tensors[name]
        if not isinstance(value, Tensor) or value.shape != parameter.shape or not value.is_floating_point():
            found = tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
            raise CheckpointError(f"{name} is {found}, its settings give {tuple(parameter.shape)}")
        if not torch.isfinite(value).all():
            raise CheckpointError(f"{name} holds NaN or infinity")
    network.load_state_dict({name: tensors[name].detach().to(torch.float32, copy=True) for name in own}, assign=True)


# ---------------------------------------------------------------------- settings


def _sizes(params: Mapping[str, Any], free: set[str]) -> dict[str, Any]:
    for name, value in params.items():
        if name not in free and not (isinstance(value, int) and 0 < value <= _LARGEST):
            raise CheckpointError(f"its setting {name} is {value!r}; expected a whole number from 1 to {_LARGEST}")
    return dict(params)


def _network(params: Mapping[str, Any]) -> nn.Module:
    settings = dict(params)
    kind = settings.pop("model_type", None)
    if kind not in _NETWORKS:
        raise CheckpointError(f"its network is {kind!r}; expected one of {', '.join(_NETWORKS)}")
    with torch.device("meta"):  # settings that do not fit the tensors build nothing
        return _NETWORKS[kind](**_sizes(settings, {"conv"}))


def _process(sde: Mapping[str, Any]) -> tuple[Any, dict[str, str]]:
    processes, predicts = {}, {}
    for leaf in ("x", "adj"):
        kind, low, high = sde[leaf]["type"], float(sde[leaf]["beta_min"]), float(sde[leaf]["beta_max"])
        made: Mapping[str, GaussianProcess] = {"VP": VP(low, high), "VE": VE(low, high), "subVP": SubVP(low, high)}
        if kind not in made:
            raise CheckpointError(f"its process of {leaf} is {kind!r}; expected one of {', '.join(made)}")
        processes[leaf], predicts[leaf] = made[kind], "score" if kind == "VE" else "eps"
    return graph_process(**processes), predicts


def _data(content: Mapping[str, Any]) -> PublishedData:
    """The facts about its data set; for one that was not published, sizes and settings have to be guessed."""
    config = content["model_config"]["data"]
    name = str(config["data"])
    if name == "ZINC250k" and content["params_x"]["model_type"] == "ScoreNetworkX_GMH":
        data = PUBLISHED[name]
        return replace(data, presets={k: replace(v, scale=0.8) for k, v in data.presets.items()})
    if name in PUBLISHED:
        return PUBLISHED[name]
    largest = int(content["params_adj"]["max_node_num"])
    return PublishedData(name, (*[0] * largest, 1), presets={"exact": Settings(), "fast": Settings(steps=300)})
