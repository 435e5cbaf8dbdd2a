"""Observations of several named arrays: which of them are taken, and how they become one row of numbers a frame.

Without a choice, every array of at most one axis a frame is taken, in the order of the file; pictures are left out. Chosen by
name, a picture (H, W, C) of bytes becomes C H W numbers in [0, 1], channel after channel.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from polyscore.errors import InputError, PolyscoreError

__all__ = ["choose", "flat", "readable", "together"]

# What the libraries of these formats raise on damaged files.
_DAMAGE = (OSError, ValueError, KeyError, TypeError, IndexError, RuntimeError, EOFError, AttributeError, MemoryError)


def choose(shapes: Mapping[str, Sequence[int]], keys: Sequence[str] | None, *, where: Path) -> tuple[list[str], list[str]]:
    """Names that are taken, and those left out, from the shapes of one frame.

    Raises:
        InputError: a name that is not there, or nothing to take.
    """
    names = list(keys) if keys is not None else [name for name, shape in shapes.items() if len(shape) < 2]
    missing = [name for name in names if name not in shapes]
    if missing or not names:
        raise InputError(
            f"{where}: {f'has no observation {missing[0]!r}' if missing else 'no observation is a plain vector'}; it has "
            + (", ".join(f"{name} {tuple(shape)}" for name, shape in shapes.items()) or "none")
        )
    return names, [name for name in shapes if name not in names]


def flat(values: Any, *, where: Path, name: str) -> NDArray[np.float32]:
    """An array (N, ...) as rows of numbers (N, width).

    Raises:
        InputError: it holds no numbers.
    """
    array = np.asarray(values)
    if not (np.issubdtype(array.dtype, np.number) or array.dtype == np.bool_) or np.iscomplexobj(array) or array.ndim < 1:
        raise InputError(f"{where}: {name} holds {array.dtype} of shape {array.shape}, expected numbers, one row a frame")
    if array.ndim == 4 and array.dtype == np.uint8:
        array = array.transpose(0, 3, 1, 2) / np.float32(255)
    return array.reshape(len(array), -1).astype(np.float32)


def together(parts: Mapping[str, NDArray[np.float32]], *, where: Path) -> NDArray[np.float32]:
    """Arrays side by side, (N, sum of widths).

    Raises:
        InputError: different numbers of frames.
    """
    if len({len(part) for part in parts.values()}) > 1:
        raise InputError(f"{where}: arrays of different lengths: " + ", ".join(f"{n} {len(part)}" for n, part in parts.items()))
    return np.concatenate(list(parts.values()), 1)


@contextlib.contextmanager
def readable(path: Path, what: str) -> Iterator[None]:
    """Whatever a library says of a damaged file becomes one `InputError` that names it."""
    try:
        yield
    except PolyscoreError:
        raise
    except _DAMAGE as error:
        said = str(error).strip().splitlines()
        reason = said[0][:120] if said else type(error).__name__
        raise InputError(f"{path}: cannot be read as {what} ({reason}); the file is damaged or incomplete") from error
