"""``polyscore evaluate KIND``: the field's own scores of what a model made, one module a kind.

A kind is a module ``polyscore.cli.evaluate_<kind>`` that looks like a verb: ``HELP``, ``add_arguments(parser)``, ``run(args)``.
"""

from __future__ import annotations

import argparse
import importlib
from typing import Any

__all__ = ["HELP", "KINDS", "add_arguments", "run"]

HELP = "score what a model made, against a reference: speech, molecules, graphs, video, music, points or any samples"

KINDS = ("speech", "molecules", "graphs", "video", "music", "points", "samples")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The kinds, each with its own arguments."""
    kinds = parser.add_subparsers(dest="task", required=True, metavar="KIND", help="what the files are: " + ", ".join(KINDS))
    for kind in KINDS:
        module = _module(kind)
        own = kinds.add_parser(kind, help=module.HELP, description=module.HELP, allow_abbrev=False)
        module.add_arguments(own)
        # the verb's own flag, allowed behind the kind as well; without it the verb's default stays
        own.add_argument("--debug", action="store_true", default=argparse.SUPPRESS, help="show the full traceback of an error")


def run(args: argparse.Namespace) -> int:
    """Score files of the kind that was named."""
    code: int = _module(args.task).run(args)
    return code


def _module(kind: str) -> Any:
    return importlib.import_module(f"polyscore.cli.evaluate_{kind}")
