"""Plain pickles of numbers: numpy arrays in lists, tuples and dictionaries, read without running anything that they name.

A pickle may name any function and call it. This reader looks up nothing: the few names that stand for numpy arrays, and the
stand-ins that a caller gives, are answered from a table, and any other name ends the reading before it is imported.
"""

from __future__ import annotations

import os
import pickle
from collections import OrderedDict, defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from polyscore.errors import CheckpointError

__all__ = ["read_arrays"]

_RECONSTRUCT = np.zeros(1).__reduce__()[0]
_SCALAR = np.float64(0).__reduce__()[0]
_KNOWN: dict[tuple[str, str], Any] = {
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
    ("collections", "OrderedDict"): OrderedDict,
    ("collections", "defaultdict"): defaultdict,
    ("builtins", "list"): list,
    ("builtins", "dict"): dict,
    # numpy 2 moved this module; files of both ages name it
    **{(f"numpy.{core}.multiarray", "_reconstruct"): _RECONSTRUCT for core in ("core", "_core")},
    **{(f"numpy.{core}.multiarray", "scalar"): _SCALAR for core in ("core", "_core")},
}


class _Reader(pickle.Unpickler):
    def __init__(self, file: Any, known: Mapping[tuple[str, str], Any]) -> None:
        super().__init__(file)
        self.known = known

    def find_class(self, module: str, name: str) -> Any:
        """The object in the table.

        Raises:
            UnpicklingError: it is not there.
        """
        if (module, name) not in self.known:
            raise pickle.UnpicklingError(f"refused, because it names {module}.{name}: the file may hold numbers, not code")
        return self.known[module, name]


def read_arrays(path: str | os.PathLike[str], *, stand_ins: Mapping[str, type] | None = None) -> Any:
    """What a plain pickle holds (not a torch archive: `polyscore.hub.pickles` reads those).

    ``stand_ins``: full name in the file -> an inert class built in its place.

    Raises:
        CheckpointError: no such file, damaged, or one that names anything else; nothing of it has run then.
    """
    path = Path(path)
    known = dict(_KNOWN)
    for full, cls in (stand_ins or {}).items():
        module, _, name = full.rpartition(".")
        known[module, name] = cls
    try:
        with path.open("rb") as file:
            return _Reader(file, known).load()
    except FileNotFoundError:
        raise CheckpointError(f"{path}: no such file; expected a pickle of arrays") from None
    except Exception as error:  # a damaged or hostile file can fail in any way
        raise CheckpointError(f"{path}: cannot be read as a pickle of arrays: {str(error) or type(error).__name__}") from error
