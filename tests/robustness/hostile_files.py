"""Things that are not what they say: bombs, lies, cuts, loops. Each function gives bytes, or what makes the thing at a path."""

from __future__ import annotations

import gzip
import io
import json
import os
import pickle
import struct
import zipfile
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

__all__ = [
    "ABSENT", "BINARY", "CUT_UTF8", "DANGLING", "DEEP_JSON", "FOLDER", "LOOP", "YAML_BOMB", "YAML_CODE", "YAML_DEEP",
    "cut", "gzip_bomb", "lying_npy", "lying_npz", "npy", "npz", "object_npy", "object_npz", "payload", "pickled", "safetensors",
    "torch_bomb", "zip_bomb",
]  # fmt: skip

Write = Callable[[Path], object]

BINARY = bytes(range(256)) * 16
CUT_UTF8 = b"abc \xe2\x82"
DEEP_JSON = "[" * 200_000 + "]" * 200_000
YAML_CODE = "!!python/object/apply:os.mkdir [executed]\n"
YAML_DEEP = "x: " + "[" * 5000 + "]" * 5000
YAML_BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{new}: &{new} [{', '.join([f'*{old}'] * 9)}]\n" for old, new in zip("abcdefgh", "bcdefghi", strict=True)
)


class _Payload:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, ("executed",)


def payload() -> Any:
    """An object whose unpickling makes a folder `executed` where the process stands."""
    return _Payload()


def FOLDER(path: Path) -> None:
    """A folder under the name of a file (in capitals as the other rows of a table that are no calls)."""
    path.mkdir()


def ABSENT(path: Path) -> None:
    """Nothing at all."""


def DANGLING(path: Path) -> None:
    """A link to nothing."""
    path.symlink_to("nothing-is-here")


def LOOP(path: Path) -> None:
    """Two links that point at each other."""
    path.symlink_to(f"{path.name}.back")
    path.with_name(f"{path.name}.back").symlink_to(path.name)


def cut(make: Write, keep: float = 0.5) -> Write:
    """A sound file, of which the end lacks."""

    def write(path: Path) -> None:
        make(path)
        data = path.read_bytes()
        path.write_bytes(data[: int(keep * len(data))])

    return write


def pickled() -> bytes:
    """A plain pickle with the payload."""
    return pickle.dumps({"state_dict": _Payload()})


def torch_bomb(path: Path) -> None:
    """A torch checkpoint with the payload, under the keys that checkpoints have."""
    state = {"w": torch.zeros(3)}
    torch.save({"state_dict": state, "model": state, "pytorch-lightning_version": "2.0", "hyper_parameters": _Payload()}, path)


def npy(array: Any) -> bytes:
    """An array as a .npy."""
    file = io.BytesIO()
    np.save(file, np.asarray(array))
    return file.getvalue()


def npz(**arrays: Any) -> bytes:
    """Arrays as a .npz."""
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


def object_npy() -> bytes:
    """A .npy of one Python object, which is the payload."""
    file = io.BytesIO()
    np.save(file, np.array([_Payload()], dtype=object), allow_pickle=True)
    return file.getvalue()


def object_npz(*names: str) -> bytes:
    """A .npz whose arrays are the payload."""
    return _zip({f"{name}.npy": object_npy() for name in names})


def lying_npy(shape: tuple[int, ...] = (10**6, 10**6), dtype: str = "<f8") -> bytes:
    """A .npy whose header promises an array of this shape, and that ends there."""
    text = f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape}, }}"
    text += " " * (-(len(text) + 11) % 64) + "\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text.encode()


def lying_npz(*names: str, shape: tuple[int, ...] = (10**6, 10**6)) -> bytes:
    """A .npz whose arrays promise this shape."""
    return _zip({f"{name}.npy": lying_npy(shape) for name in names})


def zip_bomb(*names: str, size: int = 4_000_000_000) -> Write:
    """A .npz of a few MB whose arrays of zeros unfold into `size` bytes."""
    squeeze = zlib.compressobj(9, zlib.DEFLATED, -15)
    start = squeeze.compress(lying_npy((size // 8,))) + squeeze.flush(zlib.Z_FULL_FLUSH)
    block = squeeze.compress(bytes(10_000_000)) + squeeze.flush(zlib.Z_FULL_FLUSH)
    data = start + block * (size // 10_000_000) + squeeze.flush()

    def write(path: Path) -> None:
        with zipfile.ZipFile(path, "w") as archive:
            place: Any = archive  # zipfile would unfold and fold everything to add it
            for name in names:
                entry = zipfile.ZipInfo(f"{name}.npy")
                entry.compress_type, entry.header_offset = zipfile.ZIP_DEFLATED, place.fp.tell()
                entry.CRC, entry.file_size, entry.compress_size = 0, len(lying_npy((size // 8,))) + size, len(data)
                place.fp.write(entry.FileHeader(zip64=True) + data)
                place.filelist.append(entry)
                place.start_dir, place._didModify = place.fp.tell(), True

    return write


def gzip_bomb(text: bytes = b"C\n", size: int = 4_000_000_000) -> bytes:
    """Some MB that unfold into `size` bytes of a text that goes on and on."""
    block = gzip.compress(text * (50_000_000 // len(text)))
    return block * (size // 50_000_000)


def safetensors(header: Any, data: bytes = b"") -> bytes:
    """A safetensors file with this header, true or not."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def _zip(files: Mapping[str, bytes]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return file.getvalue()


