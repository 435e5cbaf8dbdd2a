"""Our operations beside PyTorch3D's on one CPU thread, where it is installed.

    python -m tests.benchmarks.pytorch3d_speed [--report FILE.json]

Milliseconds of process CPU time, the least of three runs each, and their ratio. "with gradient" is forward and backward.
The mesh is a ball of 1,280 faces; silhouettes count 20 faces a pixel there and all of them here.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
import trimesh
from tests.benchmarks.mesh_speed import seconds
from torch import Tensor

from polyscore.shapes import ops
from polyscore.shapes.metrics import chamfer
from polyscore.shapes.render import Perspective, rasterise, silhouette
from polyscore.shapes.render.backends import pytorch3d

Run = Callable[[], Any]


def slope(value: Tensor, at: Tensor) -> Tensor:
    """The gradient of the sum of `value`."""
    return torch.autograd.grad(value.sum(), at)[0]


def clouds() -> dict[str, tuple[Run, Run]]:
    """What is done with points: ours, theirs."""
    theirs, loss = import_module("pytorch3d.ops"), import_module("pytorch3d.loss")
    x, y = torch.randn(2, 1, 2048, 3, generator=torch.Generator().manual_seed(0)).unbind(0)
    x.requires_grad_()
    still = x.detach()
    return {
        "knn, 16 of 2,048 points": (lambda: ops.knn(y, still, 16), lambda: theirs.knn_points(still, y, K=16)),
        "chamfer, 2,048 points": (lambda: chamfer(still, y), lambda: loss.chamfer_distance(still, y)),
        "chamfer, with gradient": (lambda: slope(chamfer(x, y), x), lambda: slope(loss.chamfer_distance(x, y)[0], x)),
        "farthest 512 of 2,048 points": (
            lambda: ops.farthest_points(still, 512),
            lambda: theirs.sample_farthest_points(still, K=512),
        ),
        "ball query, 32 of 2,048 points": (
            lambda: ops.ball_query(still, 32, 0.4),
            lambda: theirs.ball_query(still, still, K=32, radius=0.4),
        ),
    }


def meshes() -> dict[str, tuple[Run, Run]]:
    """What is done with a mesh."""
    loss, structures = import_module("pytorch3d.loss"), import_module("pytorch3d.structures")
    ball = trimesh.creation.icosphere(3, radius=0.45)
    vertices = torch.tensor(np.array(ball.vertices), dtype=torch.float32, requires_grad=True)
    faces, camera, still = torch.tensor(np.array(ball.faces)), Perspective.orbit(0.0, 20.0), vertices.detach()

    def ours() -> Tensor:
        losses = (ops.edge_length_loss, ops.laplacian_loss, ops.normal_consistency)
        return slope(torch.stack([each(vertices, faces) for each in losses]), vertices)

    def theirs() -> Tensor:
        mesh = structures.Meshes([vertices], [faces])
        losses = (loss.mesh_edge_loss(mesh), loss.mesh_laplacian_smoothing(mesh), loss.mesh_normal_consistency(mesh))
        return slope(torch.stack(losses), vertices)

    def pictures(size: int) -> dict[str, tuple[Run, Run]]:
        soft = {"softness": 0.5}
        return {
            f"rasterise, {size} pixels": (
                lambda: rasterise(still, faces, camera, size),
                lambda: pytorch3d.rasterise(still, faces, camera, size),
            ),
            f"silhouette with gradient, {size} pixels": (
                lambda: slope(silhouette(vertices, faces, camera, size, **soft), vertices),
                lambda: slope(pytorch3d.silhouette(vertices, faces, camera, size, **soft, nearest=20), vertices),
            ),
        }

    return {"three mesh losses, with gradient": (ours, theirs), **pictures(64), **pictures(128)}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--report", type=Path)
    args = parser.parse_args()
    if find_spec("pytorch3d") is None:
        parser.exit(1, "pytorch3d is not installed; docs/domains/shapes.md says how\n")
    torch.set_num_threads(1)
    report = {}
    for name, (own, other) in {**clouds(), **meshes()}.items():
        here, there = 1000 * seconds(own), 1000 * seconds(other)
        report[name] = {"ours": here, "pytorch3d": there, "ratio": there / here}
        print(f"{name:40s} {here:8.1f} {there:8.1f} {there / here:7.1f}x")
    if args.report:
        args.report.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
