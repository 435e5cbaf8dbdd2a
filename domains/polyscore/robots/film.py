"""Films of rollouts: painted frames, a mosaic of episodes, and a file in the best format there is a library for."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from polyscore.errors import InputError, MissingExtraError
from polyscore.hub.files import atomic_path
from polyscore.pictures import grid
from polyscore.robots.environments.painting import paint
from polyscore.robots.rollout import Outcome

__all__ = ["mosaic", "write_film"]

Frames = NDArray[np.uint8]


def mosaic(
    outcomes: Sequence[Outcome],
    fans: Sequence[NDArray[np.float32]] | None = None,
    *,
    size: int = 160,
    every: int = 2,
    columns: int = 4,
) -> Iterator[Frames]:
    """Frames (H, W, 3) of episodes side by side, every `every`-th step, with their goals as outlines; the last ones stay.

    The lines from the effector are the draws of `fans` (steps, K, 2) or else the action alone, five times as long. A finished
    episode has a frame: green where all that was asked is done, amber where half of it is, red.

    Raises:
        InputError: no episodes, or not one fan for each.
    """
    if not outcomes or (fans is not None and len(fans) != len(outcomes)):
        raise InputError(f"mosaic: {len(outcomes)} episodes, {0 if fans is None else len(fans)} fans; expected one for each")
    drawn = [o.actions[:, None] for o in outcomes] if fans is None else fans
    longest = max(o.steps for o in outcomes)
    for step in [*range(0, longest, every), longest]:
        pictures = [_frame(o, fan, step, size) for o, fan in zip(outcomes, drawn, strict=True)]
        yield grid(np.stack(pictures), columns=columns, gap=2)


def _frame(outcome: Outcome, fan: NDArray[np.float32], step: int, size: int) -> Frames:
    at = min(step, outcome.steps)
    seen = outcome.observations[at]
    futures = []
    if at < outcome.steps:
        futures = [np.stack([seen[8:10], seen[8:10] + 5 * action]) for action in fan[at]]
    picture = paint(seen, size=size, goal=outcome.goal, futures=futures).copy()
    if at == outcome.steps:
        colour = (58, 150, 80) if outcome.result == 1 else (225, 160, 40) if outcome.result > 0 else (200, 60, 50)
        for edge in (picture[:4], picture[-4:], picture[:, :4], picture[:, -4:]):
            edge[...] = colour
    return picture


def write_film(path: str | os.PathLike[str], frames: Sequence[Frames], *, fps: int = 10) -> Path:
    """Write frames (H, W, 3) as `path` with the suffix .mp4 where PyAV is installed, else .gif; returns the name.

    Raises:
        InputError: no frames.
        MissingExtraError: neither PyAV nor Pillow is installed.
    """
    if not len(frames):
        raise InputError("write_film: no frames")
    try:
        import av  # noqa: F401
    except ImportError:
        return _write_gif(Path(path).with_suffix(".gif"), frames, fps)
    return _write_mp4(Path(path).with_suffix(".mp4"), frames, fps)


def _write_mp4(path: Path, frames: Sequence[Frames], fps: int) -> Path:
    import av

    height, width = (n - n % 2 for n in frames[0].shape[:2])  # the codec wants even sizes
    with atomic_path(path) as name, av.open(str(name), "w", format="mp4") as file:
        stream = file.add_stream("libx264", rate=fps)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for frame in frames:
            file.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(frame[:height, :width]), format="rgb24")))
        file.mux(stream.encode())
    return path


def _write_gif(path: Path, frames: Sequence[Frames], fps: int) -> Path:
    try:
        from PIL import Image
    except ImportError as error:
        raise MissingExtraError("films need PyAV or Pillow: pip install 'polyscore[robots]'") from error
    pictures = [Image.fromarray(frame).quantize(64) for frame in frames]
    with atomic_path(path) as name:
        pictures[0].save(name, format="GIF", save_all=True, append_images=pictures[1:], duration=1000 // fps, loop=0)
    return path
