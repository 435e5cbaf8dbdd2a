"""Torch checkpoints of other projects, which are pickles, read without running anything in them.

torch's restricted unpickler builds tensors, numbers, texts, sequences and mappings, and refuses to look up any other name. A
class that a file names and that does no work may be given a stand-in, so that neither the original's code nor its packages are
needed.
"""

from __future__ import annotations

import os
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from polyscore.errors import CheckpointError

__all__ = ["read_pickle"]


def read_pickle(
    path: str | os.PathLike[str], expected: str = "a torch checkpoint", *, stand_ins: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """The mapping in a torch checkpoint; its tensors are mapped from the file, so that of unused ones nothing is read.

    ``stand_ins``: full name in the file -> the class built in its place. ``expected`` completes the messages.

    Raises:
        CheckpointError: no such file, not a torch checkpoint, damaged, no mapping, or one that names a class or function without
            a stand-in; nothing of it has run then.
    """
    path = Path(path)
    if not path.is_file():
        raise CheckpointError(f"{path}: no such file; expected {expected}")
    if not zipfile.is_zipfile(path):
        raise CheckpointError(f"{path}: is no torch checkpoint, or is cut off; expected {expected}")
    allowed: list[Any] = [(cls, name) for name, cls in (stand_ins or {}).items()]
    try:
        with torch.serialization.safe_globals(allowed):
            content = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except Exception as error:  # a damaged or hostile file can fail in any way
        raise CheckpointError(f"{path}: {_refusal(str(error))}") from error
    if not isinstance(content, Mapping):
        raise CheckpointError(f"{path}: holds a {type(content).__name__}; expected a mapping, as in {expected}")
    return dict(content)


def _refusal(message: str) -> str:
    forbidden = re.search(r"GLOBAL ([\w.]+)|Unsupported global: \S+ ([\w.]+)|class (\S+)", message)
    if "nsupported" in message and forbidden:
        name = next(group for group in forbidden.groups() if group)
        return f"refused, because it names {name}: a checkpoint may hold tensors, numbers and texts, not code"
    return f"cannot be read as a torch checkpoint ({(message.strip() or 'damaged').splitlines()[0][:120]})"
