"""The original code of GDSS, run beside this library from a checkout of harryjo97/GDSS.

It asks for numpy < 1.24 and networkx < 3; three names that newer versions lack are put back before it is imported. Needs pyemd,
scikit-learn and tqdm, and evaluation/orca compiled as its README says.
"""

from __future__ import annotations

import os
import resource
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import networkx as nx
import numpy as np

__all__ = ["cpu_seconds", "original"]


@contextmanager
def original(checkout: Path) -> Iterator[None]:
    """Its modules can be imported, its paths are right, and its bars of progress are silent."""
    for name, value in (("float", float), ("int", int)):
        if name not in vars(np):
            setattr(np, name, value)
    modern: Any = nx
    if not hasattr(nx, "from_numpy_matrix"):
        modern.from_numpy_matrix = nx.from_numpy_array
    here = Path.cwd()
    sys.path.insert(0, str(checkout.resolve()))
    os.chdir(checkout)
    try:
        with Path(os.devnull).open("w") as nowhere, redirect_stdout(nowhere), redirect_stderr(nowhere):
            yield
    finally:
        os.chdir(here)
        sys.path.pop(0)


def cpu_seconds(run: Callable[[], Any], repeat: int = 1) -> tuple[float, Any]:
    """The least CPU time of `repeat` runs, with that of child processes, and what the last of them returned."""

    def now() -> float:
        children = resource.getrusage(resource.RUSAGE_CHILDREN)
        return time.process_time() + children.ru_utime + children.ru_stime

    best, result = float("inf"), None
    for _ in range(repeat):
        start = now()
        result = run()
        best = min(best, now() - start)
    return best, result
