"""``polyscore points "a red chair" -n 8 -o DIR``: coloured point clouds from words, or clouds of a DPM checkpoint.

``DIR`` becomes a folder with ``cloud-0.ply``, ... (places and colours), ``clouds.npz`` (``xyz``, ``rgb``, ``seeds``),
``clouds.png`` and ``report.json``. Cloud i depends on seed + i alone. ``--paint FILE`` draws no shape and colours the cloud of
a file instead. The vocabulary is closed; an unknown word is answered with the nearest known ones.
"""

from __future__ import annotations

import argparse
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from polyscore.cli import flags
from polyscore.cli.console import say
from polyscore.cli.report import Report
from polyscore.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor

    from polyscore.shapes import ColouredPoints

__all__ = ["HELP", "add_arguments", "run"]

HELP = 'draw coloured point clouds of words ("a red chair"), or clouds of a DPM checkpoint'

_GREY = 0.55


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What, how many, by which model, and where to."""
    parser.add_argument("words", nargs="?", metavar="WORDS", help='what to draw: "chair", "a blue car"; none for a DPM file')
    flags.add(
        parser,
        *flags.MAKE,
        "steps",
        model={"default": "points", "help": "a shipped or saved model, or a .pt of diffusion-point-cloud (default: points)"},
        out={"required": True, "metavar": "DIR", "help": "folder for the files"},
        seed={"help": "seed of the first cloud, the next has the next (default: 0)"},
        report={"help": "where the report goes (default: report.json in the folder)"},
    )
    parser.add_argument("-n", "--count", type=flags.whole(1), default=4, metavar="N", help="clouds (default: 4)")
    parser.add_argument("--points", type=flags.whole(16), default=1024, metavar="N", help="points of a cloud (default: 1024)")
    parser.add_argument(
        "--guidance", type=flags.finite, default=1.5, metavar="S", help="strength of the words; 1 is none (default: 1.5)"
    )
    parser.add_argument(
        "--diverse",
        type=flags.finite,
        default=0.0,
        metavar="S",
        help="keep the clouds of a run unlike each other in their proportions (10 is much); each then depends on the others",
    )
    parser.add_argument("--paint", type=Path, metavar="FILE", help="colour the cloud of this file instead of drawing a shape")
    parser.add_argument("--no-pictures", action="store_true", help="leave out clouds.png")


def run(args: argparse.Namespace) -> int:
    """Draw the clouds and write the files."""
    flags.threads(args.threads)
    from polyscore.shapes import ColouredPoints

    args.report = args.report or args.out / "report.json"
    with Report("points", args) as report:
        device = flags.device(args.device)
        report.device = str(device)
        model = _model(args.model, device)
        if isinstance(model, ColouredPoints):
            steps = args.steps or 50
            xyz, rgb = _coloured(args, model, steps)
            report.nfe = steps * (1 if args.paint else 2) * (1 if args.guidance == 1 else 2)
        else:
            if args.words or args.paint or args.diverse:
                extra = args.words or ("--paint" if args.paint else "--diverse")
                raise InputError(f"--model {args.model} knows no words; leave out {extra}")
            xyz, rgb = model.sample(args.count, args.points, steps=args.steps, seed=args.seed), None
            report.nfe = args.steps or len(model.process)
        names = _write(args, xyz, rgb)
        for i, name in enumerate(names):
            report.add(args.words, str(name), seed=args.seed + i, points=xyz.shape[1])
        report.metrics = {"clouds": len(names), "points": xyz.shape[1]}
        say(f"{len(names)} clouds of {xyz.shape[1]} points: {args.out}", quiet=args.quiet)
    return report.exit_code


def _model(name: str, device: Any) -> Any:
    from polyscore.errors import CheckpointError
    from polyscore.hub import load
    from polyscore.shapes import ColouredPoints, PointGenerator

    if name.lower().endswith((".pt", ".pth")):
        from polyscore.shapes.upstream_points import read_points

        return read_points(name).to(device)
    model = load(name, device=device)
    if not isinstance(model, (ColouredPoints, PointGenerator)):
        raise CheckpointError(f"--model {name} is a {type(model).__name__}; expected a model of point clouds")
    return model


def _coloured(args: argparse.Namespace, model: ColouredPoints, steps: int) -> tuple[Tensor, Tensor]:
    import torch

    from polyscore.shapes.words import parse

    if not args.words:
        raise InputError('no words; expected what to draw, such as "a red chair"')
    labels = parse(args.words).numbers()[: len(model.network.labels)].expand(args.count, -1)
    settings = {"steps": steps, "guidance": args.guidance, "seed": args.seed}
    if args.paint is None:
        cloud = model.sample(labels, args.points, diverse=args.diverse, **settings)
        return cloud.xyz, cloud.rgb
    from polyscore.shapes.data.cloud_files import read_cloud

    found = torch.from_numpy(read_cloud(args.paint, points=args.points, seed=args.seed).points).float()
    middle = (found.amin(0) + found.amax(0)) / 2
    unit = float((found.amax(0) - found.amin(0)).max()) or 1.0
    xyz = ((found - middle) / unit).expand(args.count, -1, -1)
    return xyz * unit + middle, model.paint(xyz, labels, **settings)


def _write(args: argparse.Namespace, xyz: Tensor, rgb: Tensor | None) -> list[Path]:
    import numpy as np

    from polyscore.hub import atomic_path
    from polyscore.shapes.cloud_pictures import draw_cloud, write_sheet
    from polyscore.shapes.data.cloud_files import write_cloud

    places = xyz.cpu().numpy()
    colours = np.full_like(places, _GREY) if rgb is None else rgb.cpu().numpy()
    args.out.mkdir(parents=True, exist_ok=True)
    for old in args.out.glob("cloud-*.ply"):  # of an earlier run
        if re.fullmatch(r"cloud-\d+\.ply", old.name):
            old.unlink()
    digits = len(str(len(places) - 1))
    names = [args.out / f"cloud-{i:0{digits}}.ply" for i in range(len(places))]
    for name, place, colour in zip(names, places, colours, strict=True):
        write_cloud(name, place, colours=None if rgb is None else colour)
    with atomic_path(args.out / "clouds.npz") as path, path.open("wb") as file:
        np.savez_compressed(file, xyz=places, rgb=colours, seeds=args.seed + np.arange(len(places)))
    if not args.no_pictures:
        pictures = [draw_cloud(place, colour, size=256) for place, colour in zip(places[:64], colours, strict=False)]
        write_sheet(args.out / "clouds.png", pictures, min(8, len(pictures)))
    return names
