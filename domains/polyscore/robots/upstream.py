"""Reads the run folders of BESO (intuitive-robots/beso), without its code and without Hydra.

| file | becomes |
|---|---|
| `.hydra/config.yaml`, `agents.model.inner_model` | `ScoreGPT`; `${...}` is resolved, no `_target_` is imported |
| `agents.sigma_min`, `sigma_max`, `rho`, `sigma_data` | process and `Sampling` |
| `model_state_dict.pth`, `non_ema_model_state_dict.pth` | averaged and raw weights, loaded strictly |
| `workspaces.scale_data`, `use_minmax_scaler` | how the normaliser is fitted to the training data; the folder holds none |

The settings of sampling are those of the published evaluations (block push: DDIM down to 0.1, kitchen: Euler ancestral; both
3 steps, linear), with the original's treatment of past actions and of bounds.

Source: Reuss et al. 2023, arXiv:2304.02532.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from polyscore.denoisers import Precondition
from polyscore.errors import CheckpointError, MissingExtraError, PolyscoreError
from polyscore.hub.pickles import read_pickle
from polyscore.processes import EDM
from polyscore.robots.demonstrations import Demonstrations
from polyscore.robots.features import First
from polyscore.robots.networks import ScoreGPT
from polyscore.robots.normalise import Kind, Normaliser, Scaling
from polyscore.robots.policy import Policy
from polyscore.robots.sampling import Sampling

__all__ = ["WEIGHTS", "Settings", "read", "tensors"]

WEIGHTS = {"ema": "model_state_dict.pth", "raw": "non_ema_model_state_dict.pth"}
_LARGEST = 8192  # of a size in the settings: a damaged file must not ask for a network of any size
_PREFIX = "inner_model."
_EVALUATION = {
    "block push": Sampling("ddim", 3, "linear", 0.1, 1.0, history="redenoise"),
    "kitchen": Sampling("euler_ancestral", 3, "linear", 0.005, 1.0, history="redenoise"),
}


def read(folder: str | os.PathLike[str], *, demonstrations: Demonstrations | None = None, weights: str = "ema") -> Policy:
    """The policy of a run folder.

    Args:
        folder: it holds `.hydra/config.yaml` and the weights.
        demonstrations: the data it was trained on, all episodes, from which the scaling is computed; may be left out where the
            run does not scale its data. Then actions are not clipped.
        weights: "ema" or "raw".

    Raises:
        CheckpointError: files are missing or damaged, settings or tensors do not fit, or the data are needed and not given.
    """
    place = Path(folder)
    if weights not in WEIGHTS:
        raise CheckpointError(f"{place}: weights is {weights!r}; expected 'ema' or 'raw'")
    settings = Settings.read(place / ".hydra" / "config.yaml")
    state = tensors(place / WEIGHTS[weights])
    try:
        with torch.device("meta"):
            network = settings.network()
        denoiser = Precondition(
            network,
            EDM(sigma_max=settings.number("agents.sigma_max"), sigma_min=settings.number("agents.sigma_min")),
            predicts="edm",
            time="edm",
            sigma_data=settings.number("agents.model.sigma_data"),
        )
        _fill(network, state, place / WEIGHTS[weights])
        normaliser = _normaliser(settings, network, demonstrations)
        keep = (0, 1, 3, 4) if network.state == 10 else ()  # the original masks goals that are 10 wide
        policy = Policy(
            denoiser, normaliser, First(network.state, keep), sampling=settings.sampling(), environment=settings.environment
        )
        if demonstrations is not None:
            kinds = settings.scaling()
            policy.prepare(demonstrations, state=kinds[0], action=kinds[1])
    except (PolyscoreError, KeyError, TypeError, ValueError) as error:
        raise error if isinstance(error, CheckpointError) else CheckpointError(f"{place}: {error}") from error
    return policy.eval()


def tensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a weights file under the names of `ScoreGPT`; the causal masks are checked and left out.

    Raises:
        CheckpointError: missing, damaged, or not of BESO.
    """
    out = {}
    for name, value in read_pickle(path, "the weights of a BESO run (.pth)").items():
        if not name.startswith(_PREFIX) or not isinstance(value, Tensor) or not value.is_floating_point():
            raise CheckpointError(f"{path}: holds {name!r}; expected tensors named {_PREFIX}...")
        if name.endswith("attn.mask"):
            size = value.shape[-1]
            if not torch.equal(value.reshape(size, -1), torch.ones(size, size, dtype=value.dtype).tril()):
                raise CheckpointError(f"{path}: {name} is no causal mask")
        else:
            out[name.removeprefix(_PREFIX)] = value
    return out


class Settings:
    """A Hydra configuration with its `${a.b.c}` resolved on demand."""

    def __init__(self, tree: Mapping[str, Any], path: Path) -> None:
        self.tree, self.path = tree, path

    @classmethod
    def read(cls, path: Path) -> Settings:
        """The settings of a file.

        Raises:
            CheckpointError: missing, or no YAML mapping.
            MissingExtraError: PyYAML is not installed.
        """
        try:
            import yaml
        except ImportError as error:
            raise MissingExtraError("BESO run folders are read with PyYAML: pip install 'polyscore[robots]'") from error
        try:
            tree = yaml.safe_load(path.read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
            raise CheckpointError(f"{path}: cannot be read ({str(error).splitlines()[0][:120]})") from error
        if not isinstance(tree, Mapping):
            raise CheckpointError(f"{path}: holds a {type(tree).__name__}; expected a configuration of Hydra")
        return cls(tree, path)

    def get(self, key: str, *, depth: int = 0) -> Any:
        """The value at a dotted key.

        Raises:
            CheckpointError: there is none, or its interpolation leads nowhere.
        """
        value: Any = self.tree
        for part in key.split("."):
            if not isinstance(value, Mapping) or part not in value:
                raise CheckpointError(f"{self.path}: has no {key}; expected the configuration of a BESO run")
            value = value[part]
        link = re.fullmatch(r"\$\{([\w.]+)\}", value) if isinstance(value, str) else None
        if link and depth > 20:
            raise CheckpointError(f"{self.path}: {key} refers to itself")
        return self.get(link[1], depth=depth + 1) if link else value

    def number(self, key: str) -> float:
        """A number."""
        value = self.get(key)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise CheckpointError(f"{self.path}: {key} is {value!r}, expected a number")
        return float(value)

    def size(self, key: str) -> int:
        """A whole number of reasonable size."""
        value = self.get(key)
        if isinstance(value, bool) or not isinstance(value, int) or not 0 < value <= _LARGEST:
            raise CheckpointError(f"{self.path}: {key} is {value!r}, expected a whole number from 1 to {_LARGEST}")
        return value

    @property
    def environment(self) -> str:
        """Which task it was trained for: "block push" or "kitchen"."""
        target = str(self.get("workspaces._target_"))
        return "kitchen" if "kitchen" in target.lower() else "block push"

    def network(self) -> ScoreGPT:
        """The network with initial weights."""
        at = "agents.model.inner_model."
        target = str(self.get(f"{at}_target_"))
        if target.rpartition(".")[2] != "DiffusionGPT":
            raise CheckpointError(f"{self.path}: its network is {target}; expected DiffusionGPT")
        return ScoreGPT(
            self.size(f"{at}state_dim"),
            self.size(f"{at}action_dim"),
            window=self.size(f"{at}obs_seq_len"),
            goals=self.size(f"{at}goal_seq_len") if self.get(f"{at}goal_conditioned") else 0,
            width=self.size(f"{at}embed_dim"),
            layers=self.size(f"{at}n_layers"),
            heads=self.size(f"{at}n_heads"),
            attention_dropout=self.number(f"{at}attn_pdrop"),
            dropout=self.number(f"{at}resid_pdrop"),
            embedding_dropout=self.number(f"{at}embed_pdrob"),
            hidden=0 if self.get(f"{at}linear_output") else 100,
        )

    def scaling(self) -> tuple[Kind, Kind]:
        """How states and actions are scaled."""
        if not self.get("workspaces.scale_data"):
            return "identity", "identity"
        workspace: Any = self.get("workspaces")
        return "standard", "range" if workspace.get("use_minmax_scaler") else "standard"

    def sampling(self) -> Sampling:
        """The published evaluation, with the run's guidance."""
        trained = self.number("cond_mask_prob") > 0
        return replace(_EVALUATION[self.environment], guidance=self.number("cond_lambda") if trained else 1.0)


def _normaliser(settings: Settings, network: ScoreGPT, demonstrations: Demonstrations | None) -> Normaliser:
    if demonstrations is None and settings.scaling() != ("identity", "identity"):
        raise CheckpointError(
            "the run scales its data and its folder holds no statistics; give the data it was trained on: "
            "Policy.from_pretrained(folder, demonstrations=polyscore.robots.data.readers.read(...))"
        )
    return Normaliser(Scaling(network.state), Scaling(network.action, widen="multiply"))


def _fill(network: ScoreGPT, state: Mapping[str, Tensor], path: Path) -> None:
    own = dict(network.named_parameters())
    for label, names in (("lacks", own.keys() - state.keys()), ("also holds", state.keys() - own.keys())):
        if names:
            raise CheckpointError(f"{path}: does not fit its settings: it {label} {', '.join(sorted(names)[:3])}")
    for name, parameter in own.items():
        if state[name].shape != parameter.shape:
            raise CheckpointError(f"{path}: {name} is {tuple(state[name].shape)}, its settings give {tuple(parameter.shape)}")
        if not bool(torch.isfinite(state[name]).all()):
            raise CheckpointError(f"{path}: {name} holds NaN or infinity")
    network.load_state_dict({name: state[name].detach().to(torch.float32, copy=True) for name in own}, assign=True)
