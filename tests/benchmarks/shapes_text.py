"""Text to 3-D, judged from outside: is the body nearest to the kind that was asked for, and is its colour the one asked for?

    python tests/benchmarks/shapes_text.py --engine consistent --kinds 12 --colours 4 --seeds 3
    python tests/benchmarks/shapes_text.py --truth 12

Each mesh is made into voxels that fill the unit box, as are `--references` fresh procedural solids of every kind; the nearest
solid by intersection over union gives the mesh its kind and its best IoU (the references share no seed with the training). The
colour is the nearest of the eight: the mean colour of the surface against the mean over that of a fresh such solid. `--truth N`
judges N other procedural solids of each kind in the place of meshes: what a perfect engine would get.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from polyscore.shapes.data.procedural import draw, grid_points, names
from polyscore.shapes.engine_table import DEFAULT, ENGINES, engine
from polyscore.shapes.engines import Request, coloured, last, voxelise
from polyscore.shapes.mesh import examine, unit_box
from polyscore.shapes.words import COLOURS, Words, palette

GRID = 48


def references(each: int, *, seed: int = 900_001) -> tuple[Tensor, list[str]]:
    """Voxels (12 each, n, n, n) of fresh solids, each filling the unit box, and their kinds."""
    grids, kinds = [], []
    for name in names():
        solids = draw(name, each, seed=seed)
        for i in range(each):
            inside = solids[i].occupancy(64)[0]
            where = inside.nonzero().flip(1)  # x, y, z
            low, high = where.amin(0) / 64 - 0.5, (where.amax(0) + 1) / 64 - 0.5
            points = grid_points(GRID).reshape(-1, 3) * (high - low).max() + (low + high) / 2
            grids.append((solids[i].distance(points, torch.zeros(len(points), dtype=torch.long)) < 0).view(GRID, GRID, GRID))
            kinds.append(name)
    return torch.stack(grids), kinds


def nearest(body: Tensor, grids: Tensor) -> tuple[int, float]:
    """Which reference has the largest IoU with a body (n, n, n), and how large."""
    flat, one = grids.flatten(1), body.flatten()
    iou = (flat & one).sum(1) / (flat | one).sum(1)
    return int(iou.argmax()), float(iou.max())


def truth(each: int, grids: Tensor, labels: list[str]) -> dict[str, Any]:
    """What `each` procedural solids of every kind get that are neither references nor of the training."""
    bodies, kinds = references(each, seed=4242)
    found = [nearest(body, grids) for body in bodies]
    right = sum(labels[which] == kind for (which, _), kind in zip(found, kinds, strict=True))
    return {"n": len(kinds), "kind_right": right, "mean_iou": round(statistics.mean(iou for _, iou in found), 3)}


def mean_colour(mesh: Any) -> Tensor:
    """The mean over the surface of the vertices' colours (3,)."""
    corners = np.asarray(mesh.visual.vertex_colors)[np.asarray(mesh.faces), :3].mean(1) / 255
    share = np.asarray(mesh.area_faces) / mesh.area
    return torch.from_numpy((corners * share[:, None]).sum(0)).float()


def nearest_colour(kind: str, mean: Tensor) -> str:
    """The colour whose solids of the kind have the nearest mean colour of their surface."""
    solids = draw(kind, 1, seed=900_002)
    points = grid_points(64).reshape(-1, 3)
    owner = torch.zeros(len(points), dtype=torch.long)
    near = solids.distance(points, owner).abs() < 1 / 64
    _, paint = solids.surface(points[near], owner[near])
    means = {name: palette(name)[paint].mean(0) for name in COLOURS}
    return min(means, key=lambda name: float((means[name] - mean).norm()))


def main() -> None:
    """Make, judge, print, and write the numbers."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--engine", choices=tuple(ENGINES), default=DEFAULT)
    parser.add_argument("--model", default=None, help="default: the engine's own")
    parser.add_argument("--kinds", nargs="+", default=["12"], help="words, or how many of the twelve")
    parser.add_argument("--colours", type=int, default=4)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--references", type=int, default=10)
    parser.add_argument("--truth", type=int, metavar="N", help="judge N procedural solids of each kind, and nothing else")
    parser.add_argument("--out", type=Path, default=None)
    args = parser.parse_args()
    torch.set_num_threads(1)
    kinds = names()[: int(args.kinds[0])] if args.kinds[0].isdigit() else tuple(args.kinds)
    grids, labels = references(args.references)
    if args.truth:
        print(json.dumps(truth(args.truth, grids, labels)))
        return
    maker = engine(args.engine)
    model = maker.load(maker.model_name(args.model))
    rows: list[dict[str, Any]] = []
    for seed in range(args.seeds):
        for number, kind in enumerate(kinds):
            for step in range(args.colours):
                words = Words(kind, list(COLOURS)[(number + 2 * step + seed) % len(COLOURS)])
                started = time.process_time()
                body = last(maker.frames(model, Request(words, seed))).body
                mesh = coloured(body.mesh(), body.colour, words.finish)
                spent = time.process_time() - started
                box = unit_box(mesh)
                which, iou = nearest(torch.from_numpy(voxelise(box.vertices, box.faces, GRID)), grids)
                mean = mean_colour(mesh)
                facts = examine(mesh)
                rows.append(
                    {
                        "words": str(words),
                        "seed": seed,
                        "kind": labels[which],
                        "kind_right": labels[which] == kind,
                        "colour_right": nearest_colour(kind, mean) == words.colour,
                        "iou": round(iou, 3),
                        "whole": facts.watertight and facts.bodies == 1,
                        "cpu_seconds": round(spent, 1),
                    }
                )
                print(rows[-1], flush=True)
    summary = {
        "n": len(rows),
        **{key: sum(row[key] for row in rows) for key in ("kind_right", "colour_right", "whole")},
        "mean_iou": round(statistics.mean(row["iou"] for row in rows), 3),
        "cpu_seconds": round(statistics.median(row["cpu_seconds"] for row in rows), 1),
    }
    print(json.dumps(summary))
    if args.out is not None:
        args.out.write_text(json.dumps({"summary": summary, "rows": rows}, indent=1))


if __name__ == "__main__":
    main()
