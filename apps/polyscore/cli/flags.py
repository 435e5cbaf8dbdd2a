"""The common flags: one name, one meaning, one type, whichever the verb.

``flags.add(parser, "model", "out", "seed", out={"required": True})`` picks flags and changes what a verb needs changed.
``flags.threads(args.threads)`` and ``flags.device(args.device)`` act on two of them, inside ``run``.
"""

from __future__ import annotations

import argparse
import math
import os
import re
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from polyscore.errors import InputError

if TYPE_CHECKING:
    import torch

__all__ = ["add", "threads", "device", "whole", "finite", "FLAGS", "MAKE", "RUN", "SCORE"]

RUN = ("model", "out", "seed", "steps", "sampler", "device", "threads", "batch_size", "report", "quiet")
"""What every verb that runs a model has."""

MAKE = ("model", "out", "seed", "device", "threads", "report", "quiet")
"""What a verb has that makes one thing, or a few, with a way of sampling that is its model's."""

SCORE = ("out", "seed", "threads", "report", "quiet")
"""What every verb that measures has."""


def add(parser: argparse.ArgumentParser, *names: str, **changes: Mapping[str, Any]) -> None:
    """Add the flags of these names (``batch_size`` for ``--batch-size``), with keyword changes by name."""
    for name in (*names, *(change for change in changes if change not in names)):
        options, settings = FLAGS[name]
        parser.add_argument(*options, **{**settings, **changes.get(name, {})})


def threads(count: int) -> None:
    """Let torch, and what is loaded after it, use ``count`` CPU threads."""
    if "numpy" not in sys.modules:  # BLAS libraries read these once, when they are loaded
        for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
            os.environ.setdefault(variable, str(count))
    import torch

    torch.set_num_threads(count)


def device(name: str) -> torch.device:
    """The device to compute on: ``auto`` takes cuda, else mps, else cpu.

    Raises:
        InputError: the device named is not there.
    """
    import torch

    found = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        return torch.device(next(kind for kind, there in found.items() if there))
    chosen = torch.device(name)
    if not found[chosen.type] or (chosen.index or 0) >= max(1, torch.cuda.device_count()):
        there = ", ".join(kind for kind, is_there in found.items() if is_there)
        raise InputError(f"--device {name}: this machine has no such device; it has {there}")
    return chosen


def whole(least: int) -> Callable[[str], int]:
    """An argparse type: a whole number that is at least ``least``."""

    def number(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"'{text}' is not a whole number") from None
        if value < least:
            raise argparse.ArgumentTypeError(f"{value} is too small; expected {least} or more")
        return value

    return number


def finite(text: str) -> float:
    """An argparse type: a number that is neither infinite nor undefined."""
    try:
        value = float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"'{text}' is not a number") from None
    if not math.isfinite(value):
        raise argparse.ArgumentTypeError(f"{text} is not finite; expected a number")
    return value


def _device_name(text: str) -> str:
    if re.fullmatch(r"auto|cpu|mps|cuda(:\d+)?", text) is None:
        raise argparse.ArgumentTypeError(f"'{text}' is no device; expected auto, cpu, cuda, cuda:N or mps")
    return text


FLAGS: Mapping[str, tuple[tuple[str, ...], Mapping[str, Any]]] = MappingProxyType(
    {
        "model": (
            ("--model",),
            {"metavar": "NAME|PATH", "help": "a shipped model (see `polyscore models`) or the path of a saved one"},
        ),
        "out": (("--out", "-o"), {"metavar": "PATH", "type": Path, "help": "where the output goes"}),
        "seed": (
            ("--seed",),
            {
                "metavar": "N",
                "type": whole(0),
                "default": 0,
                "help": "seed of the noise; every item has its own (default: 0)",
            },
        ),
        "steps": (
            ("--steps",),
            {"metavar": "N", "type": whole(1), "help": "steps of the sampler (default: the model's own)"},
        ),
        "sampler": (("--sampler",), {"metavar": "NAME", "help": "the sampler (default: the model's own)"}),
        "preset": (("--preset",), {"metavar": "NAME", "help": "a named choice of sampler, grid and steps"}),
        "device": (
            ("--device",),
            {
                "metavar": "NAME",
                "type": _device_name,
                "default": "auto",
                "help": "auto, cpu, cuda, cuda:N or mps (default: auto, the fastest there is)",
            },
        ),
        "threads": (
            ("--threads",),
            {
                "metavar": "N",
                "type": whole(1),
                "default": 1,
                "help": "CPU threads (default: 1; on a small busy machine two spinning threads were 13 to 37 times "
                "slower than one, so give more only to cores that are free)",
            },
        ),
        "batch_size": (
            ("--batch-size",),
            {"metavar": "N", "type": whole(1), "default": 1, "help": "items at a time (default: 1)"},
        ),
        "report": (
            ("--report",),
            {"metavar": "FILE.json", "type": Path, "help": "write what was done, item by item, as JSON"},
        ),
        "quiet": (("--quiet",), {"action": "store_true", "help": "print errors only"}),
    }
)
