"""Verbs in processes that are killed: forked from a server that has imported everything, so that the time is the work's."""

from __future__ import annotations

import multiprocessing
import os
import sys
from multiprocessing.process import BaseProcess
from pathlib import Path

__all__ = ["start"]

_USED = [
    "polyscore.cli.main", "polyscore.audio", "polyscore.images", "polyscore.graphs.chem", "polyscore.robots.environments",
    "polyscore.training.engine", "polyscore.training.shards", "tests.core.training_parts", "tests.robustness.killing",
]  # fmt: skip


def start(words: list[str], folder: Path) -> BaseProcess:
    """The command in a process of its own, in a folder; its exit code is the command's, what it says is in `said`."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(_USED)
    process = context.Process(target=_run, args=(words, folder))
    process.start()
    return process


def _run(words: list[str], folder: Path) -> None:
    from polyscore.cli.main import main

    os.chdir(folder)
    with (folder / "said").open("w") as said:
        os.dup2(said.fileno(), 1)
        os.dup2(said.fileno(), 2)
        code = main(words)
        sys.stderr.flush()
    os._exit(code)
