"""Registration of views to whole objects over all rotations: the shipped model, ICP, and FPFH with RANSAC, on the same pairs.

    python tests/benchmarks/registration.py [--model registration] [--pairs 50] [--samples 8] [--set compositions|tudl|KIND]
        [--noise 0.005] [--no-normals] [--official FILE.pth] [--report FILE.json]

Pairs are of solids whose seeds training never reaches: random compositions, solids of another generator (a KIND of
`polyscore.shapes.data.procedural`; symmetric ones have no single pose), or the three TUD-L meshes under POLYSCORE_REFERENCE. A
view has 768 points, the whole 1536, in any pose; normals are estimated from the points, with the sign of the solid's unless
`--no-normals`. Every method is given the same clouds, and every baseline ends in the same ICP.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from polyscore.errors import InputError
from polyscore.lie import angle
from polyscore.shapes import GlobalRegistration
from polyscore.shapes.alignment import ICP, RANSAC, Surface, fpfh
from polyscore.shapes.data.compositions import composition
from polyscore.shapes.data.pairs import Pair, partial_pair
from polyscore.shapes.frames import Frame
from polyscore.shapes.orientation import oriented_normals
from polyscore.shapes.upstream import read_registration

SOURCE, TARGET, SURFACE = 768, 1536, 8192
FIRST = 1 << 41  # seeds beyond those of training and validation


def surfaces(kind: str, count: int) -> Iterator[tuple[np.ndarray, np.ndarray, np.random.Generator]]:
    """Points and normals of `count` surfaces, and a generator for the view."""
    for i in range(count):
        rng = np.random.default_rng(FIRST + i)
        if kind == "compositions":
            yield *composition(rng, SURFACE), rng
        elif kind == "tudl":
            import trimesh

            folder = Path(os.environ["POLYSCORE_REFERENCE"]) / "shapes" / "diffusionreg"
            mesh: Any = trimesh.load(folder / f"obj_{i % 3 + 1:06d}.ply", process=True)
            points, face = trimesh.sample.sample_surface(mesh, SURFACE, seed=i)
            yield np.asarray(points), np.asarray(mesh.face_normals[face]), rng
        else:
            from polyscore.shapes.data.procedural import draw
            from polyscore.shapes.data.procedural_clouds import clouds_of

            cloud = clouds_of(draw(kind, 1, seed=10_000 + i), SURFACE, seed=i)
            yield cloud.points[0].double().numpy(), cloud.normals[0].double().numpy(), rng


def pairs(kind: str, count: int, noise: float) -> Iterator[Pair]:
    """Views that are large enough to be one."""
    found = 0
    for points, normals, rng in surfaces(kind, 4 * count):
        try:
            pair = partial_pair(points, normals, rng, source_points=SOURCE, target_points=TARGET, noise=noise)
        except InputError:
            continue
        if len(pair.source) >= SOURCE // 2 and len(pair.target) == TARGET:
            found += 1
            yield pair
        if found == count:
            return


def measure(args: argparse.Namespace) -> dict[str, Any]:
    """Errors, shares and costs of every method."""
    model = GlobalRegistration.from_pretrained(args.model)
    official = read_registration(args.official) if args.official else None
    errors: dict[str, list[float]] = {}
    cost: dict[str, float] = {}
    sure: list[tuple[float, float]] = []
    for pair in pairs(args.set, args.pairs, args.noise):
        frame = Frame.of(pair.source, pair.target, 2.0)
        x, y = (pair.source.double() - frame.source) / frame.unit, (pair.target.double() - frame.target) / frame.unit
        n, m = (
            (oriented_normals(x), oriented_normals(y))
            if args.no_normals
            else (pair.source_normals.double(), pair.target_normals.double())
        )
        truth = frame.inward(pair.pose)[:3, :3].double()
        surface = Surface(y.numpy(), m.numpy())

        def ours(samples: int, n: Tensor = n, m: Tensor = m, x: Tensor = x, y: Tensor = y, truth: Tensor = truth) -> Tensor:
            found = model.register(x, y, normals=None if args.no_normals else (n, m), samples=samples)
            if samples == args.samples:
                sure.append((found.confidence, float(angle(found.pose[:3, :3], truth).rad2deg())))
            return found.pose

        def features(n: Tensor = n, m: Tensor = m, x: Tensor = x, y: Tensor = y, surface: Surface = surface) -> Tensor:
            f, g = fpfh(x, n, args.radius), fpfh(y, m, args.radius)
            start = RANSAC(draws=50_000)(x.numpy(), f, y.numpy(), g)
            return torch.from_numpy(ICP()(x.numpy(), surface, start))

        def closest(x: Tensor = x, surface: Surface = surface) -> Tensor:
            return torch.from_numpy(ICP()(x.numpy(), surface, np.eye(4)))

        methods: dict[str, Callable[[], Tensor]] = {
            f"{args.model}, {args.samples} samples": lambda: ours(args.samples),
            f"{args.model}, 1 sample": lambda: ours(1),
            "FPFH + RANSAC + ICP": features,
            "ICP from the middles": closest,
        }
        if official is not None:

            def published(n: Tensor = n, m: Tensor = m, x: Tensor = x, y: Tensor = y) -> Tensor:
                return official.register(x, y, normals=(n, m), samples=5).pose

            methods["DiffusionReg, official weights"] = published
        for name, method in methods.items():
            started = time.process_time()
            pose = method()
            cost[name] = cost.get(name, 0.0) + time.process_time() - started
            errors.setdefault(name, []).append(float(angle(pose[:3, :3], truth).rad2deg()))
    return {"methods": {name: summary(found, cost[name]) for name, found in errors.items()}, "confidence": confident(sure)}


def summary(errors: list[float], cpu: float) -> dict[str, float]:
    """Median and quantile of the angle in degrees, shares within 5, 10 and 20 degrees, CPU-seconds a pair."""
    found = np.array(errors)
    shares = {f"within_{limit}": round(float((found < limit).mean()), 3) for limit in (5, 10, 20)}
    return {
        "median": round(float(np.median(found)), 3),
        "percentile_90": round(float(np.quantile(found, 0.9)), 2),
        **shares,
        "cpu_seconds": round(cpu / len(found), 3),
        "pairs": len(found),
    }


def confident(sure: list[tuple[float, float]]) -> dict[str, Any]:
    """Of the pairs above and below a confidence of one half, how many there are and how many are within 5 degrees."""
    out = {}
    for name, chosen in (("half_or_more", [e for c, e in sure if c >= 0.5]), ("less", [e for c, e in sure if c < 0.5])):
        out[name] = {"pairs": len(chosen), "within_5": round(float(np.mean([e < 5 for e in chosen])), 3) if chosen else None}
    return out


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--model", default="registration")
    parser.add_argument("--pairs", type=int, default=50)
    parser.add_argument("--samples", type=int, default=8)
    parser.add_argument("--set", default="compositions")
    parser.add_argument("--noise", type=float, default=0.005)
    parser.add_argument("--radius", type=float, default=0.3, help="of FPFH, in radii of the target")
    parser.add_argument("--no-normals", action="store_true")
    parser.add_argument("--official", type=Path)
    parser.add_argument("--report", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(1)
    found = measure(args)
    for name, row in found["methods"].items():
        print(f"{name:32}", "  ".join(f"{key} {value}" for key, value in row.items()))
    print("confidence", found["confidence"])
    if args.report:
        args.report.write_text(json.dumps({"settings": {k: str(v) for k, v in vars(args).items()}, **found}, indent=2) + "\n")


if __name__ == "__main__":
    main()
