"""Clips whose motion is known, the noise that follows them, and folders of clips."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from polyscore.video.data.digits import MovingDigits
    from polyscore.video.data.flow_maps import FlowMapData, FlowMaps
    from polyscore.video.data.folder import FolderOfClips
    from polyscore.video.data.layers import Clips, ClipSource
    from polyscore.video.data.module import Examples, Following, Telling, VideoData
    from polyscore.video.data.textures import Textures

# Imported at first use: motion and its maps need no Lightning, which the data modules do.
_PLACES = {
    "digits": ("MovingDigits",),
    "flow_maps": ("FlowMapData", "FlowMaps"),
    "folder": ("FolderOfClips",),
    "layers": ("Clips", "ClipSource"),
    "module": ("Examples", "Following", "Telling", "VideoData"),
    "textures": ("Textures",),
}

__all__ = [
    "ClipSource",
    "Clips",
    "Examples",
    "FlowMapData",
    "FlowMaps",
    "FolderOfClips",
    "Following",
    "MovingDigits",
    "Telling",
    "Textures",
    "VideoData",
]

_HOME = {name: place for place, names in _PLACES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'polyscore.video.data' has no attribute '{name}'")
    return getattr(importlib.import_module(f"polyscore.video.data.{_HOME[name]}"), name)
