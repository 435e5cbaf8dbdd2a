"""Noise for a video model in a file: one tensor `noise`, in the family's layout, and how it was made as notes (safetensors)."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from polyscore.errors import CheckpointError, InputError
from polyscore.hub.files import atomic_path
from polyscore.hub.weights import read_header, save_tensors
from polyscore.video.families import Family

__all__ = ["NoiseFile", "read_noise", "write_noise"]

FORMAT = "polyscore-noise-1"


class NoiseFile(NamedTuple):
    """`frames` (B, T', C, h, w) of unit noise, whatever the layout in the file, and the notes."""

    frames: Tensor
    notes: Mapping[str, str]


def write_noise(
    path: str | os.PathLike[str], noise: Tensor, family: Family, *, frames: int, size: tuple[int, int], notes: Mapping[str, str]
) -> None:
    """Write noise in the layout of `family`, made for a video of `frames` frames of `size` (H, W)."""
    layout = {"format": FORMAT, "family": family.name, "layout": family.layout, "space": str(family.space)}
    video = {"frames": str(frames), "size": f"{size[1]}x{size[0]}"}
    with atomic_path(path) as name:
        save_tensors(Path(name), {"noise": noise.contiguous()}, {**layout, **video, **notes})


def read_noise(path: str | os.PathLike[str]) -> NoiseFile:
    """What `write_noise` wrote.

    Raises:
        InputError: no such file, or not such a file.
    """
    name = Path(path)
    if not name.is_file():
        raise InputError(f"{name}: no such file; expected noise (.safetensors)")
    try:
        notes = read_header(name).metadata
    except CheckpointError as error:
        raise InputError(f"{name}: is no noise file ({error})") from error
    if notes.get("format") != FORMAT:
        raise InputError(f"{name}: was not written by polyscore warp-noise or animate; expected their .safetensors")
    from safetensors.torch import load_file

    tensors = load_file(str(name))
    layout, size = notes.get("layout", ""), re.fullmatch(r"(\d+)x(\d+)", notes.get("size", ""))
    noise = tensors.get("noise", torch.zeros(0))
    axes = {"BCTHW": 5, "BTCHW": 5, "packed": 3}.get(layout)
    if noise.ndim != axes or size is None or not notes.get("space", "8").isdigit() or not noise.numel():
        raise InputError(f"{name}: noise of shape {tuple(noise.shape)}, layout {layout!r}, size {notes.get('size')!r} do not fit")
    if layout == "packed":
        space = max(1, int(notes.get("space", "8")))
        height, width = int(size[2]) // space, int(size[1]) // space
        if not height * width or noise.shape[1] % (height * width):
            raise InputError(f"{name}: {noise.shape[1]} tokens are no frames of {height} x {width}")
        return NoiseFile(noise.reshape(len(noise), -1, height, width, noise.shape[2]).movedim(-1, 2), notes)
    return NoiseFile(noise.transpose(1, 2) if layout == "BCTHW" else noise, notes)
