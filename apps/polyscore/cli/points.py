"""``polyscore points "a red chair" -n 8 -o DIR``: coloured point clouds from words, or clouds of a model without words.

``DIR`` becomes a folder with ``cloud-0.ply``, ... (places and colours), ``clouds.npz`` (``xyz``, ``rgb``, ``seeds``),
``clouds.png`` and ``report.json``. Cloud i depends on seed + i alone. ``--sketch FILE`` draws over a cloud or the surface of a
mesh, ``--paint FILE`` draws no shape and colours the cloud of a file; both stay where the file has them. The vocabulary is
closed; an unknown word is answered with the nearest known ones.
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

HELP = 'draw coloured point clouds of words ("a red chair"), or clouds of a DPM or PVD model'

_GREY = 0.55
_STEPS = {"ColouredPoints": 50, "PointVoxelGenerator": 1000}  # of each stage
_GUIDANCE, _STRENGTH = 1.5, 0.6
_SIDE = 0.95  # the longest side of the solids that the shipped model knows


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What, how many, by which model, and where to."""
    parser.add_argument("words", nargs="?", metavar="WORDS", help='what to draw: "chair", "a blue car"; none for DPM and PVD')
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
        "--guidance", type=flags.finite, metavar="S", help=f"strength of the words; 1 is none (default: {_GUIDANCE})"
    )
    parser.add_argument(
        "--diverse",
        type=flags.finite,
        default=0.0,
        metavar="S",
        help="keep the clouds of a run unlike each other in their proportions (10 is much); each then depends on the others",
    )
    files = parser.add_mutually_exclusive_group()
    files.add_argument("--sketch", type=Path, metavar="FILE", help="draw over the rough form in this file: a cloud or a mesh")
    files.add_argument("--paint", type=Path, metavar="FILE", help="colour the cloud of this file instead of drawing a shape")
    parser.add_argument(
        "--strength",
        type=flags.finite,
        metavar="S",
        help=f"how much of --sketch is drawn anew, from 0, the sketch itself, to 1, nothing of it (default: {_STRENGTH})",
    )
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
        fields: list[dict[str, Any]] = [{}] * args.count
        if isinstance(model, ColouredPoints):
            xyz, rgb, report.nfe, fields = _coloured(args, model)
        else:
            _refuse_words(args)
            steps = args.steps or _STEPS.get(type(model).__name__) or len(model.process)
            xyz, rgb, report.nfe = model.sample(args.count, args.points, steps=steps, seed=args.seed), None, steps
        names = _write(args, xyz, rgb)
        for i, (name, own) in enumerate(zip(names, fields, strict=True)):
            report.add(args.words, str(name), seed=args.seed + i, points=xyz.shape[1], **own)
        report.metrics = {"clouds": len(names), "points": xyz.shape[1]}
        say(f"{len(names)} clouds of {xyz.shape[1]} points: {args.out}", quiet=args.quiet)
    return report.exit_code


def _model(name: str, device: Any) -> Any:
    from polyscore.errors import CheckpointError
    from polyscore.hub import load
    from polyscore.shapes import ColouredPoints, PointGenerator
    from polyscore.shapes.point_voxel import PointVoxelGenerator

    if name.lower().endswith((".pt", ".pth")):
        from polyscore.shapes.upstream_points import read_points

        return read_points(name).to(device)
    model = load(name, device=device)
    if not isinstance(model, (ColouredPoints, PointGenerator, PointVoxelGenerator)):
        raise CheckpointError(f"--model {name} is a {type(model).__name__}; expected a model of point clouds")
    return model.float()  # weights may be kept in half precision


def _refuse_words(args: argparse.Namespace) -> None:
    """A model of places alone knows nothing of these."""
    given = [f"--{name}" for name in ("paint", "sketch", "strength", "guidance") if getattr(args, name) is not None]
    extra = [*([args.words] if args.words else []), *given, *(["--diverse"] if args.diverse else [])]
    if extra:
        raise InputError(f"--model {args.model} knows no words; leave out {extra[0]}")


def _coloured(args: argparse.Namespace, model: ColouredPoints) -> tuple[Tensor, Tensor, int, list[dict[str, Any]]]:
    """Places, colours, network evaluations of a cloud, and what the report says of each."""
    from polyscore.shapes.words import parse

    if not args.words:
        raise InputError('no words; expected what to draw, such as "a red chair"')
    if args.strength is not None and not (args.sketch and 0 <= args.strength <= 1):
        raise InputError(f"--strength {args.strength:g}: expected 0 to 1, together with --sketch FILE")
    if args.diverse and (args.sketch or args.paint):
        raise InputError("--diverse is for shapes drawn from words alone; leave it out, or the --sketch or --paint")
    labels = parse(args.words).numbers()[: len(model.network.labels)].expand(args.count, -1)
    steps, guidance = args.steps or _STEPS["ColouredPoints"], _GUIDANCE if args.guidance is None else args.guidance
    settings = {"steps": steps, "guidance": guidance, "seed": args.seed}
    each = 1 if guidance == 1 else 2
    if args.sketch:
        return _sketched(args, model, labels, settings, each)
    if args.paint:
        framed, middle, unit = _framed(args.paint, args.points, args.seed)
        xyz = framed.expand(args.count, -1, -1)
        return xyz * unit + middle, model.paint(xyz, labels, **settings), steps * each, [{}] * args.count
    cloud = model.sample(labels, args.points, diverse=args.diverse, **settings)
    return cloud.xyz, cloud.rgb, 2 * steps * each, [{}] * args.count


def _sketched(
    args: argparse.Namespace, model: ColouredPoints, labels: Tensor, settings: dict[str, Any], each: int
) -> tuple[Tensor, Tensor, int, list[dict[str, Any]]]:
    import torch

    from polyscore.editing import times_from
    from polyscore.shapes.metrics import chamfer

    framed, middle, unit = _framed(args.sketch, max(8192, args.points), args.seed)
    rows = []
    for i in range(args.count):  # each cloud has points of its own; of a sparse sketch several times the same
        order = torch.randperm(len(framed), generator=torch.Generator().manual_seed(args.seed + i))
        rows.append(framed[order.repeat(-(-args.points // len(framed)))[: args.points]])
    start = torch.stack(rows)
    strength = _STRENGTH if args.strength is None else args.strength
    cloud = model.follow(start, labels, strength=strength, **settings)
    shape = len(times_from(strength, model.process, settings["steps"])) - 1 if strength else 0
    apart = chamfer(cloud.xyz.cpu().float(), start)
    xyz = cloud.xyz.cpu() * unit + middle
    return xyz, cloud.rgb, (shape + settings["steps"]) * each, [{"sketch_chamfer": float(value)} for value in apart]


def _framed(path: Path, points: int, seed: int) -> tuple[Tensor, Tensor, float]:
    """The cloud of a file in the middle of the box, and the middle and the unit that lead back."""
    import torch

    from polyscore.shapes.data.cloud_files import read_cloud

    found = torch.from_numpy(read_cloud(path, points=points, seed=seed).points)
    low, high = found.amin(0), found.amax(0)
    unit = float((high - low).max()) / _SIDE
    if not unit > 0:
        raise InputError(f"{path}: all points are one; expected a form")
    middle = (low + high) / 2
    return ((found - middle) / unit).float(), middle.float(), unit


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
