"""What engines share that ask a multi-view prior."""

from __future__ import annotations

from typing import ClassVar

import torch

from polyscore.shapes.engines.base import Aid, Engine
from polyscore.shapes.text import TextToShape
from polyscore.shapes.words import Words, parse

__all__ = ["FromViews"]


class FromViews(Engine[TextToShape, Words]):
    """An engine that asks a `TextToShape` for views: its words are a closed vocabulary."""

    shipped: ClassVar[str | None] = "solids"
    aids: ClassVar[frozenset[Aid]] = frozenset({"sketch", "paint"})

    def load(self, name: str, *, device: str | torch.device = "cpu") -> TextToShape:
        return TextToShape.from_pretrained(name, device=device)

    def read(self, phrase: str) -> Words:
        return parse(phrase)
