"""Records of a long run that wait on the disk for the files they end in, so that memory does not grow with their number.

The file has no name where the system allows that (Linux, macOS), and it goes with the process, however that ends.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Self

__all__ = ["Spool"]


class Spool:
    """Records of JSON values, appended one by one and read in order as often as wanted, by several readers at once.

    ``with Spool(folder) as records:``; after the block there are none.

    Args:
        folder: on the disk that takes them; it is made where it is missing.

    Raises:
        OSError: the folder cannot be written.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._file = tempfile.TemporaryFile("w+b", dir=folder)  # noqa: SIM115 - `__exit__` closes it
        self._count = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def append(self, record: Mapping[str, Any]) -> None:
        """One more, behind the others."""
        self._file.seek(0, 2)
        self._file.write(json.dumps(record).encode() + b"\n")
        self._count += 1

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[dict[str, Any]]:
        place = 0  # of this reader: another one, or what is appended, moves the file's own
        for _ in range(self._count):
            self._file.seek(place)
            line = self._file.readline()
            place = self._file.tell()
            yield json.loads(line)
