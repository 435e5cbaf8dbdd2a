"""Images: networks, data modules and the pipeline that draws them."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from polyscore.images.data import DigitsData, FolderOfImages, digits
    from polyscore.images.networks import DiT, UNet
    from polyscore.images.pipeline import ImageGenerator

__all__ = ["DiT", "DigitsData", "FolderOfImages", "ImageGenerator", "UNet", "digits"]

# Imported at first use: drawing images needs no Lightning, which the data modules do.
_PLACES = {"DiT": "networks", "UNet": "networks", "ImageGenerator": "pipeline"}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'polyscore.images' has no attribute '{name}'")
    return getattr(importlib.import_module(f"polyscore.images.{_PLACES.get(name, 'data')}"), name)
