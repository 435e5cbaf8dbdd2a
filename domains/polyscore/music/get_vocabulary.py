"""The vocabulary of GETScore: durations, the notes and chords of six parts, and the roots and kinds of the harmony.

A part's first 128 tokens are its pitches; compounds, notes that begin together, follow by frequency. A vocabulary is its
compounds: everything else is always there, so a saved model keeps five lists of texts.

Source: Lv et al. 2023 (GETMusic), arXiv 2305.10841.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from polyscore.errors import InputError
from polyscore.music.chords import KINDS, ROOTS
from polyscore.music.octuple import SIXTEENTHS

__all__ = ["PARTS", "ROWS", "GetVocabulary", "Part"]

_KINDS = ("null", *tuple(KINDS)[1:4], "seven", *tuple(KINDS)[5:])


class Part(NamedTuple):
    """A track of the format: its program (128: drums), the prefix of its tokens, and the velocity its notes are given."""

    name: str
    program: int
    prefix: str
    velocity: int


PARTS = (
    Part("lead", 80, "M", 114),
    Part("bass", 32, "B", 98),
    Part("drums", 128, "D", 98),
    Part("guitar", 25, "G", 82),
    Part("piano", 0, "P", 98),
    Part("strings", 48, "S", 50),
)
ROWS = 14


@dataclass(frozen=True)
class GetVocabulary:
    """The tokens: durations T1..T15, `<pad>`, then for each part its 128 pitches and its compounds, then 12 roots and 8 kinds.

    Args:
        bass, drums, guitar, piano, strings: compounds, "36 43", by frequency; pitches ascending, those of drums from 128 on. The
            lead has none.
    """

    bass: tuple[str, ...] = ()
    drums: tuple[str, ...] = ()
    guitar: tuple[str, ...] = ()
    piano: tuple[str, ...] = ()
    strings: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for field in fields(self):
            object.__setattr__(self, field.name, tuple(getattr(self, field.name)))

    @staticmethod
    def counted(counts: Mapping[str, Mapping[str, int]], *, share: float = 0.9, more_than: int = 0) -> GetVocabulary:
        """The compounds of each part, most frequent first, while they cover less than `share` and occur more than so often."""
        kept = {}
        for name, found in counts.items():
            total, covered, chosen = sum(found.values()), 0, []
            for compound, count in sorted(found.items(), key=lambda pair: -pair[1]):
                covered += count
                if covered >= share * total or count <= more_than:
                    break
                chosen.append(compound)
            kept[name] = tuple(chosen)
        return GetVocabulary(**kept)

    @staticmethod
    def from_file(path: str | Path) -> GetVocabulary:
        """The vocabulary of an original `dict.txt`: a token and a count on each line.

        Raises:
            InputError: the file cannot be read, or its tokens do not stand in the format's order.
        """
        try:
            lines = Path(path).read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"{path}: cannot be read as a list of tokens ({error})") from error
        tokens = tuple(line.split("\t")[0] for line in lines if line)
        found = {part.name: tuple(t[1:] for t in tokens if t[0] == part.prefix and " " in t) for part in PARTS[1:]}
        made = GetVocabulary(**found)
        if made.tokens != tokens:
            raise InputError(f"{path}: {len(tokens)} tokens that are not in GETMusic's order; expected its dict.txt")
        return made

    @cached_property
    def tokens(self) -> tuple[str, ...]:
        """All tokens by number, without EMPTY and MASK."""
        made = [f"T{i}" for i in range(1, len(SIXTEENTHS))] + ["<pad>"]
        for part in PARTS:
            first = 128 if part.name == "drums" else 0
            made += [f"{part.prefix}{pitch}" for pitch in range(first, first + 128)]
            made += [part.prefix + compound for compound in getattr(self, part.name, ())]
        return (*made, *ROOTS, *_KINDS)

    @cached_property
    def ids(self) -> dict[str, int]:
        """The number of each token."""
        return {token: number for number, token in enumerate(self.tokens)}

    @cached_property
    def ranges(self) -> tuple[range, ...]:
        """The numbers of each part's tokens."""
        sizes = [128 + len(getattr(self, part.name, ())) for part in PARTS]
        ends = np.cumsum([self.pad + 1, *sizes]).tolist()
        return tuple(range(a, b) for a, b in pairwise(ends))

    @property
    def pad(self) -> int:
        """Nothing begins here."""
        return len(SIXTEENTHS) - 1

    @property
    def root(self) -> int:
        """The first root; kinds follow twelve later."""
        return self.ranges[-1].stop

    @property
    def empty(self) -> int:
        """The track is absent."""
        return len(self.tokens)

    @property
    def mask(self) -> int:
        """Diffusion's MASK, the last number."""
        return self.empty + 1

    @cached_property
    def allowed(self) -> NDArray[np.bool_]:
        """(14, tokens): what each row may hold."""
        table = np.zeros((ROWS, len(self.tokens)), dtype=np.bool_)
        for row, numbers in zip(range(0, 12, 2), self.ranges, strict=True):
            table[row, numbers.start : numbers.stop] = True
            table[row, self.pad] = True
            table[row + 1, : self.pad + 1] = True
        table[12, self.root : self.root + 12] = table[13, self.root + 12 : self.root + 20] = True
        table[12:, self.pad] = True
        return table
