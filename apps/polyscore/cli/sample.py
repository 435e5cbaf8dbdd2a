"""``polyscore sample --model digits -n 64 --labels 0-9 -o OUT``: draw samples from a generative model.

``OUT`` becomes a folder with ``grid.png``, ``samples.npy`` (n, C, H, W) in [0, 1], ``labels.npy`` where there are classes, and ``shards/``, the parts
as they were finished. A run that was stopped goes on with ``--resume``; sample i depends on seed + i and on the model alone, so the
result is the one of a run that was not stopped, however many processes worked on it.
"""

from __future__ import annotations

import argparse
import logging
import os
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from polyscore.cli import flags
from polyscore.cli.console import say, track
from polyscore.cli.report import Report
from polyscore.cli.samplers import SAMPLERS, make
from polyscore.errors import InputError

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from polyscore.images import ImageGenerator
    from polyscore.training.shards import Shards

__all__ = ["HELP", "Drawing", "add_arguments", "parse_labels", "run"]

HELP = "draw samples from a generative model, as a picture and as arrays"

_GRID = 400  # a picture of more is no picture any more


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The model, how many of what, how, and where to."""
    flags.add(
        parser,
        "model",
        "out",
        "seed",
        "steps",
        "sampler",
        "device",
        "threads",
        "batch_size",
        "report",
        "quiet",
        model={
            "default": "digits",
            "help": "a shipped model (see `polyscore models`) or the path of a saved one (default: digits)",
        },
        out={"required": True, "metavar": "DIR", "help": "folder for grid.png, samples.npy, labels.npy and the finished parts"},
        steps={"default": 10, "help": "steps of the sampler (default: 10)"},
        sampler={"default": "dpmpp-2m", "help": f"one of {', '.join(SAMPLERS)} (default: dpmpp-2m)"},
        batch_size={"default": 64, "help": "samples at a time, and in one part of the output (default: 64)"},
    )
    parser.add_argument("-n", "--count", type=flags.whole(1), default=64, metavar="N", help="number of samples (default: 64)")
    parser.add_argument("--labels", metavar="LIST", help="classes to draw in turn, such as 0-9 or 3,1,4 (default: all in turn)")
    parser.add_argument(
        "--guidance",
        type=float,
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
        device = flags.device(args.device)
        report.device = str(device)
        model = _model(args.model, device)
        work = Drawing(args, model)
        shards = _shards(args, first=first)
        missing = shards.missing()
        if args.devices > 1:
            _predict(args, shards, model, work)
        else:
            for shard in track(missing, "sampling", total=len(missing), quiet=args.quiet):
                shards.write(shard, work(model, list(shards.items(shard))))
        if first:
            report.nfe = work.evaluations
            drawn = {i for shard in missing for i in shards.items(shard)}
            _write(args, shards, drawn, work.seconds, report)
            say(f"{args.count} samples: {args.out / 'grid.png'}", quiet=args.quiet)
    return report.exit_code


def parse_labels(text: str | None, classes: int, count: int) -> list[int] | None:
    """`0-9` or `3,1,4-6` as one label for each of `count` samples, in turn; None for a model without classes.

    Raises:
        InputError: not such a list, or a label the model does not know.
    """
    if not classes:
        if text is not None:
            raise InputError("--labels: this model has no classes")
        return None
    labels: list[int] = []
    for part in (text or f"0-{classes - 1}").split(","):
        ends = part.strip().split("-")
        if len(ends) > 2 or not all(end.isdigit() for end in ends):
            raise InputError(f"--labels {text}: '{part}' is no label; expected a list such as 0-9 or 3,1,4")
        labels += range(int(ends[0]), int(ends[-1]) + 1)
    if not labels or max(labels) >= classes:
        raise InputError(f"--labels {text}: expected labels from 0 to {classes - 1}")
    return [labels[i % len(labels)] for i in range(count)]


class Drawing:
    """Draws the samples of given numbers, and counts what it costs."""

    def __init__(self, args: argparse.Namespace, model: ImageGenerator) -> None:
        self.steps, self.guidance, self.seed = args.steps, args.guidance, args.seed
        self.sampler = make(args.sampler)
        self.labels = parse_labels(args.labels, model.classes, args.count)
        self.seconds: dict[int, float] = {}
        self._rows = 0
        model.denoiser.register_forward_hook(self._count)

    def __call__(self, model: ImageGenerator, items: list[int]) -> Mapping[str, Tensor]:
        """`x` (m, C, H, W) and, where there are classes, `label` (m,)."""
        import torch

        started = time.perf_counter()
        labels = None if self.labels is None else [self.labels[i] for i in items]
        x = model.sample(
            len(items) if labels is None else labels,
            steps=self.steps,
            sampler=self.sampler,
            guidance=self.guidance,
            seed=[self.seed + i for i in items],
        )
        self.seconds.update(dict.fromkeys(items, (time.perf_counter() - started) / len(items)))
        return {"x": x} if labels is None else {"x": x, "label": torch.tensor(labels)}

    @property
    def evaluations(self) -> float | None:
        """Network evaluations a sample; None before the first."""
        return self._rows / len(self.seconds) if self.seconds else None

    def _count(self, module: Any, inputs: tuple[Any, ...], output: Any) -> None:
        self._rows += len(inputs[0])


def _model(name: str, device: torch.device) -> ImageGenerator:
    from polyscore.hub import load
    from polyscore.images import ImageGenerator

    model = load(name, device=device)
    if not isinstance(model, ImageGenerator):
        raise InputError(
            f"--model {name} is a {type(model).__name__}, which `polyscore sample` cannot draw from; expected an image generator"
        )
    return model


def _shards(args: argparse.Namespace, *, first: bool) -> Shards:
    """The parts of this run.

    Raises:
        InputError: the folder holds a run that is not to be resumed, or one with other settings.
    """
    from polyscore.training.shards import Shards

    settings = {name: getattr(args, name) for name in ("model", "seed", "steps", "sampler", "guidance", "labels")}
    shards = Shards(args.out / "shards", args.count, args.batch_size, settings)
    if first and not args.resume and shards.folder.exists():
        raise InputError(f"{args.out} holds samples already; --resume goes on with them, or give another --out")
    shards.create()
    return shards


def _predict(args: argparse.Namespace, shards: Shards, model: ImageGenerator, work: Drawing) -> None:
    """The same through Lightning, on several processes or accelerators."""
    from lightning.pytorch import Trainer
    from torch.utils.data import DataLoader

    from polyscore.training import Generation, MissingShards, ShardWriter

    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    kind = flags.device(args.device).type
    trainer = Trainer(
        accelerator=kind,
        devices=args.devices,
        strategy="ddp",
        callbacks=[ShardWriter(shards)],
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
        default_root_dir=str(args.out),
    )
    trainer.predict(Generation(model, work), DataLoader(MissingShards(shards), batch_size=None), return_predictions=False)


def _write(args: argparse.Namespace, shards: Shards, drawn: set[int], seconds: Mapping[int, float], report: Report) -> None:
    import numpy as np

    from polyscore.hub import atomic_path
    from polyscore.pictures import grid, pixels, write_png
    from polyscore.training.shards import gather

    found = gather(shards.folder)
    for name, key in (("samples.npy", "x"), ("labels.npy", "label")):
        if key in found:
            with atomic_path(args.out / name) as path:
                np.save(path, found[key].numpy())
    labels = found["label"].tolist() if "label" in found else [None] * args.count
    distinct = len(set(labels))
    columns = distinct if 1 < distinct <= 16 else max(1, round(min(args.count, _GRID) ** 0.5))
    pictures = pixels(found["x"][:_GRID])
    write_png(args.out / "grid.png", grid(pictures, columns=columns, zoom=max(1, 48 // pictures.shape[2])))
    for i, label in enumerate(labels):
        item = report.add(
            f"sample {i}", f"{args.out / 'samples.npy'}[{i}]", seconds=seconds.get(i, 0.0), label=label, seed=args.seed + i
        )
        if i not in drawn:
            item.skip("it was finished before")
