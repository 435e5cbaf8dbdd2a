"""What the commands of ``polyscore demo`` read: a recording and a scene that ship, and a scan that is made."""

from __future__ import annotations

import json
import shutil
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["TRUTH", "clean", "noisy", "scan", "scene"]

TRUTH = "truth.json"
"""Beside a scan: the motion that lays it on its object."""

_SOLID = 3  # the seed of the solid and of the side it is seen from


def noisy(folder: Path) -> None:
    """The recording of the package as `noisy.wav`, which everything plays."""
    from polyscore.audio import io

    with resources.as_file(resources.files("polyscore.demo_data") / "noisy.flac") as source:
        wave, form = io.read(source)
    target = folder / "noisy.wav"
    io.write(target, wave, io.format_for(target, form))


def clean() -> Tensor:
    """That recording without the noise (C, L)."""
    from polyscore.audio import io

    with resources.as_file(resources.files("polyscore.demo_data") / "clean.flac") as source:
        return io.read(source)[0]


def scene(folder: Path) -> None:
    """A digit and the path on which it is dragged: `digit.png`, `scene.yaml`."""
    from polyscore.hub import atomic_path

    for name in ("digit.png", "scene.yaml"):
        with resources.as_file(resources.files("polyscore.demo_data") / name) as source, atomic_path(folder / name) as target:
            shutil.copyfile(source, target)


def scan(folder: Path) -> None:
    """A solid, `object.ply`, a view of it from one side in another pose, `scan.ply`, and the motion between them."""
    import numpy as np

    from polyscore.hub import atomic_path
    from polyscore.shapes.data.cloud_files import write_cloud
    from polyscore.shapes.data.compositions import composition
    from polyscore.shapes.data.pairs import partial_pair

    rng = np.random.default_rng(_SOLID)
    pair = partial_pair(*composition(rng), rng, source_points=768, target_points=1536)
    write_cloud(folder / "scan.ply", pair.source.numpy(), normals=pair.source_normals.numpy())
    write_cloud(folder / "object.ply", pair.target.numpy(), normals=pair.target_normals.numpy())
    with atomic_path(folder / TRUTH) as target:
        target.write_text(json.dumps({"matrix": pair.pose.tolist()}) + "\n", encoding="utf-8")
