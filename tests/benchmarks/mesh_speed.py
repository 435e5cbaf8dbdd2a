"""What meshes and their pictures cost on one CPU thread: queries of a field, rasteriser, soft silhouettes, the tool chain.

    python -m tests.benchmarks.mesh_speed [--report FILE.json]

Times are process CPU time, the least of three runs. "queries" are points asked of a field on 128^3 cells against 127^3 for the
full grid, and whether both give the same mesh, array for array. Silhouettes and normals are timed forward and backward.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import trimesh
from torch import Tensor

from polyscore.shapes.mesh import bake, body, mesh_bytes, sample_surface, triangulate, unit_box
from polyscore.shapes.render import Perspective, normal_map, rasterise, silhouette


def ball(p: Tensor) -> Tensor:
    """A ball of radius 0.35."""
    inside: Tensor = 0.35 - torch.linalg.vector_norm(p, dim=-1)
    return inside


def ring(p: Tensor) -> Tensor:
    """A torus of radii 0.3 and 0.1."""
    tube = torch.stack([torch.linalg.vector_norm(p[:, [0, 2]], dim=-1) - 0.3, p[:, 1]], -1)
    inside: Tensor = 0.1 - torch.linalg.vector_norm(tube, dim=-1)
    return inside


def stool(p: Tensor) -> Tensor:
    """A seat on four legs of radius 0.012."""
    seat = torch.minimum(0.05 - (p[:, 1] - 0.2).abs(), 0.3 - torch.linalg.vector_norm(p[:, [0, 2]], dim=-1))
    leg = 0.012 - torch.linalg.vector_norm(p[:, [0, 2]].abs() - 0.15, dim=-1)
    return torch.maximum(seat, torch.minimum(leg, 0.35 - (p[:, 1] + 0.15).abs()))


def seconds(run: Callable[[], Any], times: int = 3) -> float:
    """Process CPU seconds of the fastest of some runs."""
    found = []
    for _ in range(times):
        start = time.process_time()
        run()
        found.append(time.process_time() - start)
    return min(found)


def queries(field: Callable[[Tensor], Tensor]) -> dict[str, Any]:
    """How many points the surface of a field needs, beside the full grid."""
    few, full = sample_surface(field, 128), sample_surface(field, 128, coarse=128)
    sparse, dense = triangulate(few), triangulate(full)
    same = np.array_equal(sparse.vertices, dense.vertices) and np.array_equal(sparse.faces, dense.faces)
    cost = seconds(lambda: triangulate(sample_surface(field, 128)), 1)
    return {"queries": few.queries, "fewer": full.queries / few.queries, "identical": same, "seconds": cost}


def pictures(level: int, size: int) -> dict[str, Any]:
    """Milliseconds of one picture of a ball of 20 4^level faces."""
    mesh = trimesh.creation.icosphere(level, radius=0.45)
    vertices = torch.tensor(np.array(mesh.vertices), dtype=torch.float32, requires_grad=True)
    faces, camera = torch.tensor(np.array(mesh.faces)), Perspective.orbit(0.0, 20.0)
    runs: dict[str, Callable[[], Any]] = {
        "rasterise": lambda: rasterise(vertices.detach(), faces, camera, size),
        "silhouette": lambda: torch.autograd.grad(silhouette(vertices, faces, camera, size, softness=0.5).sum(), vertices),
        "normals": lambda: torch.autograd.grad(normal_map(vertices, faces, camera, size)[0].sum(), vertices),
    }
    return {"faces": len(faces), "size": size, **{name: 1000 * seconds(run) for name, run in runs.items()}}


def chain() -> dict[str, Any]:
    """Seconds from a field on 96^3 cells to a textured GLB of 10,000 faces, and whether it comes out the same twice."""

    def run() -> bytes:
        return mesh_bytes(unit_box(bake(body(ring, 96, smoothing=4), lambda p: p + 0.5, 512)), ".glb")

    first, second = run(), run()
    return {"seconds": seconds(run, 1), "bytes": len(first), "same": first == second}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--report", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(1)
    report = {
        "queries": {field.__name__: queries(field) for field in (ball, ring, stool)},
        "pictures": [pictures(level, size) for level in (2, 3, 4) for size in (64, 128)],
        "chain": chain(),
    }
    print(json.dumps(report, indent=2))
    if args.report:
        args.report.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
