"""``polyscore convert FILE -o FOLDER``: a published checkpoint of another project as a saved model of ours."""

from __future__ import annotations

import argparse
import hashlib
import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from polyscore.cli import flags
from polyscore.cli.console import say
from polyscore.cli.report import Report

__all__ = ["HELP", "SOURCES", "add_arguments", "run"]

HELP = "write a published checkpoint (SGMSE, StoRM, GDSS) as a folder of safetensors and JSON"

# Module with ``describe(path)``, and the class whose ``from_pretrained(path)`` makes the model a user calls.
SOURCES = (
    ("polyscore.audio.upstream", "polyscore.audio.pipeline", "SpeechEnhancer"),
    ("polyscore.graphs.upstream", "polyscore.graphs.pipeline", "GraphGenerator"),
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The checkpoint, the folder, and which weights."""
    parser.add_argument("checkpoint", metavar="FILE", type=Path, help="a checkpoint as its project published it")
    flags.add(parser, "out", "report", "quiet", out={"required": True, "help": "the folder to write"})
    parser.add_argument("--weights", choices=("ema", "raw"), help="the moving average or the raw weights (default: what is run)")


def run(args: argparse.Namespace) -> int:
    """Recognise, load, save."""
    from polyscore import hub
    from polyscore.hub.files import readable_size

    with Report("convert", args) as report, report.item(args.checkpoint, args.out) as item:
        facts, pipeline = _recognise(args.checkpoint)
        chosen = {} if args.weights is None else {"weights": args.weights}
        model = pipeline.from_pretrained(args.checkpoint, **chosen)
        folder = hub.save(args.out, model, card=_card(args.checkpoint, facts, args.weights))
        size = sum(part.stat().st_size for part in folder.iterdir())
        item.update(kind=facts["kind"], parameters=facts.get("parameters"), bytes=size)
        say(f"{facts['what']}\n-> {folder} ({readable_size(size)})", quiet=args.quiet)
    return report.exit_code


def _recognise(path: Path) -> tuple[Mapping[str, Any], Any]:
    """What the file is, and the class that loads it."""
    from polyscore.errors import CheckpointError, InputError, MissingExtraError
    from polyscore.hub.kinds import kind_of, pickle_words

    if not path.exists():
        raise InputError(f"{path}: no such file; expected a published checkpoint")
    for source, module, name in SOURCES:
        try:
            facts = importlib.import_module(source).describe(path)
            if facts is not None:
                return facts, getattr(importlib.import_module(module), name)
        except (MissingExtraError, ModuleNotFoundError):
            continue  # that domain's packages are not installed
    found = kind_of(path).text
    words = sorted(pickle_words(path)) if path.is_file() else []
    keys = f", with the texts {', '.join(words[:6])}" if words else ""
    raise CheckpointError(f"{path}: is {found}{keys}; expected a checkpoint of SGMSE, StoRM or GDSS as published")


def _card(path: Path, facts: Mapping[str, Any], weights: str | None) -> str:
    from polyscore.hub.card import card_template

    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return card_template(
        path.stem,
        f"Converted from {facts['what']}",
        data=f"Not stated in the file. Its SHA-256 was {digest}.",
        licence="not stated",
        metrics={},
        command=f"polyscore convert {path.name} -o {path.stem}" + (f" --weights {weights}" if weights else ""),
    )
