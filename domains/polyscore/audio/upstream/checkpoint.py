"""The file: a Lightning checkpoint of SGMSE or StoRM, opened without running anything in it, and its weights.

| part of the file | is |
|---|---|
| ``hyper_parameters`` | flat mapping of all constructor arguments |
| ``ema.shadow_params`` | moving average: a list without names, in the order of the module's parameters |
| ``ema.collected_params`` if there, else ``state_dict`` | the raw weights |
| ``state_dict`` | also the buffers (statistics of batch normalisation), which no average covers |

At the end of a validation the original stores the averaged weights in ``state_dict`` and the raw ones in
``collected_params``; that is why the list is always right and ``state_dict`` is not.
"""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from polyscore.errors import CheckpointError
from polyscore.hub.kinds import kind_of
from polyscore.hub.pickles import read_pickle

__all__ = ["Checkpoint", "open_checkpoint"]

Mode = str  # "score" | "predictor" | "regeneration"


class _SpecsDataModule:
    """Stands in for the class of that name in a checkpoint; it is never used."""


@dataclass(frozen=True)
class Checkpoint:
    """An opened checkpoint.

    Attributes:
        path: where it lies.
        content: all of it.
        project: "sgmse" or "storm", the code that wrote it.
        mode: "score" a score model or bridge, "predictor" a network without time, "regeneration" both.
    """

    path: Path
    content: Mapping[str, Any]
    project: str
    mode: Mode

    @property
    def hyper(self) -> Mapping[str, Any]:
        """The constructor arguments that trained it."""
        hyper: Mapping[str, Any] = self.content["hyper_parameters"]
        return hyper

    @property
    def has_average(self) -> bool:
        """Whether there is a moving average."""
        return bool((self.content.get("ema") or {}).get("shadow_params"))

    def tensors_of(self, prefixes: tuple[str, ...]) -> dict[str, Tensor]:
        """The entries of ``state_dict`` whose names start with one of ``prefixes``."""
        state = self.content["state_dict"]
        return {name: value for name, value in state.items() if name.startswith(tuple(f"{p}." for p in prefixes))}

    def weights(self, parts: Mapping[str, nn.Module], kind: str) -> dict[str, Tensor]:
        """Values for every parameter and buffer of ``parts`` (prefix -> network), by full name, with shapes checked.

        Raises:
            CheckpointError: names, number or shapes of the tensors are not those of the networks.
        """
        parameters = {f"{prefix}.{name}": value for prefix, part in parts.items() for name, value in part.named_parameters()}
        wanted = {f"{prefix}.{name}": value for prefix, part in parts.items() for name, value in part.state_dict().items()}
        chosen = self._chosen(parameters, kind)
        state = self.tensors_of(tuple(parts))
        _same_names(wanted.keys(), state.keys())
        values: dict[str, Any] = {**state, **chosen}
        for name, tensor in wanted.items():
            value = values[name]
            if not isinstance(value, Tensor) or value.shape != tensor.shape:
                found = tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
                raise CheckpointError(f"{name} is {found}, its settings give {tuple(tensor.shape)}")
        return values

    def _chosen(self, parameters: Mapping[str, Tensor], kind: str) -> dict[str, Tensor]:
        """The averaged or put-aside weights by name; none where ``state_dict`` holds those that are wanted."""
        ema = self.content.get("ema") or {}
        if kind == "ema" and not self.has_average:
            raise CheckpointError("holds no moving average; ask for weights='raw'")
        values = ema.get("shadow_params" if kind == "ema" else "collected_params")
        if not values:
            return {}
        names = list(parameters)
        trained = [name for name in names if parameters[name].requires_grad]
        if len(values) == len(trained):  # torch-ema before 0.3 leaves out what is not trained
            names = trained
        if len(values) != len(names):
            raise CheckpointError(f"its moving average has {len(values)} tensors, its settings give {len(names)}")
        return dict(zip(names, values, strict=True))


def open_checkpoint(path: Path) -> Checkpoint:
    """Read the file and find out which project wrote it.

    Raises:
        CheckpointError: missing, damaged, or of another project; the message says what was found.
    """
    if path.is_file() and not zipfile.is_zipfile(path):
        found = kind_of(path).text if path.stat().st_size else "an empty file"
        raise CheckpointError(f"{path}: is {found}; expected a checkpoint (.ckpt) of SGMSE or StoRM")
    # The data module that Lightning puts beside the settings is not needed.
    stand_ins = {"sgmse.data_module.SpecsDataModule": _SpecsDataModule}
    content = read_pickle(path, "an SGMSE or StoRM checkpoint (.ckpt)", stand_ins=stand_ins)
    hyper: Any = content.get("hyper_parameters")
    state: Any = content.get("state_dict")
    if not isinstance(hyper, Mapping) or not isinstance(state, Mapping):
        found = ", ".join(map(str, list(content)[:8]))
        raise CheckpointError(
            f"{path}: holds {found or 'nothing'}; expected the state_dict and hyper_parameters of an SGMSE or StoRM checkpoint"
        )
    if {"backbone_score", "backbone_denoiser", "sde"} <= set(hyper):
        return Checkpoint(path, content, "storm", "regeneration")
    if {"backbone", "sde"} <= set(hyper):
        # Settings that only StoRM's plain models have; both projects call them ScoreModel and their networks ncsnpp.
        storm = bool({"spatial_channels", "return_time", "discriminative"} & set(hyper))
        mode = "predictor" if hyper.get("discriminative") else "score"
        return Checkpoint(path, content, "storm" if storm else "sgmse", mode)
    found = ", ".join(sorted(map(str, hyper))[:8])
    raise CheckpointError(
        f"{path}: is a checkpoint of another project, with hyper_parameters {found or '(none)'}; expected 'backbone' and 'sde' "
        "(sp-uhh/sgmse), or 'backbone_denoiser', 'backbone_score' and 'sde' (sp-uhh/storm)"
    )


def _same_names(wanted: Any, found: Any) -> None:
    for label, names in (("lacks", wanted - found), ("also holds", found - wanted)):
        if names:
            shown = ", ".join(sorted(names)[:3])
            raise CheckpointError(f"does not fit its own settings: it {label} {len(names)} tensors ({shown})")
