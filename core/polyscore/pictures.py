"""Pictures without a library: tensors to pixels, pixels to a grid, a grid to a PNG file.

PNG (ISO/IEC 15948) is a signature and three chunks, IHDR (size, depth 8, grey or RGB), IDAT (zlib of rows that each begin with a
filter byte 0) and IEND, each with its length and CRC-32.
"""

from __future__ import annotations

import os
import struct
import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from polyscore.errors import InputError
from polyscore.hub.files import atomic_path

__all__ = ["Pixels", "grid", "pixels", "write_png"]

Pixels = NDArray[np.uint8]


def pixels(x: Tensor, *, low: float = 0.0, high: float = 1.0) -> Pixels:
    """Images (B, H, W), (B, 1, H, W) or (B, 3, H, W) as bytes (B, H, W) or (B, H, W, 3): [low, high] becomes 0..255.

    Raises:
        InputError: another shape.
    """
    if x.ndim == 4 and x.shape[1] in (1, 3):
        x = x.movedim(1, -1).squeeze(-1) if x.shape[1] == 1 else x.movedim(1, -1)
    elif x.ndim != 3:
        raise InputError(f"pixels: shape {tuple(x.shape)}, expected (B, H, W), (B, 1, H, W) or (B, 3, H, W)")
    scaled = (x.detach().double().cpu() - low) * (255 / (high - low))
    return scaled.nan_to_num(0.0).round().clamp(0, 255).byte().numpy()


def grid(images: Pixels, *, columns: int, gap: int = 1, zoom: int = 1) -> Pixels:
    """Images (N, H, W[, 3]) row by row on a grey ground, `gap` pixels apart, each pixel `zoom` times as large."""
    if len(images) == 0 or columns < 1:
        raise InputError(f"grid: {len(images)} images in {columns} columns, expected at least one of each")
    images = images.repeat(zoom, axis=1).repeat(zoom, axis=2)
    count, height, width = images.shape[:3]
    columns = min(columns, count)
    rows = -(-count // columns)
    canvas = np.full((rows * (height + gap) + gap, columns * (width + gap) + gap, *images.shape[3:]), 64, dtype=np.uint8)
    for i, image in enumerate(images):
        top, left = (i // columns) * (height + gap) + gap, (i % columns) * (width + gap) + gap
        canvas[top : top + height, left : left + width] = image
    return canvas


def write_png(path: str | os.PathLike[str], image: Pixels) -> None:
    """Write bytes (H, W) or (H, W, 3) as a PNG file, whole or not at all.

    Raises:
        InputError: another shape or type.
    """
    if image.dtype != np.uint8 or not (image.ndim == 2 or (image.ndim == 3 and image.shape[2] == 3)) or 0 in image.shape:
        raise InputError(f"write_png: {image.dtype} {image.shape}, expected uint8 (H, W) or (H, W, 3)")
    height, width = image.shape[:2]
    rows = np.zeros((height, 1 + image[0].size), dtype=np.uint8)
    rows[:, 1:] = image.reshape(height, -1)
    header = struct.pack(">IIBBBBB", width, height, 8, 0 if image.ndim == 2 else 2, 0, 0, 0)
    parts: list[tuple[bytes, Any]] = [(b"IHDR", header), (b"IDAT", zlib.compress(rows.tobytes(), 9)), (b"IEND", b"")]
    chunks = (struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in parts)
    with atomic_path(path) as name:
        name.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(chunks))
