"""9-DoF poses of held-out views of procedural solids: rotation, place, size and the overlap of boxes.

    python tests/benchmarks/pose_views.py --model runs/pose/model [--kinds chair car plane] [--views 60] [--samples 8]
        [--report FILE.json]

Views are of solids whose seeds training never reaches, in any rotation. Errors of place and size are in shares of the diagonal of
the true box (5 cm of an object of a metre is .05). "sure" is the half of the views with the smaller spread of samples.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from polyscore.shapes.data.pose_data import PoseViews
from polyscore.shapes.metrics import box_overlap, rotation_error, share_within, translation_error
from polyscore.shapes.pose import PoseEstimator, unpacked

FIRST = 900_000  # seeds of solids beyond those of training and validation


def summary(rotation: Tensor, place: Tensor, size: Tensor, overlap: Tensor) -> dict[str, Any]:
    """Medians, and shares within the thresholds of the field."""
    both = [float(((rotation < angle) & (place < share)).double().mean()) for angle, share in ((5, 0.05), (10, 0.05))]
    return {
        "views": len(rotation),
        "rotation_median": float(rotation.median()),
        **{f"within_{limit}": share for limit, share in zip((5, 10, 20), share_within(rotation, (5, 10, 20)), strict=True)},
        "place_median": float(place.median()),
        "size_error_median": float(size.median()),
        **dict(zip(("5_degrees_and_.05", "10_degrees_and_.05"), both, strict=True)),
        "overlap_mean": float(overlap.mean()),
        "overlap_above_half": float((overlap > 0.5).double().mean()),
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--model", required=True)
    parser.add_argument("--kinds", nargs="+", default=["chair", "car", "plane"])
    parser.add_argument("--views", type=int, default=60, help="of each kind")
    parser.add_argument("--samples", type=int, default=8)
    parser.add_argument("--report", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(1)
    model = PoseEstimator.from_pretrained(args.model)
    columns: list[list[Tensor]] = [[], [], [], [], []]
    found: dict[str, Any] = {}
    for kind in args.kinds:
        data = PoseViews([kind], 20, points=model.points, count=args.views, first=FIRST, seed=7)
        rows = []
        for example in (data[i] for i in range(args.views)):
            R, place, size = unpacked(example["x0"].double())
            pose = model.estimate(example["cond"], samples=args.samples)
            boxes = [(R[None], place[None], size[None]), (pose.R[None], pose.place[None], pose.size[None].clamp(min=1e-3))]
            diagonal = size.norm()
            rows.append(
                torch.stack(
                    [
                        rotation_error(R, pose.R),
                        translation_error(place, pose.place) / diagonal,
                        translation_error(size, pose.size) / diagonal,
                        box_overlap(*boxes)[0],
                        torch.tensor(pose.spread).double(),
                    ]
                )
            )
        table = torch.stack(rows).unbind(1)
        for column, part in zip(columns, table, strict=True):
            column.append(part)
        found[kind] = summary(*table[:4])
    *scores, spread = (torch.cat(column) for column in columns)
    sure = spread <= spread.median()
    found |= {"all": summary(*scores), "sure": summary(*(score[sure] for score in scores))}
    for name, row in found.items():
        print(f"{name:8}", "  ".join(f"{key} {value:.3g}" for key, value in row.items()))
    if args.report:
        settings = {key: str(value) for key, value in vars(args).items()}
        args.report.write_text(json.dumps({"settings": settings, **found}, indent=2) + "\n")


if __name__ == "__main__":
    main()
