"""Symbolic music: scores, token grids, masked discrete diffusion of tracks from tracks."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from polyscore.music.pipeline import Composer

__all__ = ["Composer"]

# Imported at first use: reading scores needs no torch.
_PLACES = {"Composer": "pipeline"}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'polyscore.music' has no attribute '{name}'")
    return getattr(importlib.import_module(f"polyscore.music.{_PLACES[name]}"), name)
