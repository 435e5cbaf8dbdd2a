"""``polyscore pose view.ply -o DIR``: where an object of a known kind stands, from points of one view alone.

``DIR`` becomes a folder with ``pose.txt`` (the 4x4 matrix: points c of the object, upright and centred, are seen at R c + t),
``pose.json`` (matrix, sides of the box, spread of the samples in degrees), ``aligned.ply`` (the view, set upright),
``overlay.png`` (the view grey, the box red, three sides) and ``report.json``.
"""

from __future__ import annotations

import argparse
import json
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

from polyscore.cli import flags
from polyscore.cli.console import say
from polyscore.cli.report import Report
from polyscore.errors import CheckpointError

if TYPE_CHECKING:
    from polyscore.shapes.data.cloud_files import CloudFile
    from polyscore.shapes.pose import Pose

__all__ = ["HELP", "add_arguments", "run"]

HELP = "rotation, place and size of a chair, a car or a plane from points of one view"

_UNSURE = 30.0  # degrees of spread from which on it is said aloud


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The view, the model, and where the files go."""
    parser.add_argument("view", type=Path, metavar="VIEW", help="a cloud or mesh: PLY, OBJ, STL, OFF, GLB, NPY, NPZ or XYZ")
    flags.add(
        parser,
        *flags.MAKE,
        model={"default": "pose", "help": "a shipped or saved model (default: pose)"},
        out={"required": True, "metavar": "DIR", "help": "folder for the files"},
        seed={"help": "seed of the first sample, the next has the next (default: 0)"},
        report={"help": "where the report goes (default: report.json in the folder)"},
    )
    parser.add_argument("--samples", type=flags.whole(1), default=8, metavar="K", help="poses to draw (default: 8)")
    parser.add_argument("--points", type=flags.whole(64), default=8192, metavar="N", help="points of a mesh (default: 8192)")
    parser.add_argument("--no-pictures", action="store_true", help="leave out overlay.png")


def run(args: argparse.Namespace) -> int:
    """Read the view, find the pose, write the files."""
    flags.threads(args.threads)
    from polyscore.hub import load
    from polyscore.shapes.data.cloud_files import read_cloud
    from polyscore.shapes.pose import PoseEstimator

    args.report = args.report or args.out / "report.json"
    with Report("pose", args) as report:
        device = flags.device(args.device)
        view = read_cloud(args.view, points=args.points, seed=args.seed)
        model = load(args.model, device=device)
        if not isinstance(model, PoseEstimator):
            raise CheckpointError(f"--model {args.model} is a {type(model).__name__}; expected a model of poses")
        model = model.float()  # weights may be kept in half precision
        report.device, report.nfe = str(device), args.samples * model.steps
        with report.item(args.view, args.out / "pose.txt") as item:
            found = model.estimate(view.points, samples=args.samples, seed=args.seed)
            facts = _facts(args, found)
            _write(args, view, found, facts)
            item.update({key: facts[key] for key in ("matrix", "size", "spread")})
            report.metrics = {"spread": found.spread}
            rows = "\n".join("  " + "  ".join(f"{value:10.5f}" for value in row) for row in facts["matrix"])
            sides = " x ".join(f"{value:.4g}" for value in facts["size"])
            say(f"{rows}\nbox {sides}, samples {found.spread:.1f} degrees apart", quiet=args.quiet)
            if found.spread > _UNSURE:
                say("note: the samples do not agree, so the view says little; look at overlay.png", quiet=args.quiet)
    return report.exit_code


def _facts(args: argparse.Namespace, found: Pose) -> dict[str, Any]:
    matrix = [[*row, shift] for row, shift in zip(found.R.tolist(), found.place.tolist(), strict=True)]
    return {
        "matrix": [*matrix, [0.0, 0.0, 0.0, 1.0]],
        "size": found.size.tolist(),
        "spread": found.spread,
        "view": str(args.view),
    }


def _write(args: argparse.Namespace, view: CloudFile, found: Pose, facts: dict[str, Any]) -> None:
    import numpy as np

    from polyscore.hub import atomic_path
    from polyscore.shapes.cloud_pictures import SIDES, draw_cloud, write_sheet
    from polyscore.shapes.data.cloud_files import write_cloud

    R, place, size = (part.numpy() for part in (found.R, found.place, found.size))
    upright = (view.points - place) @ R
    args.out.mkdir(parents=True, exist_ok=True)
    with atomic_path(args.out / "pose.txt") as path:
        path.write_text("\n".join(" ".join(f"{value:.9g}" for value in row) for row in facts["matrix"]) + "\n", encoding="utf-8")
    with atomic_path(args.out / "pose.json") as path:
        path.write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
    normals = None if view.normals is None else view.normals @ R
    write_cloud(args.out / "aligned.ply", upright, normals=normals, colours=view.colours)
    if args.no_pictures:
        return
    line, ends = np.linspace(-0.5, 0.5, 60)[:, None], np.array(list(product((-0.5, 0.5), repeat=2)))
    edges = np.concatenate([np.roll(np.hstack([line, np.tile(end, (60, 1))]), k, 1) for k in range(3) for end in ends]) * size
    both = np.concatenate([upright, edges])
    paint = np.repeat([[0.62, 0.66, 0.72], [0.86, 0.15, 0.12]], [len(upright), len(edges)], 0)
    write_sheet(args.out / "overlay.png", [draw_cloud(both, paint, side=side) for side in SIDES], len(SIDES))
