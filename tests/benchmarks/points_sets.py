"""The shipped clouds against solids that training never saw: MMD, COV and 1-NNA by CD and EMD, JSD, kind, colour, roughness.

    python tests/benchmarks/points_sets.py [--model points] [--kinds chair car ...] [--count 16] [--points 1024] [--emd 12]
        [--steps 50] [--eta 1.0] [--guidance 1.5] [--seed 0] [--report FILE.json] [--sheet FILE.png]

Of every kind the model draws `count` clouds, in colours by turns, which are scored against as many fresh procedural solids in
the same frame (no scaling); the floor is a second set of solids against the same reference. CD takes every other point; EMD
every fourth, of the first `emd` clouds. "kind" is the share of clouds whose nearest of all kinds' references by CD is of the kind
asked for; "colour" the share of which most points are nearest to the colour asked for or its shade; "roughness" the root mean
square distance of points from the plane of their six nearest, in sides of the box, which edges and thin parts have in true
clouds too.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import torch
from torch import Tensor

from polyscore.cli.evaluate_points import scores
from polyscore.cli.intervals import share
from polyscore.samplers import DDIM
from polyscore.shapes import ColouredPoints
from polyscore.shapes.data.procedural import draw, names
from polyscore.shapes.data.procedural_clouds import clouds_of
from polyscore.shapes.metrics import chamfer
from polyscore.shapes.ops import gather, knn
from polyscore.shapes.words import COLOURS, palette

FIRST = 800_000  # seeds of solids beyond those of training and validation


def roughness(clouds: Tensor, k: int = 6) -> float:
    """Root mean square over points of the smallest deviation of their k nearest from a plane, clouds (B, N, 3)."""
    near = gather(clouds, knn(clouds, clouds, k)[1])
    centred = near - near.mean(2, keepdim=True)
    flat = torch.linalg.eigvalsh(torch.einsum("bnki,bnkj->bnij", centred, centred) / k)[..., 0]
    return float(flat.clamp(min=0).mean().sqrt())


def kind_of(clouds: Tensor, references: Tensor) -> Tensor:
    """The place (B,) of the nearest of references (K, R, N, 3) along their first axis."""
    flat = references.flatten(0, 1)
    nearest = torch.stack([chamfer(cloud.expand(len(flat), -1, -1), flat).argmin() for cloud in clouds])
    return nearest // references.shape[1]


def colour_of(rgb: Tensor) -> Tensor:
    """The number (B,) of the colour that most points (B, N, 3) are nearest to, itself or its shade."""
    table = torch.stack([palette(colour)[:2] for colour in COLOURS]).flatten(0, 1)
    votes = torch.cdist(rgb, table.expand(len(rgb), -1, -1)).argmin(-1) // 2
    return votes.mode(-1).values


def _line(name: str, row: dict[str, dict[str, float]]) -> str:
    return f"{name:9} " + "  ".join(f"{score} {value:.4f} ({row['floor'][score]:.4f})" for score, value in row["clouds"].items())


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--model", default="points")
    parser.add_argument("--kinds", nargs="+", default=list(names()), choices=names())
    parser.add_argument("--count", type=int, default=16)
    parser.add_argument("--points", type=int, default=1024)
    parser.add_argument("--emd", type=int, default=12)
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--eta", type=float, default=1.0)
    parser.add_argument("--guidance", type=float, default=1.5)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--report", type=Path)
    parser.add_argument("--sheet", type=Path, help="a picture of the first eight of each kind")
    args = parser.parse_args()
    torch.set_num_threads(1)
    model = ColouredPoints.from_pretrained(args.model)
    truth = {
        part: torch.stack([clouds_of(draw(kind, args.count, seed=first), args.points, seed=first).points for kind in args.kinds])
        for part, first in (("reference", FIRST), ("floor", FIRST + 1))
    }
    rows, kinds, floor_kinds, colours, pictures = {}, [], [], [], []
    for k, kind in enumerate(args.kinds):
        asked = torch.stack([torch.tensor([names().index(kind), i % len(COLOURS)]) for i in range(args.count)])
        cloud = model.sample(
            asked, args.points, steps=args.steps, sampler=DDIM(args.eta), guidance=args.guidance, seed=args.seed + k * args.count
        )
        real, against = truth["floor"][k], truth["reference"][k]
        row: dict[str, dict[str, float]] = {}
        for name, part in (("clouds", cloud.xyz), ("floor", real)):
            few = (part[: args.emd, ::4], against[: args.emd, ::4])
            row[name] = {**scores(*few, ("EMD",)), **scores(part[:, ::2], against[:, ::2], ("CD",)), "roughness": roughness(part)}
        rows[kind] = row
        others = truth["reference"][:, : args.emd, ::2]
        kinds += (kind_of(cloud.xyz[:, ::2], others) == k).tolist()
        floor_kinds += (kind_of(real[:, ::2], others) == k).tolist()
        colours += (colour_of(cloud.rgb) == asked[:, 1]).tolist()
        print(_line(kind, row), flush=True)
        if args.sheet:
            from polyscore.shapes.cloud_pictures import draw_cloud

            pictures += [draw_cloud(x, c, size=192) for x, c in zip(cloud.xyz[:8].numpy(), cloud.rgb.numpy(), strict=False)]
    mean = {
        part: {name: sum(row[part][name] for row in rows.values()) / len(rows) for name in next(iter(rows.values()))[part]}
        for part in ("clouds", "floor")
    }
    print(_line("mean", mean))
    shares = {
        "kind": share(sum(kinds), len(kinds)),
        "kind of the floor": share(sum(floor_kinds), len(floor_kinds)),
        "colour": share(sum(colours), len(colours)),
    }
    for name, value in shares.items():
        print(name, value)
    if args.sheet:
        from polyscore.shapes.cloud_pictures import write_sheet

        write_sheet(args.sheet, pictures, min(8, args.count))
    if args.report:
        settings = {key: str(value) for key, value in vars(args).items()}
        args.report.write_text(json.dumps({"settings": settings, "kinds": rows, "mean": mean, **shares}, indent=2) + "\n")


if __name__ == "__main__":
    main()
