"""What C libraries print about files they cannot read: kept from the terminal, for the verb says it in one sentence."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator

__all__ = ["native_errors_silenced"]


@contextlib.contextmanager
def native_errors_silenced() -> Iterator[None]:
    """Send what is written to the process's standard error, past Python's, to nowhere (libmpg123 comments on every odd file)."""
    with contextlib.suppress(OSError, ValueError):
        sys.stderr.flush()
    try:
        kept = os.dup(2)
    except OSError:  # a process without standard error
        yield
        return
    try:
        with open(os.devnull, "wb") as nowhere:  # noqa: PTH123 - os.devnull is no path on every system
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
