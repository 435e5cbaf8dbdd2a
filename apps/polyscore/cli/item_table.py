"""The items of a report as a table, ``--out FILE.csv``: a line an input, and why where there is no number."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

from polyscore.cli.report import Item

__all__ = ["write_items"]

_KEPT = ("input", "output", "seconds", "name", "status", "error")


def write_items(path: Path, items: Sequence[Item], *, key: str = "name", columns: Sequence[str] | None = None) -> None:
    """``key``, status, the columns (by default every field of the verb's own, in order) and the error of each item."""
    from polyscore.hub.files import atomic_path

    if columns is None:
        columns = [name for name in dict.fromkeys(name for item in items for name in item) if name not in _KEPT]
    with atomic_path(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, [key, "status", *columns, "error"], extrasaction="ignore")
        writer.writeheader()
        writer.writerows({name: value for name, value in item.items() if value is not None} for item in items)
