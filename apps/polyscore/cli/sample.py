"""``polyscore sample --model digits -n 64 --classes 0-9 -o OUT``: draw samples from a generative model.

``OUT`` becomes a folder with ``grid.png``, ``samples.npz`` (``images`` (n, C, H, W) in [0, 1], ``seeds`` and, where there are
classes, ``labels``), and ``shards/``, the parts as they were finished. A run that was stopped goes on with ``--resume``; sample i
depends on seed + i and on the model alone, so the result is the one of a run that was not stopped, however many processes worked
on it.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterable
from typing import TYPE_CHECKING

from polyscore.cli import drawing, flags
from polyscore.cli.console import say, track
from polyscore.cli.report import Report
from polyscore.cli.samplers import SAMPLERS, make
from polyscore.errors import InputError

if TYPE_CHECKING:
    import torch

    from polyscore.cli.drawing import Drawing
    from polyscore.images import ImageGenerator
    from polyscore.training.shards import Shards

__all__ = ["HELP", "add_arguments", "parse_classes", "run"]

HELP = "draw samples from a generative model, as a picture and as arrays"

_GRID = 400  # a picture of more is no picture any more


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The model, how many of what, how, and where to."""
    flags.add(
        parser,
        *flags.RUN,
        model={
            "default": "digits",
            "help": "a shipped model (see `polyscore models`) or the path of a saved one (default: digits)",
        },
        out={"required": True, "metavar": "DIR", "help": "folder for grid.png, samples.npz and the finished parts"},
        seed={"help": "seed of the first sample, the next has the next (default: 0)"},
        steps={"default": 10, "help": "steps of the sampler (default: 10)"},
        sampler={"default": "dpmpp-2m", "help": f"one of {', '.join(SAMPLERS)} (default: dpmpp-2m)"},
        batch_size={"default": 64, "help": "samples at a time, and in one part of the output (default: 64)"},
    )
    parser.add_argument("-n", "--count", type=flags.whole(1), default=64, metavar="N", help="number of samples (default: 64)")
    parser.add_argument("--classes", metavar="LIST", help="classes to draw in turn, such as 0-9 or 3,1,4 (default: all in turn)")
    parser.add_argument(
        "--guidance",
        type=flags.finite,
        default=2.0,
        metavar="SCALE",
        help="classifier-free guidance; 1 is none, others evaluate the network twice a step (default: 2)",
    )
    parser.add_argument(
        "--devices",
        type=flags.whole(1),
        default=1,
        metavar="N",
        help="processes or accelerators that share the work (default: 1)",
    )
    parser.add_argument("--resume", action="store_true", help="go on with a run that was stopped")


def run(args: argparse.Namespace) -> int:
    """Draw what is missing, then write the picture and the arrays."""
    first = int(os.environ.get("LOCAL_RANK", "0")) == 0  # Lightning starts the other processes with this command
    args.report, args.quiet = (args.report, args.quiet) if first else (None, True)
    flags.threads(args.threads)
    with Report("sample", args) as report:
        sampler = make(args.sampler)
        device = flags.device(args.device)
        report.device = str(device)
        model = _model(args.model, device)
        labels = parse_classes(args.classes, model.classes, args.count)
        work = drawing.Drawing(model, sampler, args.steps, guidance=args.guidance, seed=args.seed, labels=labels)
        shards = _shards(args, device, first=first)
        missing = shards.missing()
        _record(report, args, shards, set(range(len(shards))) - set(missing), work, skipped=True)
        if args.devices > 1:
            drawing.predict(shards, work, device=device, devices=args.devices, folder=args.out)
            _record(report, args, shards, missing, work)
        else:
            for shard in track(missing, "sampling", total=len(missing), quiet=args.quiet):
                shards.write(shard, work(model, list(shards.items(shard))))
                _record(report, args, shards, [shard], work)
        report.nfe = work.evaluations
        if first:
            _write(args, shards)
            say(f"{args.count} samples: {args.out / 'grid.png'}", quiet=args.quiet)
    return report.exit_code


def parse_classes(text: str | None, classes: int, count: int) -> list[int] | None:
    """`0-9` or `3,1,4-6` as one label for each of `count` samples, in turn; None for a model without classes.

    Raises:
        InputError: not such a list, or a class the model does not know.
    """
    if not classes:
        if text is not None:
            raise InputError("--classes: this model has no classes")
        return None
    labels: list[int] = []
    for part in (text or f"0-{classes - 1}").split(","):
        ends = part.strip().split("-")
        if len(ends) > 2 or not all(end.isascii() and end.isdigit() and len(end) < 10 for end in ends):
            raise InputError(f"--classes {text}: '{part}' is no class; expected a list such as 0-9 or 3,1,4")
        if not int(ends[0]) <= int(ends[-1]) < classes:
            raise InputError(f"--classes {text}: '{part}'; expected classes from 0 to {classes - 1}, in rising order")
        labels += range(int(ends[0]), int(ends[-1]) + 1)
    return [labels[i % len(labels)] for i in range(count)]


def _model(name: str, device: torch.device) -> ImageGenerator:
    from polyscore.hub import load
    from polyscore.images import ImageGenerator

    model = load(name, device=device)
    if not isinstance(model, ImageGenerator):
        raise InputError(
            f"--model {name} is a {type(model).__name__}, which `polyscore sample` cannot draw from; expected an image generator"
        )
    return model


def _shards(args: argparse.Namespace, device: torch.device, *, first: bool) -> Shards:
    """The parts of this run.

    Raises:
        InputError: the folder holds a run that is not to be resumed, or one with other settings.
        PolyscoreError: it cannot be written.
    """
    from polyscore.hub.files import check_writable, output_error
    from polyscore.training.shards import Shards

    settings = {name: getattr(args, name) for name in ("seed", "steps", "sampler", "guidance", "classes")}
    settings |= {"model": drawing.fingerprint(args.model), "device": device.type}
    shards = Shards(args.out / "shards", args.count, args.batch_size, settings)
    if first:
        check_writable(args.out / "grid.png")
        try:
            shards.folder.mkdir(exist_ok=args.resume)  # of two runs that start at once, one finds the other's folder
        except FileExistsError:
            what = "holds samples already; --resume goes on with them, or give another --out"
            raise InputError(f"{args.out} {what}") from None
        except OSError as error:
            raise output_error(shards.folder, error) or error from error
    shards.create()
    return shards


def _record(
    report: Report, args: argparse.Namespace, shards: Shards, which: Iterable[int], work: Drawing, *, skipped: bool = False
) -> None:
    """An item for every sample of these parts."""
    for i in (i for shard in sorted(which) for i in shards.items(shard)):
        label = None if work.labels is None else work.labels[i]
        target = f"{args.out / 'samples.npz'}[{i}]"
        item = report.add(f"sample {i}", target, seconds=work.seconds.get(i, 0.0), label=label, seed=args.seed + i)
        if skipped:
            item.skip("it was finished before")


def _write(args: argparse.Namespace, shards: Shards) -> None:
    """The arrays and the picture of all parts."""
    import numpy as np

    from polyscore.hub import atomic_path
    from polyscore.pictures import grid, pixels, write_png
    from polyscore.training.shards import gather

    found = gather(shards.folder)
    arrays = {"images": found["x"].numpy(), "seeds": args.seed + np.arange(args.count)}
    labels = found["label"].numpy() if "label" in found else None
    with atomic_path(args.out / "samples.npz") as path:
        np.savez(path, **arrays if labels is None else {**arrays, "labels": labels})
    distinct = 1 if labels is None else len(np.unique(labels))
    columns = distinct if 1 < distinct <= 16 else max(1, round(min(args.count, _GRID) ** 0.5))
    pictures = pixels(found["x"][:_GRID])
    write_png(args.out / "grid.png", grid(pictures, columns=columns, zoom=max(1, 48 // pictures.shape[2])))
