"""Packages that not everyone has, loaded when they are needed: nothing here costs anything at import."""

from __future__ import annotations

import importlib
from typing import Any

from polyscore.errors import MissingExtraError

__all__ = ["package"]


def package(name: str, what: str, *, install: str = "pip install 'polyscore[shapes]'") -> Any:
    """The module `name`, which `what` needs; `install` says how to get it.

    Raises:
        MissingExtraError: it is not installed.
    """
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] != name.partition(".")[0]:
            raise  # the package is there, and something it needs is not
        raise MissingExtraError(f"{what} needs the package {name.partition('.')[0]}: {install}") from error
