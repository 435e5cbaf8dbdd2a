"""The robots' part of ``polyscore demo``: a film of the shipped policy, or, with ``--train-robot``, of one that is trained now.

Both run other verbs and say which. Training records demonstrations of the scripted expert, trains on them and lets the policy
act; nothing is downloaded.
"""

from __future__ import annotations

import argparse
import json
import shlex
from importlib.util import find_spec
from pathlib import Path

from polyscore.cli.console import say
from polyscore.cli.report import Item, Report
from polyscore.errors import PolyscoreError

__all__ = ["add_arguments", "run"]

_FILMED, _TESTED = 4, 32
_EPISODES, _EPOCHS = 500, 4
_TRAINING_SEED = 100_000  # far from the seeds of the rollouts


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Whether to train."""
    parser.add_argument(
        "--train-robot",
        action="store_true",
        help=f"train the policy that is filmed, on {_EPISODES} demonstrations recorded now (some minutes)",
    )


def run(report: Report, args: argparse.Namespace) -> None:
    """Add the films, and what led to them, to the folder and the report."""
    folder = args.out / "robot"
    with report.item("push-blocks", folder) as item:
        absent = [name for name in ("mujoco", "gymnasium") if find_spec(name) is None]
        if absent:
            item.skip(f"needs {' and '.join(absent)}: pip install 'polyscore[robots]'")
        elif args.train_robot:
            _train(args, folder)
            _act(args, item, folder, str(folder / "run" / "model"), _TESTED)
        else:
            _act(args, item, folder, "push-blocks", _FILMED)


def _train(args: argparse.Namespace, folder: Path) -> None:
    demonstrations = folder / "demonstrations.npz"
    _verb(args, "data", "record", "--episodes", str(_EPISODES), "--seed", str(_TRAINING_SEED), "--out", str(demonstrations))
    words = ["--config", "robots/push", "--data.init_args.path", str(demonstrations), "--out", str(folder / "run")]
    _verb(args, "fit", *words, "--trainer.max_epochs", str(_EPOCHS), "--threads", str(args.threads))


def _act(args: argparse.Namespace, item: Item, folder: Path, model: str, episodes: int) -> None:
    words = ["--model", model, "--episodes", str(episodes), "--seed", str(args.seed), "--out", str(folder)]
    _verb(args, "rollout", *words, "--device", args.device, "--threads", str(args.threads))
    films = [path for path in (folder / "grid.mp4", folder / "grid.gif") if path.is_file()]
    item["output"] = str(max(films, key=lambda path: path.stat().st_mtime))
    metrics = json.loads((folder / "rollout.json").read_text(encoding="utf-8"))["metrics"]
    item["count"], item["full_success"] = episodes, metrics["full_success"]["share"]


def _verb(args: argparse.Namespace, name: str, *words: str) -> None:
    from polyscore.cli.main import main

    say(f"$ polyscore {name} {shlex.join(words)}", quiet=args.quiet)
    code = main([name, *words, "--quiet"])
    if code:
        raise PolyscoreError(f"`polyscore {name}` ended with code {code}; its message is above")
