"""Words: "a glossy red chair" becomes a kind, a colour and a finish that the bundled prior knows.

The vocabulary is closed. A word that is not in it is an error that names the nearest ones, because a model that has never seen a
dragon would answer with a chair. A phrase names one kind; colour and finish may be missing (`Words.colour` is then None, the
finish matte).
"""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass, replace
from types import MappingProxyType

import torch
from torch import Tensor

from polyscore.errors import InputError
from polyscore.shapes.data.procedural import names
from polyscore.shapes.finishes import FINISHES, Finish

__all__ = ["COLOURS", "Words", "parse", "palette", "vocabulary"]

COLOURS = MappingProxyType(
    {
        "red": (0.82, 0.08, 0.08),
        "orange": (0.95, 0.48, 0.05),
        "yellow": (0.95, 0.85, 0.12),
        "green": (0.12, 0.6, 0.18),
        "blue": (0.1, 0.28, 0.82),
        "purple": (0.5, 0.16, 0.68),
        "white": (0.93, 0.93, 0.93),
        "black": (0.13, 0.13, 0.14),
    }
)
"""Colours by name, linear in the order of their numbers."""

_OWN = ((0.08, 0.08, 0.09), (0.45, 0.28, 0.14), (0.92, 0.88, 0.76))  # tyres, wood, sails
_SHADE = 0.62
_SAME = MappingProxyType(
    {
        "aeroplane": "plane", "airplane": "plane", "aircraft": "plane", "jet": "plane", "cup": "mug", "sailboat": "boat",
        "ship": "boat", "yacht": "boat", "automobile": "car", "toadstool": "mushroom", "cottage": "house", "hut": "house",
        "fir": "tree", "pine": "tree", "desk": "table", "violet": "purple", "golden": "yellow", "matt": "matte", "dull": "matte",
        "shiny": "glossy", "shining": "glossy", "polished": "glossy", "metallic": "metal", "spaceship": "rocket",
    }
)  # fmt: skip
_SILENT = frozenset(
    {
        "a", "an", "the", "one", "some", "of", "in", "with", "made", "from", "and", "colour", "color", "coloured", "colored",
        "finish", "painted", "surface", "that", "is", "very", "nice",
    }
)  # fmt: skip


@dataclass(frozen=True)
class Words:
    """What a phrase asks for.

    Attributes:
        kind: one of `polyscore.shapes.data.procedural.names()`.
        colour: one of `COLOURS`, or None where none was named.
        finish: how the surface looks.
    """

    kind: str
    colour: str | None = None
    finish: Finish = FINISHES[0]

    def numbers(self) -> Tensor:
        """What the prior is told, (3,): the numbers of kind, colour and finish; one past the last means "not said"."""
        colour = len(COLOURS) if self.colour is None else list(COLOURS).index(self.colour)
        return torch.tensor([names().index(self.kind), colour, FINISHES.index(self.finish)])

    def coloured(self, seed: int) -> Words:
        """The same with a colour: where none was named, the one that the seed draws."""
        return self if self.colour is not None else replace(self, colour=list(COLOURS)[(7 * seed) % len(COLOURS)])

    def __str__(self) -> str:
        return " ".join(word for word in (self.finish.name, self.colour, self.kind) if word)


def vocabulary() -> tuple[str, ...]:
    """All words that mean something."""
    return (*names(), *COLOURS, *(finish.name for finish in FINISHES), *_SAME)


def palette(colour: str) -> Tensor:
    """The colours of the paints (5, 3): the colour, its darker shade, and those of tyres, wood and sails."""
    main = torch.tensor(COLOURS[colour])
    return torch.stack([main, _SHADE * main, *torch.tensor(_OWN)])


def parse(phrase: str) -> Words:
    """Kind, colour and finish of a phrase.

    Raises:
        InputError: an unknown word (the message names the nearest known ones), no kind, or two kinds, colours or finishes.
    """
    known = vocabulary()
    found: dict[str, str] = {}
    finishes = {finish.name: finish for finish in FINISHES}
    for raw in re.findall(r"[^\W\d_]+|\S+", phrase.lower()):
        if raw in _SILENT or raw in {",", ".", "!", "-"}:
            continue
        word = _SAME.get(raw, raw)
        if word not in known and raw.endswith("s"):
            word = _SAME.get(raw[:-1], raw[:-1])
        role = "kind" if word in names() else "colour" if word in COLOURS else "finish" if word in finishes else ""
        if not role:
            raise InputError(f"{phrase!r}: the word {raw!r} is not known{_nearest(raw, known)}")
        if found.setdefault(role, word) != word:
            raise InputError(f"{phrase!r} names two {role}s, {found[role]} and {word}; expected one")
    if "kind" not in found:
        raise InputError(f"{phrase!r} names no thing; expected one of {', '.join(names())}")
    return Words(found["kind"], found.get("colour"), finishes[found.get("finish", FINISHES[0].name)])


def _nearest(word: str, known: tuple[str, ...]) -> str:
    close = difflib.get_close_matches(word, known, 3, cutoff=0.6)
    if close:
        return f"; did you mean {' or '.join(close)}?"
    finishes = ", ".join(finish.name for finish in FINISHES)
    return f"; the model knows the things {', '.join(names())}, the colours {', '.join(COLOURS)} and the finishes {finishes}"
