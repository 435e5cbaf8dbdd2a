"""Training data of symbolic music."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from polyscore.music.data.chorale_data import ChoraleData, chorale_split
    from polyscore.music.data.chorales import Chorale, chorale_grid, load_chorales, read_chorales
    from polyscore.music.data.folder import FolderOfMusic
    from polyscore.music.data.jsb import JsbData
    from polyscore.music.data.songs import SongData, Songs
    from polyscore.music.data.sources import jsb_grids, read_folder
    from polyscore.music.data.windows import Windows

# Imported at first use: reading chorales needs no Lightning, which the data modules do.
_PLACES = {
    "chorale_data": ("ChoraleData", "chorale_split"),
    "chorales": ("Chorale", "chorale_grid", "load_chorales", "read_chorales"),
    "folder": ("FolderOfMusic",),
    "jsb": ("JsbData",),
    "songs": ("SongData", "Songs"),
    "sources": ("jsb_grids", "read_folder"),
    "windows": ("Windows",),
}

__all__ = [
    "Chorale",
    "ChoraleData",
    "FolderOfMusic",
    "JsbData",
    "SongData",
    "Songs",
    "Windows",
    "chorale_grid",
    "chorale_split",
    "jsb_grids",
    "load_chorales",
    "read_chorales",
    "read_folder",
]

_HOME = {name: place for place, names in _PLACES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'polyscore.music.data' has no attribute '{name}'")
    return getattr(importlib.import_module(f"polyscore.music.data.{_HOME[name]}"), name)
