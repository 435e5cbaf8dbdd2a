"""``polyscore info PATH``: what a checkpoint is, from its headers; nothing is unpickled."""

from __future__ import annotations

import argparse
import importlib
import json
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from polyscore.cli import flags
from polyscore.cli.console import say
from polyscore.cli.report import Report

__all__ = ["HELP", "add_arguments", "run", "describe", "DESCRIBERS"]

HELP = "say what a checkpoint, model folder or scheduler configuration is"

# Modules with ``describe(path) -> Mapping | None``: what they know of a published checkpoint, or None if it is not
# theirs.
DESCRIBERS = ("polyscore.audio.upstream", "polyscore.graphs.upstream")

Facts = Mapping[str, Any]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Paths or names of shipped models."""
    parser.add_argument("paths", nargs="+", metavar="PATH", help="a file, a folder, or the name of a shipped model")
    flags.add(parser, "report", "quiet")


def run(args: argparse.Namespace) -> int:
    """Print the facts of each path."""
    from polyscore.errors import InputError
    from polyscore.hub.shipped import find

    with Report("info", args) as report:
        for name in args.paths:
            with report.item(name) as item:
                path = find(name) or Path(name)
                if not path.exists():
                    raise InputError(f"{name}: there is no such file, folder or shipped model")
                facts = describe(path)
                item.update(facts)
                width = max(map(len, facts))
                lines = (f"  {key.replace('_', ' '):{width}}  {_shown(value)}" for key, value in facts.items())
                say("\n".join([name, *lines]), quiet=args.quiet)
    return report.exit_code


def describe(path: Path) -> dict[str, Any]:
    """What ``path`` is: ``kind``, ``what``, and what its headers say."""
    from polyscore.hub.kinds import kind_of

    kind = kind_of(path)
    facts: dict[str, Any] = {"kind": kind.name, "what": kind.text}
    return {**facts, **_BY_KIND.get(kind.name, _nothing_more)(path)}


def _of_folder(path: Path) -> Facts:
    from polyscore.hub.card import card_fields
    from polyscore.hub.folder import CARD, WEIGHTS, read_config

    config = read_config(path)
    card = card_fields((path / CARD).read_text(encoding="utf-8")) if (path / CARD).is_file() else {}
    return {
        "class": config["class_path"],
        "summary": card.get("summary", "(no card)"),
        "licence": card.get("license", "not stated"),
        "saved_by": f"polyscore {config.get('polyscore', '(unknown)')}",
        **_of_tensors(path / WEIGHTS),
        "arguments": config.get("init_args", {}),
    }


def _of_tensors(path: Path) -> Facts:
    from polyscore.hub.files import readable_size
    from polyscore.hub.weights import read_header

    header = read_header(path)
    kinds = Counter(dtype for dtype, _ in header.tensors.values())
    return {
        "size": readable_size(header.bytes),
        "tensors": len(header.tensors),
        "values": header.values,
        "dtypes": dict(kinds),
        "first_names": sorted(header.tensors)[:4],
    }


def _of_pickle(path: Path) -> Facts:
    from polyscore.errors import MissingExtraError
    from polyscore.hub.files import readable_size
    from polyscore.hub.kinds import pickle_words

    size = {"size": readable_size(path.stat().st_size)}
    for name in DESCRIBERS:
        try:
            module = importlib.import_module(name)
        except (MissingExtraError, ModuleNotFoundError):
            continue  # that domain's packages are not installed
        facts = module.describe(path)
        if facts is not None:
            return {**size, **facts}
    return {**size, **(_of_training(path) or {"keys_found": sorted(pickle_words(path))[:12]})}


def _of_training(path: Path) -> Facts | None:
    """Epoch, step and tensors of a training checkpoint, by torch's restricted reader; None if that refuses the file."""
    from torch import Tensor

    from polyscore.errors import CheckpointError
    from polyscore.hub.pickles import read_pickle

    try:
        content = read_pickle(path)
    except CheckpointError:
        return None
    state = content.get("state_dict", content)
    state = state if isinstance(state, Mapping) else {}
    tensors = [value for value in state.values() if isinstance(value, Tensor)]
    facts: dict[str, Any] = {key: content[key] for key in ("epoch", "global_step", "pytorch-lightning_version") if key in content}
    return {
        **facts,
        "keys": sorted(map(str, content))[:12],
        "tensors": len(tensors),
        "values": sum(tensor.numel() for tensor in tensors),
    }


def _of_scheduler(path: Path) -> Facts:
    file = path / "scheduler_config.json" if path.is_dir() else path
    config = json.loads(file.read_text(encoding="utf-8"))
    facts: dict[str, Any] = {
        "class": config.get("_class_name"),
        "diffusers": config.get("_diffusers_version", "(unknown)"),
    }
    from polyscore.errors import PolyscoreError
    from polyscore.interchange import from_diffusers

    try:
        process, sampler, grid = from_diffusers(config)
    except PolyscoreError as error:
        return {**facts, "as_polyscore": f"not covered: {error}"}
    return {**facts, "process": repr(process), "sampler": repr(sampler), "grid": repr(grid)}


def _nothing_more(path: Path) -> Facts:
    return {}


_BY_KIND: Mapping[str, Callable[[Path], Facts]] = {
    "polyscore": _of_folder,
    "safetensors": _of_tensors,
    "lightning": _of_pickle,
    "torch": _of_pickle,
    "diffusers-scheduler": _of_scheduler,
}


def _shown(value: object) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_shown(part)}" for key, part in value.items())
    if isinstance(value, (list, tuple)):
        return ", ".join(map(_shown, value))
    return str(value)
