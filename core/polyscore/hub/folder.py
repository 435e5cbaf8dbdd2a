"""A saved model is a folder: ``config.json`` (how to build it), ``model.safetensors`` (its tensors), ``card.md``.

``load(save(path, model))`` is the same model, bit for bit, in the dtypes it was saved in. Nothing in the folder is
code and nothing is unpickled.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import nn

from polyscore.errors import CheckpointError, ConfigError
from polyscore.hub.card import default_card
from polyscore.hub.config import build, config_of
from polyscore.hub.files import atomic_directory
from polyscore.hub.kinds import kind_of
from polyscore.hub.shipped import find
from polyscore.hub.weights import load_weights, read_header, save_weights

__all__ = ["save", "load", "load_as", "read_config", "FORMAT", "CONFIG", "WEIGHTS", "CARD"]

M = TypeVar("M", bound=nn.Module)

FORMAT = 1
CONFIG, WEIGHTS, CARD = "config.json", "model.safetensors", "card.md"


def save(path: str | os.PathLike[str], model: nn.Module, *, card: str = "") -> Path:
    """Write the folder ``path``, whole or not at all, and return it. An earlier save of that name is replaced.

    ``card`` is markdown (:func:`polyscore.hub.card_template` writes one with data, licence, metrics and command).

    Raises:
        ConfigError: the model's constructor arguments cannot be read back (see :mod:`polyscore.hub.config`).
        CheckpointError: its state holds something that is no tensor with values.
        PolyscoreError: the place cannot be written, or holds other files.
    """
    config = {"format": FORMAT, "polyscore": _version(), **config_of(model)}
    with atomic_directory(path) as folder:
        save_weights(folder / WEIGHTS, model)
        (folder / CONFIG).write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
        (folder / CARD).write_text(card or default_card(model), encoding="utf-8")
    return Path(path)


def load(path: str | os.PathLike[str], *, allow: Sequence[str] = (), device: str | torch.device = "cpu") -> Any:
    """The model saved in the folder ``path``, or shipped under that name (``"digits"``, ``"images/digits"``).

    It comes in eval mode, on ``device``, in the dtypes it was saved in.

    A shipped name wins over a folder of the same name here; write ``./digits`` for the folder. ``allow`` lists
    packages besides ``polyscore`` whose classes the configuration may name: allow only what you trust as much as your
    own code. The global random state is left as it was.

    Raises:
        CheckpointError: nothing there, something else there (the message says what), damaged, or tensors that do not
            fit.
        ConfigError: the configuration names a class or argument that is not allowed or not there.
    """
    folder = find(os.fspath(path)) or Path(path)
    if not (folder / CONFIG).is_file():
        raise CheckpointError(_not_a_model(path, folder))
    read_header(folder / WEIGHTS)  # before a network of any size is built
    config = read_config(folder)
    with torch.random.fork_rng(devices=[]):  # constructors draw initial weights
        try:
            model = build({key: config[key] for key in ("class_path", "init_args") if key in config}, allow=allow)
        except ConfigError as error:
            raise ConfigError(f"{folder / CONFIG}: {error}") from error
    if not isinstance(model, nn.Module):
        raise CheckpointError(f"{folder / CONFIG} describes a {type(model).__name__}, expected a torch module")
    load_weights(folder / WEIGHTS, model)
    return model.to(device).eval()


def load_as(kind: type[M], path: str | os.PathLike[str], *, device: str | torch.device = "cpu") -> M:
    """`load`, of a model that has to be a `kind`.

    Raises:
        CheckpointError: as `load`, or the model is of another kind.
    """
    model = load(path, device=device)
    if not isinstance(model, kind):
        article = "an" if kind.__name__[0] in "AEIOU" else "a"
        raise CheckpointError(f"{os.fspath(path)} is a {type(model).__name__}, expected {article} {kind.__name__}")
    return model


def read_config(folder: Path) -> dict[str, Any]:
    """The parsed ``config.json`` of a folder.

    Raises:
        CheckpointError: missing, not JSON, or of a format this version does not know.
    """
    file = folder / CONFIG
    try:
        config = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError(f"{file} cannot be read: {error}") from error
    if not isinstance(config, dict) or "class_path" not in config:
        raise CheckpointError(f"{file} is no configuration of polyscore: it has no class_path")
    if config.get("format") != FORMAT:
        raise CheckpointError(
            f"{file} has format {config.get('format')!r}, this is polyscore {_version()} and reads {FORMAT}; "
            f"it was written by polyscore {config.get('polyscore', '(unknown)')}"
        )
    return config


def _not_a_model(path: str | os.PathLike[str], folder: Path) -> str:
    if not folder.exists():
        return f"there is no model '{os.fspath(path)}': no shipped model (`polyscore models`) and no folder has that name"
    found = kind_of(folder).text
    return f"{folder} is {found}; expected a folder with {CONFIG} and {WEIGHTS}, as polyscore.hub.save writes it"


def _version() -> str:
    try:
        return importlib.metadata.version("polyscore")
    except importlib.metadata.PackageNotFoundError:
        return "(not installed)"
