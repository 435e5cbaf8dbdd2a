"""From the settings in a checkpoint to its networks.

| name | in SGMSE | in StoRM |
|---|---|---|
| ncsnpp | 65,590,822 parameters, all sizes in the settings | 1 block, factors (1, 2, 2, 2), inputs mapped to 2 x - 1 |
| ncsnpp_v2, ncsnpp_48k | without division by t; without pyramids | - |
| ncsnpplarge, ncsnpp12M, ncsnpp6M | - | fixed sizes, inputs mapped to 2 x - 1 |
| dcunet | complex-valued | - |
| gagnet, convtasnet | - | predictors: spectrograms, waves |
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch import nn

from polyscore.audio.networks.convtasnet import ConvTasNet
from polyscore.audio.networks.dcunet import DCUNet
from polyscore.audio.networks.gagnet import GaGNet
from polyscore.audio.networks.ncsnpp import NCSNpp
from polyscore.errors import CheckpointError

__all__ = ["sgmse_network", "storm_network"]

Hyper = Mapping[str, Any]

#: How the published variants differ from the defaults of `NCSNpp`.
_SGMSE: Mapping[str, Mapping[str, Any]] = {
    "ncsnpp": {},
    "ncsnpp_v2": {"divide_by_time": "never"},
    "ncsnpp_48k": {"divide_by_time": "output", "pyramid": "none", "attn_resolutions": ()},
}
_SMALL = {"num_res_blocks": 1, "attn_resolutions": (0,)}
_STORM: Mapping[str, Mapping[str, Any]] = {
    "ncsnpp": {"ch_mult": (1, 2, 2, 2), **_SMALL},
    "ncsnpplarge": {},
    "ncsnpp12M": {"nf": 96, "ch_mult": (1, 2, 2, 1), **_SMALL},
    "ncsnpp6M": {"nf": 96, "ch_mult": (1, 1, 1, 1), **_SMALL},
}
_SIZES = ("nf", "ch_mult", "num_res_blocks", "attn_resolutions", "image_size", "fourier_scale", "dropout")
#: Settings of the original NCSN++ that only ever had one value in published files; another one is another network.
_FIXED = {
    "nonlinearity": "swish",
    "resblock_type": "biggan",
    "embedding_type": "fourier",
    "progressive_combine": "sum",
    "fir": True,
    "conditional": True,
    "skip_rescale": True,
    "spatial_channels": 1,
}
_DCUNET = (
    "architecture", "time_embedding", "temb_layers_global", "temb_layers_local", "temb_activation", "time_embedding_complex",
    "fix_length", "activation",
)  # fmt: skip
_GAGNET = (
    "k1", "k2", "c", "kd1", "cd1", "d_feat", "p", "q", "dilas", "fft_num", "is_u2", "causal", "is_squeezed", "acti_type",
    "intra_connect", "norm_type",
)  # fmt: skip
_CONVTASNET = ("fs", "win", "enc_dim", "feature_dim", "layer", "stack", "kernel", "causal")


def sgmse_network(hyper: Hyper) -> nn.Module:
    """The network of an SGMSE checkpoint.

    Raises:
        CheckpointError: a name or a setting that no published file has.
    """
    name = hyper["backbone"]
    if name == "dcunet":
        return _dcunet(hyper)
    if name not in _SGMSE:
        raise CheckpointError(f"its network is {name!r}; expected one of {', '.join([*_SGMSE, 'dcunet'])}")
    _check_fixed(hyper)
    settings = {**_SGMSE[name], **{key: hyper[key] for key in _SIZES if key in hyper}}
    if name != "ncsnpp_v2":
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


def storm_network(hyper: Hyper, name: str, *, inputs: int) -> nn.Module:
    """A network of a StoRM checkpoint; ``inputs`` complex spectrograms in, 1 for a predictor without time.

    Raises:
        CheckpointError: a name or a setting that no file has, or a network that cannot be what it is said to be.
    """
    predictors: Mapping[str, Callable[[], nn.Module]] = {
        "gagnet": lambda: _gagnet(hyper),
        "convtasnet": lambda: ConvTasNet(**{key: hyper[key] for key in _CONVTASNET if key in hyper}),
    }
    if name in predictors and inputs == 1:
        return predictors[name]()
    if name in predictors:
        raise CheckpointError(f"its score network is {name!r}, which knows no time; expected one of {', '.join(_STORM)}")
    if name not in _STORM:
        raise CheckpointError(f"its network is {name!r}; expected one of {', '.join([*_STORM, *predictors])}")
    _check_fixed(hyper)
    settings = dict(_STORM[name])
    if name == "ncsnpp":  # the others fix their sizes
        settings.update({key: hyper[key] for key in _SIZES if key in hyper})
    settings["centered"] = bool(hyper.get("centered", False))
    return NCSNpp(**settings, input_channels=2 * inputs, discriminative=inputs == 1)


def _check_fixed(hyper: Hyper) -> None:
    for name, value in _FIXED.items():
        if name in hyper and hyper[name] != value:
            raise CheckpointError(f"its network has {name} = {hyper[name]!r}; expected {value!r}")


def _dcunet(hyper: Hyper) -> DCUNet:
    for name, value in (("dcunet_norm_type", "bN"), ("dcunet_mask_bound", "none")):
        if hyper.get(name, value) != value:
            raise CheckpointError(f"its network has {name} = {hyper[name]!r}; expected {value!r}")
    settings = {key: hyper[f"dcunet_{key}"] for key in _DCUNET if f"dcunet_{key}" in hyper}
    return DCUNet(**settings, **({"embed_dim": hyper["embed_dim"]} if "embed_dim" in hyper else {}))


def _gagnet(hyper: Hyper) -> GaGNet:
    for name, value in (("cin", 2), ("dnn_channels", 1)):
        if hyper.get(name, value) != value:
            raise CheckpointError(f"its network has {name} = {hyper[name]!r}; expected {value!r}")
    return GaGNet(**{key: hyper[key] for key in _GAGNET if key in hyper})
