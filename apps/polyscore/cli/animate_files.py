"""What ``polyscore animate`` leaves behind: preview, clip, flow, noise, arrows, and the numbers of the report."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

    from polyscore.video.families import Family
    from polyscore.video.scene import Scene

__all__ = ["Made", "measures", "write"]


@dataclass(frozen=True)
class Made:
    """A clip and what it was made from.

    Attributes:
        scene: the motion, at the size of the clip.
        family: the layout of the noise.
        noise: one sample in that layout.
        clip: (T, 3, H, W) in [0, 1].
        seconds: the model took.
        warning: what the user should know.
    """

    scene: Scene
    family: Family
    noise: Tensor
    clip: Tensor
    seconds: float
    warning: str | None = None

    @property
    def frames_of_noise(self) -> Tensor:
        """(T', C, h, w)."""
        return self.family.frames_of(self.noise[0].cpu(), self.scene.flow.size)


def write(out: Path, made: Made, *, fps: float = 8) -> list[str]:
    """Write every file, each whole or not at all; their names."""
    from polyscore.films import write_film
    from polyscore.pictures import pixels, write_png
    from polyscore.video.motion.files import write_flow
    from polyscore.video.noise_files import write_noise
    from polyscore.video.overlay import overlay
    from polyscore.video.panels import panel

    scene = made.scene
    out.mkdir(parents=True, exist_ok=True)
    write_flow(out / "flow.npz", scene.flow)
    write_noise(out / "noise.safetensors", made.noise.cpu(), made.family, frames=scene.frames, size=scene.flow.size, notes={})
    write_png(out / "arrows.png", overlay(scene.flow, scene.image, scene.arrows))
    frames = panel(scene.flow, made.frames_of_noise, film=scene.film, result=made.clip)
    films = [write_film(out / "preview.mp4", frames, fps=fps), write_film(out / "clip.mp4", pixels(made.clip), fps=fps)]
    return ["flow.npz", "noise.safetensors", "arrows.png", *(film.name for film in films)]


def measures(made: Made) -> dict[str, Any]:
    """The numbers of the report; None where there is nothing to measure."""
    from polyscore.video.metrics import flicker, followed, path_error, warp_error
    from polyscore.video.motion import estimate
    from polyscore.video.whiteness import battery, coherence

    scene, noise = made.scene, made.frames_of_noise
    asked = followed(made.clip, scene.flow)
    found: dict[str, Any] = {
        "fps": scene.frames / made.seconds,
        "whiteness_z": {test: round(z, 3) for test, z in battery(noise).items()},
        "motion": {
            "epe": _number(asked.error),
            "epe_moving": _number(asked.moving),
            "epe_nothing": _number(asked.nothing),
            "correlation": _number(asked.correlation),
            "judged": asked.judged,
        },
    }
    if made.family.time == made.family.space == 1:
        along = [coherence(noise[t], noise[t + 1], scene.flow.forward[t]) for t in range(len(scene.flow))]
        found["coherence"] = sum(along) / len(along)
    if scene.paths is not None and len(scene.paths) == 1:
        velocity, place = path_error(made.clip, scene.paths[0])
        found["path"] = {"velocity_error": _number(velocity), "position_error": _number(place)}
    if min(made.clip.shape[2:]) >= 16:
        own = estimate(made.clip)
        found["warp_error"] = _number(warp_error(made.clip, own))
        found["flicker"] = _number(flicker(made.clip, own)) if len(made.clip) > 2 else None
    return found


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None
