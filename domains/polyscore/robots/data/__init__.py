"""Data of robots: windows for training, and readers of the field's formats."""

from polyscore.robots.data.windows import PlayData

__all__ = ["PlayData"]
