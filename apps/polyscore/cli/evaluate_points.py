"""``polyscore evaluate points drawn.npz test/``: the numbers of a set of clouds, with what real clouds would score.

CD (squared, both directions added) and EMD (exact assignment) as PointFlow and DPM define them; of each MMD, COV and 1-NNA, and
the JSD of where points are. The floor is a second set of real clouds against the same reference (``--floor``), or else one half
of the reference against the other. Scores of clouds in different scales cannot be compared, so the report says the scale.
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from polyscore.cli import flags
from polyscore.cli.console import say, table
from polyscore.cli.report import Report
from polyscore.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["HELP", "add_arguments", "run", "scores"]

HELP = "score point clouds: MMD, COV and 1-NNA by CD and EMD, JSD, and their noise floor"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The clouds, what they are compared with, and how."""
    form = ".npy or .npz (S, N, 3), ShapeNet .hdf5, a folder of clouds or meshes, or procedural:KIND"
    parser.add_argument("clouds", metavar="PATH", help=f"the clouds: {form}")
    parser.add_argument("reference", metavar="REFERENCE", help="clouds they should be like: a test set")
    parser.add_argument("--floor", metavar="PATH", help="real clouds to score as well (default: halves of the reference)")
    parser.add_argument("--points", type=flags.whole(2), default=512, metavar="N", help="points of a cloud (default: 512)")
    parser.add_argument("--count", type=flags.whole(2), default=32, metavar="N", help="clouds of each set at most (default: 32)")
    parser.add_argument("--category", metavar="NAME", help="synset or category, where a set has several")
    parser.add_argument("--split", default="test", metavar="NAME", help="where a set has splits (default: test)")
    parser.add_argument(
        "--scale", choices=("none", "bbox", "unit"), default="bbox", help="of each cloud before it is scored (default: bbox)"
    )
    parser.add_argument("--no-emd", action="store_true", help="leave out EMD, whose cost grows with the cube of the points")
    flags.add(parser, "seed", "threads", "report", "quiet", seed={"help": "seed of the choice of points (default: 0)"})


def run(args: argparse.Namespace) -> int:
    """Score the clouds, and real ones."""
    flags.threads(args.threads)
    from polyscore.shapes.data.cloud_sets import normalised, read_clouds

    with Report("evaluate", args) as report:
        report.device = "cpu"

        def read(path: str, seed: int) -> Tensor:
            found = read_clouds(
                path, points=args.points, count=args.count, category=args.category, split=args.split, seed=seed
            )
            return normalised(found, args.scale)

        clouds, reference = read(args.clouds, args.seed), read(args.reference, args.seed + 1)
        if args.floor:
            real, against = read(args.floor, args.seed + 2), reference
        elif len(reference) < 2:
            raise InputError(f"{args.reference}: one cloud has no halves to find the floor from; give two or more, or --floor")
        else:
            real, against = reference[::2], reference[1::2]
        distances = ("CD",) if args.no_emd else ("CD", "EMD")
        found, floor = (scores(*pair, distances) for pair in ((clouds, reference), (real, against)))
        sizes = {"clouds": len(clouds), "reference": len(reference), "floor_clouds": len(real), "floor_reference": len(against)}
        report.metrics = {**sizes, "points": args.points, "scale": args.scale, "scores": found, "floor": floor}
        report.add(args.clouds, clouds=len(clouds))
        rows = [(name, f"{value:.4f}", f"{floor[name]:.4f}") for name, value in found.items()]
        say(table(("SCORE", "CLOUDS", "FLOOR"), rows), quiet=args.quiet)
    return report.exit_code


def scores(clouds: Tensor, reference: Tensor, distances: tuple[str, ...] = ("CD", "EMD")) -> dict[str, Any]:
    """MMD, COV and 1-NNA by each distance, and the JSD; the JSD in the box that holds both sets."""
    from polyscore.shapes import metrics

    found: dict[str, Any] = {}
    for name in distances:
        distance = metrics.chamfer if name == "CD" else metrics.earth_mover
        across = metrics.pairwise(distance, clouds, reference)
        found[f"MMD-{name}"] = metrics.minimum_matching(across)
        found[f"COV-{name}"] = metrics.coverage(across)
        own = (metrics.pairwise(distance, part, part) for part in (clouds, reference))
        first, second = own
        found[f"1-NNA-{name}"] = metrics.nearest_neighbour_accuracy(first, across, second)
    half = 2 * max(float(part.abs().max()) for part in (clouds, reference)) or 1.0
    found["JSD"] = metrics.occupancy_divergence(clouds / half, reference / half)
    return found
