"""What ``polyscore compose`` is told in words: bars, parts, chords, keys and meters, as argparse types."""

from __future__ import annotations

import argparse
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from polyscore.music.chords import Chord
    from polyscore.music.score import Key

__all__ = ["bars_of", "chords_of", "key_of", "meter_of", "names_of", "part_of"]

_FIFTHS = {"C": 0, "G": 1, "D": 2, "A": 3, "E": 4, "B": 5, "F": -1}


def bars_of(text: str) -> tuple[int, int]:
    """``9-12`` as (9, 12), ``9`` as (9, 9)."""
    found = re.fullmatch(r"(\d{1,6})(?:-(\d{1,6}))?", text)
    if found is None or int(found[2] or found[1]) < int(found[1]):
        raise argparse.ArgumentTypeError(f"'{text}' is no span of bars; expected 9 or 9-12")
    return int(found[1]), int(found[2] or found[1])


def names_of(text: str) -> tuple[str, ...]:
    """``alto,tenor``."""
    names = tuple(name.strip().lower() for name in text.split(",") if name.strip())
    if not names or len(set(names)) < len(names):
        raise argparse.ArgumentTypeError(f"'{text}': expected names of parts, each once, as in alto,tenor")
    return names


def part_of(text: str) -> tuple[int, str]:
    """``2=lead``."""
    found = re.fullmatch(r"(\d+)=([a-zA-Z]+)", text)
    if found is None:
        raise argparse.ArgumentTypeError(f"'{text}': expected a track's number and its part, as in 2=lead")
    return int(found[1]), found[2].lower()


def chords_of(text: str) -> tuple[Chord, ...]:
    """``C G Am F``; ``auto`` is none given."""
    from polyscore.errors import InputError
    from polyscore.music.chords import parse_chords

    if text.strip().lower() == "auto":
        return ()
    try:
        return parse_chords(text)
    except InputError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def key_of(text: str) -> Key:
    """``G``, ``Bb major``, ``F# minor``, ``Em``."""
    from polyscore.music.score import Key

    found = re.fullmatch(r"([A-Ga-g])([#b]?)\s*(major|minor|maj|min|m)?", text.strip())
    if found is None:
        raise argparse.ArgumentTypeError(f"'{text}' is no key; expected a name as in G, Bb major, F# minor")
    minor = (found[3] or "").lower() in ("minor", "min", "m")
    fifths = _FIFTHS[found[1].upper()] + {"#": 7, "b": -7, "": 0}[found[2]] - 3 * minor
    if not -7 <= fifths <= 7:
        raise argparse.ArgumentTypeError(f"'{text}' has more than seven sharps or flats; write the other name of the same key")
    return Key(0, fifths, minor)


def meter_of(text: str) -> tuple[int, int]:
    """``3/4``."""
    found = re.fullmatch(r"(\d{1,2})/(1|2|4|8|16|32|64)", text)
    if found is None or int(found[1]) == 0:
        raise argparse.ArgumentTypeError(f"'{text}' is no meter; expected one as in 4/4, 3/4 or 7/8")
    return int(found[1]), int(found[2])
