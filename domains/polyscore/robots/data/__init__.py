"""Data of robots: windows for training, and readers of the field's formats."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from polyscore.robots.data.windows import PlayData

__all__ = ["PlayData"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'polyscore.robots.data' has no attribute '{name}'")
    # Imported at first use: reading demonstrations needs no Lightning, which takes seconds, and the data module does.
    from polyscore.robots.data.windows import PlayData

    return PlayData
