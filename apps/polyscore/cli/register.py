"""``polyscore register scan.ply object.ply -o DIR``: the rigid motion that lays one cloud on another, from any pose.

``DIR`` becomes a folder with ``pose.txt`` and ``pose.json`` (the 4x4 matrix: source points x -> R x + t), ``aligned.ply`` (the
source, moved), ``overlay.png`` (target grey, source red, three sides) and ``report.json``. Several samples are drawn from poses
of their own; the one that brings most of the source onto the target is the answer, and the share that agrees with it its
confidence.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from polyscore.cli import flags
from polyscore.cli.console import say
from polyscore.cli.report import Report

if TYPE_CHECKING:
    from polyscore.shapes import Alignment
    from polyscore.shapes.data.cloud_files import CloudFile

__all__ = ["HELP", "add_arguments", "run"]

HELP = "lay a scan on an object: 4x4 matrix, aligned cloud, picture, confidence"

_SURE = 0.5  # a confidence below it is said aloud


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The clouds, the model, and where the files go."""
    form = "a cloud or mesh: PLY, OBJ, STL, OFF, GLB, NPY, NPZ or XYZ"
    parser.add_argument("source", type=Path, metavar="SOURCE", help=f"what is moved, usually a part: {form}")
    parser.add_argument("target", type=Path, metavar="TARGET", help="what it is laid on, usually the whole, in one unit with it")
    flags.add(
        parser,
        *flags.MAKE,
        model={"default": "registration", "help": "a shipped or saved model, or a DiffusionReg .pth (default: registration)"},
        out={"required": True, "metavar": "DIR", "help": "folder for the files"},
        seed={"help": "seed of the first sample, the next has the next (default: 0)"},
        report={"help": "where the report goes (default: report.json in the folder)"},
    )
    parser.add_argument("--samples", type=flags.whole(1), default=8, metavar="K", help="poses to start from (default: 8)")
    parser.add_argument("--points", type=flags.whole(64), default=8192, metavar="N", help="points of a mesh (default: 8192)")
    parser.add_argument("--no-pictures", action="store_true", help="leave out overlay.png")


def run(args: argparse.Namespace) -> int:
    """Read both clouds, align them, write the files."""
    flags.threads(args.threads)
    from polyscore.shapes.data.cloud_files import read_cloud

    args.report = args.report or args.out / "report.json"
    with Report("register", args) as report:
        device = flags.device(args.device)
        source = read_cloud(args.source, points=args.points, seed=args.seed)
        target = read_cloud(args.target, points=args.points, seed=args.seed + 1)
        model = _model(args.model, device)
        report.device = str(device)
        report.nfe = args.samples * (len(model.times) - 1)
        for path, cloud in ((args.source, source), (args.target, target)):
            kind = f"{len(cloud.points)} points" + (" of its surface" if cloud.sampled else "")
            sides = "with normals" if cloud.normals is not None else "no normals: estimated"
            say(f"{path}: {kind}, {sides}", quiet=args.quiet)
        with report.item(args.source, args.out / "pose.txt") as item:
            found = model.register(
                source.points,
                target.points,
                normals=(source.normals, target.normals),
                samples=args.samples,
                seed=args.seed,
            )
            _write(args, source, target, found)
            item.update(
                target=str(args.target),
                matrix=found.pose.tolist(),
                confidence=found.confidence,
                residual=found.residual,
                normals_estimated={"source": source.normals is None, "target": target.normals is None},
            )
            report.metrics = {"confidence": found.confidence, "residual": found.residual}
            say(_shown(found), quiet=args.quiet)
            if found.confidence < _SURE:
                say(
                    "note: fewer than half of the samples agree; look at overlay.png, or give more --samples",
                    quiet=args.quiet,
                )
    return report.exit_code


def _model(name: str, device: Any) -> Any:
    from polyscore.errors import CheckpointError
    from polyscore.hub import load
    from polyscore.shapes import GlobalRegistration, Registration

    if name.lower().endswith((".pth", ".pt")):
        from polyscore.shapes.upstream import read_registration

        return read_registration(name).to(device)
    model = load(name, device=device)
    if not isinstance(model, (GlobalRegistration, Registration)):
        raise CheckpointError(f"--model {name} is a {type(model).__name__}; expected a registration model")
    return model.float()  # weights may be kept in half precision


def _write(args: argparse.Namespace, source: CloudFile, target: CloudFile, found: Alignment) -> None:
    import numpy as np

    from polyscore.hub import atomic_path
    from polyscore.shapes.cloud_pictures import SIDES, draw_cloud, write_sheet
    from polyscore.shapes.data.cloud_files import write_cloud

    pose = found.pose.numpy()
    moved = source.points @ pose[:3, :3].T + pose[:3, 3]
    normals = None if source.normals is None else source.normals @ pose[:3, :3].T
    args.out.mkdir(parents=True, exist_ok=True)
    with atomic_path(args.out / "pose.txt") as path:
        path.write_text("\n".join(" ".join(f"{value:.9g}" for value in row) for row in pose) + "\n", encoding="utf-8")
    facts = {
        "matrix": pose.tolist(),
        "source": str(args.source),
        "target": str(args.target),
        "confidence": found.confidence,
        "residual": found.residual,
        "samples": found.poses.tolist(),
        "residuals": found.residuals.tolist(),
    }
    with atomic_path(args.out / "pose.json") as path:
        path.write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
    write_cloud(args.out / "aligned.ply", moved, normals=normals, colours=source.colours)
    if args.no_pictures:
        return
    both = np.concatenate([target.points, moved])
    paint = np.repeat([[0.62, 0.66, 0.72], [0.86, 0.15, 0.12]], [len(target.points), len(moved)], 0)
    write_sheet(args.out / "overlay.png", [draw_cloud(both, paint, side=side) for side in SIDES], len(SIDES))


def _shown(found: Alignment) -> str:
    rows = "\n".join("  " + "  ".join(f"{value:10.5f}" for value in row) for row in found.pose.tolist())
    return f"{rows}\nconfidence {found.confidence:.2f} ({len(found.poses)} samples), mean distance {found.residual:.4g}"
