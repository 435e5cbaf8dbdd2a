"""Clips of pictures to and from files: MP4 through PyAV, GIF through Pillow. Both libraries are loaded when they are needed."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from polyscore.errors import InputError, MissingExtraError
from polyscore.hub.files import atomic_path

__all__ = ["Film", "read_film", "write_film"]

Film = NDArray[np.uint8]

_LIMIT = 4096  # frames: a file that claims more is read up to here and said to be too long


def read_film(path: str | os.PathLike[str], *, frames: int | None = None) -> tuple[Film, float]:
    """The first `frames` pictures of a clip, (T, H, W, 3) bytes, and its frames a second.

    Any container and codec PyAV reads (MP4, MOV, WebM, AVI, GIF, ...).

    Raises:
        InputError: no such file, no video in it, a damaged stream, fewer frames than asked, or no limit on a very long clip.
        MissingExtraError: PyAV is not installed.
    """
    name = Path(path)
    if not name.is_file():
        raise InputError(f"{name}: no such file; expected a video clip")
    try:
        import av
    except ImportError as error:
        raise MissingExtraError("reading clips needs PyAV: pip install 'polyscore[video]'") from error
    pictures: list[NDArray[np.uint8]] = []
    try:
        with av.open(str(name)) as file:
            if not file.streams.video:
                raise InputError(f"{name}: holds no video stream (found {len(file.streams)} others); expected a video clip")
            stream = file.streams.video[0]
            rate = float(stream.average_rate or stream.base_rate or 24)
            for picture in file.decode(stream):
                pictures.append(np.asarray(picture.to_ndarray(format="rgb24"), dtype=np.uint8))
                if len(pictures) == (frames or _LIMIT + 1):
                    break
    except av.FFmpegError as error:
        why = error.strerror or error
        raise InputError(f"{name}: cannot be read as video ({why}); expected MP4, WebM, AVI or GIF") from error
    if not pictures:
        raise InputError(f"{name}: the video stream has no frames")
    if frames is None and len(pictures) > _LIMIT:
        raise InputError(f"{name}: more than {_LIMIT} frames; cut the clip or say how many to read")
    if frames is not None and len(pictures) < frames:
        raise InputError(f"{name}: has {len(pictures)} frames; {frames} were asked for")
    return np.stack(pictures), rate


def write_film(path: str | os.PathLike[str], frames: Sequence[Film] | Film, *, fps: float = 10) -> Path:
    """Write frames (H, W, 3) as `path` with the suffix .mp4 where PyAV is installed, else .gif; returns the name.

    A `path` that ends in .gif makes a GIF in any case.

    Raises:
        InputError: no frames.
        MissingExtraError: neither PyAV nor Pillow is installed.
    """
    if not len(frames):
        raise InputError("write_film: no frames")
    name = Path(path)
    try:
        import av  # noqa: F401
    except ImportError:
        return _write_gif(name.with_suffix(".gif"), frames, fps)
    if name.suffix.lower() == ".gif":
        return _write_gif(name, frames, fps)
    return _write_mp4(name.with_suffix(".mp4"), frames, fps)


def _write_mp4(path: Path, frames: Sequence[Film] | Film, fps: float) -> Path:
    from fractions import Fraction

    import av

    height, width = (n - n % 2 for n in frames[0].shape[:2])  # the codec wants even sizes
    with atomic_path(path) as name, av.open(str(name), "w", format="mp4") as file:
        stream = file.add_stream("libx264", rate=Fraction(fps).limit_denominator(1000))
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for frame in frames:
            file.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(frame[:height, :width]), format="rgb24")))
        file.mux(stream.encode())
    return path


def _write_gif(path: Path, frames: Sequence[Film] | Film, fps: float) -> Path:
    try:
        from PIL import Image
    except ImportError as error:
        raise MissingExtraError("films need PyAV or Pillow: pip install av pillow") from error
    pictures = [Image.fromarray(frame).quantize(64) for frame in frames]
    with atomic_path(path) as name:
        pictures[0].save(name, format="GIF", save_all=True, append_images=pictures[1:], duration=round(1000 / fps), loop=0)
    return path
