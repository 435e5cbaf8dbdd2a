"""Saving, loading, names -> checkpoints; and files that appear whole or not at all.

What needs torch is imported at first use, so that listing the shipped models or writing a report does not wait for it.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from polyscore.hub.files import atomic_directory, atomic_path
from polyscore.hub.shipped import Shipped, shipped

if TYPE_CHECKING:
    from polyscore.hub.card import card_template
    from polyscore.hub.config import build, config_of
    from polyscore.hub.folder import load, load_as, save
    from polyscore.hub.pretrained import Pretrained
    from polyscore.hub.remote import pull, push

__all__ = [
    "save",
    "load",
    "load_as",
    "Pretrained",
    "shipped",
    "Shipped",
    "push",
    "pull",
    "card_template",
    "config_of",
    "build",
    "atomic_path",
    "atomic_directory",
]

_LATE = {
    "save": "folder",
    "load": "folder",
    "load_as": "folder",
    "Pretrained": "pretrained",
    "config_of": "config",
    "build": "config",
    "push": "remote",
    "pull": "remote",
    "card_template": "card",
}


def __getattr__(name: str) -> Any:
    if name not in _LATE:
        raise AttributeError(f"module 'polyscore.hub' has no attribute '{name}'")
    return getattr(importlib.import_module(f"polyscore.hub.{_LATE[name]}"), name)
