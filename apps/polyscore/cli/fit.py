"""``polyscore fit --config NAME|FILE.yaml [overrides]``: train a model, or go on with a run.

The run's folder (``--out``, else ``runs/<name of the first configuration>``) holds the whole configuration, the last
checkpoint, the logs and the model as ``model/``, which ``polyscore sample`` and the other verbs read. The same command again
goes on with a run that was stopped. With several processes (``--trainer.devices 4``) the first one reports.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from polyscore.cli import configs, flags
from polyscore.cli.console import say
from polyscore.cli.report import Report
from polyscore.errors import InputError, MissingExtraError

if TYPE_CHECKING:
    from polyscore.training.run import Run

__all__ = ["HELP", "PASSES_ON", "add_arguments", "run"]

HELP = "train a model from a YAML configuration, or go on with a run that was stopped"
PASSES_ON = True

_PROCESS = ("RANK", "LOCAL_RANK", "NODE_RANK", "SLURM_PROCID")  # 0, or absent, in the first process

_EXAMPLES = """
examples:
  polyscore fit --config images/digits
  polyscore fit --config images/digits --limit 20 --out trial
  polyscore fit --config images/digits --trainer.max_epochs 40 --data.init_args.batch_size 64
  polyscore fit --resume --out runs/digits --trainer.max_epochs 80
  polyscore fit --config mine.yaml --trainer.accelerator gpu --trainer.devices 8 --trainer.num_nodes 2 --trainer.strategy ddp

The same command again goes on where the run was stopped. Any option of the configuration may follow, as --trainer.X,
--model.init_args.X or --data.init_args.X;
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
        help="go on with the run in the folder although the model or the data are configured otherwise, or from this checkpoint",
    )
    parser.add_argument(
        "--logger",
        action="append",
        default=[],
        choices=("csv", "tensorboard", "wandb"),
        help="where numbers are logged, may be repeated (default: csv, or what the configuration says)",
    )
    parser.add_argument(
        "--limit",
        type=flags.whole(1),
        metavar="N",
        help="a short trial: N steps, N batches of validation, then the model is written as after a whole run",
    )
    parser.add_argument("--help-all", action="store_true", help="list every parameter of the trainer, which takes some seconds")


def run(args: argparse.Namespace) -> int:
    """Train, and report the last metrics."""
    if find_spec("lightning") is None or find_spec("jsonargparse") is None:
        raise MissingExtraError("training needs lightning and jsonargparse: pip install 'polyscore[train]'")
    if args.help_all:
        from polyscore.training.engine import all_options

        print(all_options())
        return 0
    if any(int(os.environ.get(name, "0")) for name in _PROCESS):  # started by the first process, or by a cluster beside it
        args.report, args.quiet = None, True
    with Report("fit", args) as report:
        files, folder = _place(args)
        flags.threads(args.threads)
        run = _assemble(args, files, folder)
        report.model, report.device, report.seed = str(folder / "model"), str(run.trainer.strategy.root_device), run.seed
        with run.claim(changed=args.resume is not None):
            _train(run, _checkpoint(args.resume, run), report, quiet=args.quiet)
    return report.exit_code


def _train(run: Run, resume: Path | None, report: Report, *, quiet: bool) -> None:
    start = f", from {resume}" if resume else ""
    say(f"training in {run.folder} on {report.device}{start}", quiet=quiet)
    with report.item(run.config_path, run.folder / "model") as item:
        if not run.fit(resume=resume):
            item.skip("the run was finished already; --trainer.max_epochs (or max_steps) makes it longer")
            say(f"{run.folder}: {item['error']}", quiet=quiet)
        item["epochs"], item["steps"] = run.trainer.current_epoch, run.trainer.global_step
        say(f"done: {run.folder / 'model'}", quiet=quiet)
    values = run.trainer.callback_metrics.items()
    report.metrics = {name: float(value) for name, value in values if not name.endswith(("_step", "_epoch"))}


def _place(args: argparse.Namespace) -> tuple[list[Path], Path]:
    """The configuration files and the run's folder; with --resume, the folder's own configuration will do.

    Raises:
        InputError: neither.
        ConfigError: a file that is no configuration.
    """
    files = [configs.find(name) for name in args.config]
    if not files and args.resume and args.out:
        from polyscore.training.run import CONFIG

        files = [path for path in (args.out / CONFIG,) if path.is_file()]
    if not files:
        raise InputError("no --config; give a file or a name such as images/digits (or --resume with the --out of a run)")
    for file in files:
        configs.check(file)
    return files, args.out or Path("runs") / files[0].stem


def _checkpoint(resume: str | None, run: Run) -> Path | None:
    """The checkpoint to go on from, None to begin.

    Raises:
        InputError: there is no such file.
    """
    if resume is None or resume == "last":
        return run.last()
    if not Path(resume).is_file():
        raise InputError(f"--resume {resume}: there is no such file")
    return Path(resume)


def _assemble(args: argparse.Namespace, files: list[Path], folder: Path) -> Run:
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
        trainer={**_devices(args.device), **_trial(args.limit), "enable_progress_bar": watched},
        loggers=args.logger,
        callbacks=shown,
    )


def _trial(steps: int | None) -> dict[str, Any]:
    """The trainer's arguments for ``--limit``."""
    return {} if steps is None else {"max_steps": steps, "limit_val_batches": steps, "num_sanity_val_steps": 0}


def _devices(name: str | None) -> dict[str, Any]:
    """The trainer's arguments for ``--device``."""
    if name is None:
        return {}
    if name == "auto":
        return {"accelerator": "auto"}
    device = flags.device(name)
    return {"accelerator": device.type, **({"devices": [device.index]} if ":" in name else {})}
