"""``polyscore fit --config NAME|FILE.yaml [overrides]``: train a model, or go on with a run.

The run's folder (``--out``, else ``runs/<name of the first configuration>``) holds the whole configuration, the last checkpoint, the logs and the
model as ``model/``, which ``polyscore sample`` and the other verbs read. With several processes (``--trainer.devices 4``) the first one reports.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from polyscore.cli import configs, flags
from polyscore.cli.console import say
from polyscore.cli.report import Report

if TYPE_CHECKING:
    from polyscore.training.engine import Assembled

__all__ = ["HELP", "PASSES_ON", "add_arguments", "run"]

HELP = "train a model from a YAML configuration, or resume a run"
PASSES_ON = True

_EXAMPLES = """
examples:
  polyscore fit --config images/digits
  polyscore fit --config images/digits --trainer.max_epochs 40 --data.init_args.batch_size 64
  polyscore fit --config images/digits --resume
  polyscore fit --config mine.yaml --trainer.accelerator gpu --trainer.devices 8 --trainer.num_nodes 2 --trainer.strategy ddp

Any option of the configuration may follow, as --trainer.X, --model.init_args.X or --data.init_args.X;
`polyscore fit --help-all` lists those of the trainer.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The configuration, the run's folder, and how to go on."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = _EXAMPLES
    parser.add_argument(
        "--config",
        "-c",
        action="append",
        default=[],
        metavar="NAME|FILE.yaml",
        help="a shipped configuration (images/digits) or a file; of several, later ones win",
    )
    flags.add(
        parser,
        "out",
        "seed",
        "device",
        "threads",
        "report",
        "quiet",
        out={"metavar": "DIR", "help": "folder of the run (default: runs/NAME of the configuration)"},
        seed={"default": None, "help": "seed of weights, data order and noise (default: that of the configuration)"},
        device={"default": None, "help": "auto, cpu, cuda, cuda:N or mps (default: what the configuration says)"},
    )
    parser.add_argument(
        "--resume",
        "--ckpt_path",
        nargs="?",
        const="last",
        metavar="FILE.ckpt",
        help="go on from the last checkpoint of the folder, or from this one",
    )
    parser.add_argument(
        "--logger",
        action="append",
        default=[],
        choices=("csv", "tensorboard", "wandb"),
        help="where numbers are logged, may be repeated (default: csv, or what the configuration says)",
    )
    parser.add_argument("--help-all", action="store_true", help="list every parameter of the trainer, which takes some seconds")


def run(args: argparse.Namespace) -> int:
    """Train, and report the last metrics."""
    if args.help_all:
        from polyscore.training.engine import all_options

        print(all_options())
        return 0
    first = int(os.environ.get("LOCAL_RANK", "0")) == 0  # Lightning starts the other processes with this command
    args.report, args.quiet = (args.report, args.quiet) if first else (None, True)
    files, folder = _place(args, first=first)
    resume = _checkpoint(args.resume, folder)
    with Report("fit", args) as report:
        flags.threads(args.threads)
        run = _assemble(args, files, folder)
        report.model, report.device = str(folder / "model"), str(run.trainer.strategy.root_device)
        say(f"training in {folder} on {report.device}", quiet=args.quiet)
        with report.item(", ".join(map(str, files)), folder / "model") as item:
            run.fit(resume=resume)
            item["epochs"], item["steps"] = run.trainer.current_epoch, run.trainer.global_step
            say(f"done: {folder / 'model'}", quiet=args.quiet)
        report.metrics = {name: float(value) for name, value in run.trainer.callback_metrics.items()}
    return report.exit_code


def _place(args: argparse.Namespace, *, first: bool) -> tuple[list[Path], Path]:
    """The configuration files and the run's folder.

    Raises:
        InputError: no configuration, or a folder that holds a run which is not to be resumed.
    """
    from polyscore.errors import InputError
    from polyscore.training.engine import CONFIG

    files = [configs.find(name) for name in args.config]
    if not files and not (args.resume and args.out and (args.out / CONFIG).is_file()):
        raise InputError("no --config; give a file or a name such as images/digits (or --resume with the --out of a run)")
    folder: Path = args.out or Path("runs") / files[0].stem
    for file in files:
        configs.check(file)
    if first and not args.resume and (folder / CONFIG).exists():
        raise InputError(f"{folder} holds a run already; --resume goes on with it, --out DIR starts another")
    return files or [folder / CONFIG], folder


def _checkpoint(resume: str | None, folder: Path) -> Path | None:
    """The checkpoint to go on from; None to begin, also where a run was stopped before its first checkpoint.

    Raises:
        InputError: there is no such run or file.
    """
    from polyscore.errors import InputError
    from polyscore.training.engine import CONFIG, LAST

    if resume is None:
        return None
    if resume != "last":
        if not Path(resume).is_file():
            raise InputError(f"--resume {resume}: there is no such file")
        return Path(resume)
    if not (folder / CONFIG).exists():
        raise InputError(f"--resume: {folder} holds no run; leave --resume out to begin one")
    return folder / LAST if (folder / LAST).exists() else None


def _assemble(args: argparse.Namespace, files: list[Path], folder: Path) -> Assembled:
    from lightning.pytorch.callbacks import Callback, RichProgressBar

    from polyscore.cli.progress import EpochLines
    from polyscore.training.engine import assemble

    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    watched = sys.stderr.isatty() and not args.quiet
    shown: list[Callback] = [] if args.quiet else [RichProgressBar()] if watched else [EpochLines()]
    return assemble(
        files,
        folder=folder,
        overrides=args.rest,
        seed=args.seed,
        trainer={**_devices(args.device), "enable_progress_bar": watched},
        loggers=args.logger,
        callbacks=shown,
    )


def _devices(name: str | None) -> dict[str, Any]:
    """The trainer's arguments for ``--device``."""
    if name is None:
        return {}
    if name == "auto":
        return {"accelerator": "auto", "devices": "auto"}
    device = flags.device(name)
    return {"accelerator": device.type, "devices": [device.index] if device.index is not None else 1}
