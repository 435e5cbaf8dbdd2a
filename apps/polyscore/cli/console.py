"""What a verb shows while it works: lines on standard output, a bar on standard error if a person is watching."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from typing import TypeVar

__all__ = ["say", "track", "table"]

T = TypeVar("T")


def say(text: str, *, quiet: bool = False) -> None:
    """Print one line unless ``--quiet``."""
    if not quiet:
        print(text, flush=True)


def track(items: Iterable[T], what: str, *, total: int | None = None, quiet: bool = False) -> Iterator[T]:
    """Pass the items through under a progress bar; without a terminal, or with ``--quiet``, just pass them through."""
    if quiet or not sys.stderr.isatty():
        yield from items
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        yield from bar.track(items, total=total, description=what)


def table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    """Columns of text, two blanks apart, as wide as their widest cell; the last one is not padded."""
    lines = [head, *rows]
    widths = [max(len(line[i]) for line in lines) for i in range(len(head) - 1)]
    padded = ([cell.ljust(width) for cell, width in zip(line[:-1], widths, strict=True)] for line in lines)
    return "\n".join("  ".join([*cells, line[-1]]) for cells, line in zip(padded, lines, strict=True))
