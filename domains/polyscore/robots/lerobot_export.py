r"""A policy as a folder that LeRobot loads with the plug-in `lerobot_policy_polyscore`.

| file | content |
|---|---|
| `config.json` | LeRobot's configuration: type "polyscore", features, and our own `config.json` as text |
| `model.safetensors` | the weights and the scaling of the policy, names after "policy." |
| `policy_preprocessor.json`, `policy_postprocessor.json` | LeRobot's pipelines: a batch axis and the device; no scaling |
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from polyscore.errors import InputError
from polyscore.hub import config_of
from polyscore.hub.files import atomic_directory
from polyscore.hub.weights import save_tensors
from polyscore.robots.policy import Policy

__all__ = ["export"]

_DEVICE = {"registry_name": "device_processor", "config": {"device": "cpu", "float_dtype": None}}
_BEFORE = [
    {"registry_name": "rename_observations_processor", "config": {"rename_map": {}}},
    {"registry_name": "to_batch_processor", "config": {}},
    _DEVICE,
]
_KINDS = {"observation.state": "STATE", "observation.environment_state": "ENV"}


def export(path: Path, policy: Policy, observation: Mapping[str, int]) -> Path:
    """Write the folder, whole or not at all; returns it.

    Args:
        path: the folder.
        policy: what is written.
        observation: LeRobot's features that make an observation, side by side in this order, and their widths.

    Raises:
        InputError: the policy does not take observations of that width, or a name that LeRobot has no kind for.
    """
    unknown = [name for name in observation if name not in _KINDS]
    if unknown or not observation or min(observation.values()) < 1:
        raise InputError(f"export: observation {dict(observation)}, expected widths of some of {', '.join(_KINDS)}")
    policy.encode(torch.zeros(1, sum(observation.values())))  # refuses a width its features do not take
    network: Any = policy.denoiser.network
    config = {
        "type": "polyscore",
        "n_obs_steps": getattr(network, "observed", network.window),
        "input_features": {name: {"type": _KINDS[name], "shape": [width]} for name, width in observation.items()},
        "output_features": {"action": {"type": "ACTION", "shape": [policy.normaliser.action.width]}},
        "device": "cpu",
        "use_amp": False,
        "push_to_hub": False,
        "model": json.dumps(config_of(policy)),
        "window": network.window,
        "observed": getattr(network, "observed", network.window),
        "goals": network.goals,
    }
    texts = {
        "config.json": config,
        "policy_preprocessor.json": {"name": "policy_preprocessor", "steps": _BEFORE},
        "policy_postprocessor.json": {"name": "policy_postprocessor", "steps": [_DEVICE]},
    }
    with atomic_directory(path) as folder:
        for name, content in texts.items():
            (folder / name).write_text(json.dumps(content, indent=4), encoding="utf-8")
        weights = {f"policy.{name}": value.detach().cpu().contiguous().clone() for name, value in policy.state_dict().items()}
        save_tensors(folder / "model.safetensors", weights, {"format": "pt"})
    return path
