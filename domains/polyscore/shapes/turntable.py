"""Pictures of a mesh for people: a film of it turning, and a sheet of views."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from polyscore.errors import InputError
from polyscore.films import Film, write_film
from polyscore.pictures import Pixels, grid, pixels, write_png
from polyscore.shapes.render import Camera, Perspective, draw, over, surface_of
from polyscore.shapes.render.draw import Shading

if TYPE_CHECKING:
    from trimesh import Trimesh

__all__ = ["photographs", "turntable", "views"]

_AT_ONCE = 8  # pictures in one call


@torch.no_grad()
def photographs(
    mesh: Trimesh, cameras: Camera, size: int = 256, *, background: float = 1.0, shading: Shading | None = None
) -> Pixels:
    """What the cameras see of a mesh on a plain ground, bytes (B, size, size, 3)."""
    surface = surface_of(mesh)
    parts = [
        pixels(over(draw(surface, cameras[first : first + _AT_ONCE], size, shading=shading), background))
        for first in range(0, len(cameras), _AT_ONCE)
    ]
    return np.concatenate(parts)


def turntable(
    path: str | os.PathLike[str],
    mesh: Trimesh,
    *,
    frames: int = 36,
    size: int = 256,
    elevation: float = 20.0,
    seconds: float = 3.0,
    shading: Shading | None = None,
) -> Path:
    """Write one turn of a mesh in the unit box as a GIF (or, with the suffix .mp4, a film where PyAV is installed).

    Args:
        path: what to write; its final name is returned.
        mesh: as `unit_box` leaves it.
        frames: pictures in the turn.
        size: their height and width.
        elevation: of the camera, degrees.
        seconds: of the turn.
        shading: see `draw`.

    Raises:
        InputError: fewer than one frame, or no time.
        MissingExtraError: Pillow is not installed.
    """
    if frames < 1 or seconds <= 0:
        raise InputError(f"turntable: {frames} frames in {seconds} seconds; expected more than 0 of both")
    cameras = Perspective.orbit(torch.arange(frames) * (360 / frames), elevation)
    film: Film = photographs(mesh, cameras, size, shading=shading)
    return write_film(path, film, fps=frames / seconds)


def views(
    path: str | os.PathLike[str], mesh: Trimesh, *, size: int = 256, columns: int = 4, shading: Shading | None = None
) -> Path:
    """Write a PNG with eight views of a mesh in the unit box: four from the sides at 15 degrees, four between from above."""
    azimuth = torch.arange(8) * 90.0 + 45.0 * (torch.arange(8) >= 4)
    cameras = Perspective.orbit(azimuth, torch.where(torch.arange(8) < 4, 15.0, 45.0))
    write_png(path, grid(photographs(mesh, cameras, size, shading=shading), columns=columns))
    return Path(path)
