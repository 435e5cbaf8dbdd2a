"""Numpy's files, .npy and .npz, read with distrust: no pickles, and no more memory than the file can back.

A .npy says in its header how large its array is, and a .npz how large its parts are when they are unfolded; numpy makes room for
that before it reads. Here a promise is held against what is there first: an array must have its bytes in the file, and what
unfolds into more than 1 GB may not come from less than a hundredth of it (zeros shrink to a thousandth).
"""

from __future__ import annotations

import math
import os
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from polyscore.hub.files import readable_size

__all__ = ["read_numpy"]

_LARGE, _DENSEST = 1_000_000_000, 100  # bytes; unfolded bytes for one in the file
_HEADERS: dict[tuple[int, int], Any] = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}


def read_numpy(path: str | os.PathLike[str], names: Sequence[str] | None = None) -> dict[str, NDArray[Any]]:
    """The arrays of a .npz by name, or the one of a .npy under the name "".

    ``names``: read these alone, those that are there; all by default.

    Raises:
        OSError: it cannot be opened.
        ValueError: it is damaged, holds Python objects, or promises more than it holds; the message says which.
    """
    file = Path(path)
    with file.open("rb") as stream:
        start = stream.read(2)
        stream.seek(0)
        try:
            return _parts(stream, names) if start == b"PK" else {"": _array(stream, file.stat().st_size)}
        except Exception as error:  # a damaged or hostile file can fail in any way
            raise ValueError((str(error).strip() or type(error).__name__).splitlines()[0][:160]) from error


def _parts(stream: IO[bytes], names: Sequence[str] | None) -> dict[str, NDArray[Any]]:
    found = {}
    with zipfile.ZipFile(stream) as archive:
        entries = {entry.filename.removesuffix(".npy"): entry for entry in archive.infolist()}
        wanted = {name: entry for name, entry in entries.items() if names is None or name in names}
        large, small = (sum(getattr(entry, size) for entry in wanted.values()) for size in ("file_size", "compress_size"))
        if large > max(_LARGE, _DENSEST * small):
            raise ValueError(f"{readable_size(small)} would unfold into {readable_size(large)}")
        for name, entry in wanted.items():
            with archive.open(entry) as part:
                found[name] = _array(part, entry.file_size)
    return found


def _array(stream: IO[bytes], size: int) -> NDArray[Any]:
    if not size:
        raise ValueError("it is empty")
    version = np.lib.format.read_magic(stream)
    if version not in _HEADERS:
        raise ValueError(f"it is of version {version[0]}.{version[1]}; 1.0 and 2.0 are read")
    shape, _, dtype = _HEADERS[version](stream)
    if dtype.hasobject:
        raise ValueError("it holds Python objects, which can run any code and are not read")
    promised, there = math.prod(shape) * dtype.itemsize, size - stream.tell()
    if promised > there or any(n < 0 for n in shape):
        raise ValueError(f"its header promises {readable_size(promised)}, there are {readable_size(there)}")
    stream.seek(0)
    array: NDArray[Any] = np.lib.format.read_array(stream, allow_pickle=False)
    return array
