"""Video with motion control: motion sources, noise that follows them, models that obey it."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from polyscore.video.pipeline import Animator

__all__ = ["Animator"]

# Imported at first use: motion and its noise need no network.
_PLACES = {"Animator": "pipeline"}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'polyscore.video' has no attribute '{name}'")
    return getattr(importlib.import_module(f"polyscore.video.{_PLACES[name]}"), name)
