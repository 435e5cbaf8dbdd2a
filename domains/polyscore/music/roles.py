"""Which track plays which part: by what the file says, then by how it sounds.

For a band the parts are GETMusic's (lead, bass, drums, guitar, piano, strings), for a choir a list of voices from high to low.
Asked in this order, the first answer counts:

    the user's word; MIDI channel 10; the track's name; the family of its General MIDI program; its register

The last one fills what the others left open: a band without a lead takes its highest tune for one, a band without a bass its
lowest, and voices without names are ranked by their mean pitch. Nothing is changed in the file: a part is a way to read a track.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from polyscore.errors import InputError
from polyscore.music.score import Score, Track

__all__ = ["BAND", "CHOIR", "PROGRAMS", "Reading", "read_parts", "read_voices"]

BAND = ("lead", "bass", "drums", "guitar", "piano", "strings")
CHOIR = ("soprano", "alto", "tenor", "bass")
PROGRAMS = {"lead": 80, "bass": 32, "drums": 0, "guitar": 25, "piano": 0, "strings": 48}
"""The program of a part that is new in a piece."""

_WORD = "the user's word"
_NAMES = (
    ("drums", r"drum|percuss|kick|snare|hi.?hat|cymbal|\bkit\b|schlagzeug|batter"),
    ("bass", r"bass(?!oon)|kontrabass"),
    ("lead", r"lead|melod|vocal|voice|sing|solo|soprano|tune|gesang"),
    ("guitar", r"guit|gtr|banjo|ukulele|mandolin"),
    ("piano", r"piano|keys|keyboard|klavier|organ|clav|rhodes|harpsi"),
    ("strings", r"string|violin|viola|cello|streich|choir|\bpad\b|\bstr\b"),
)
# General MIDI families of eight programs; effects and sounds have no part.
_FAMILIES = (
    *("piano", "piano", "piano", "guitar", "bass", "strings", "strings", "lead"),
    *("lead", "lead", "lead", "strings", None, "guitar", None, None),
)
_VOICES = {"soprano": r"sopr|cantus|discant|descant|^s$", "alto": r"alt|^a$", "tenor": r"tenor|^t$", "bass": r"bass|^b$"}


@dataclass(frozen=True)
class Reading:
    """How one track is read.

    Attributes:
        track: its place in the score.
        name, program, is_drum, notes: what it is.
        part: what it plays; None: nothing a model knows.
        because: why.
    """

    track: int
    name: str
    program: int
    is_drum: bool
    notes: int
    part: str | None
    because: str

    def __str__(self) -> str:
        what = "drums" if self.is_drum else f"program {self.program}"
        name = f" '{self.name}'" if self.name else ""
        return f"track {self.track}{name} ({what}, {self.notes} notes): {self.part or 'not seen by the model'}, by {self.because}"


def read_parts(score: Score, said: Mapping[int, str] | None = None) -> tuple[Reading, ...]:
    """The part of a band that each track plays; several tracks may share one.

    Args:
        score: the piece.
        said: the user's word, by track.

    Raises:
        InputError: a word about a track or a part that does not exist.
    """
    _check(score, said, BAND)
    words = said or {}
    found = tuple(
        _reading(i, track, words[i], _WORD) if i in words else _part(i, track) for i, track in enumerate(score.tracks)
    )
    for part, sign in (("lead", 1), ("bass", -1)):
        if any(reading.part == part for reading in found):
            continue
        tunes = [r for r in found if _open(r, found) and _is_tune(score.tracks[r.track]) and sign * (_height(score, r) - 55) > 0]
        if tunes:
            best = max(tunes, key=lambda r: sign * _height(score, r))
            register = "the highest tune" if sign > 0 else "the lowest tune"
            found = tuple(replace(r, part=part, because=register) if r is best else r for r in found)
    return found


def read_voices(score: Score, voices: Sequence[str] = CHOIR, said: Mapping[int, str] | None = None) -> tuple[Reading, ...]:
    """The voice that each track sings: one track a voice, from high to low.

    Args:
        score: the piece; drums and tracks beyond the number of voices sing none.
        voices: their names, from high to low.
        said: the user's word, by track.

    Raises:
        InputError: a word about a track or a voice that does not exist.
    """
    _check(score, said, voices)
    found: dict[int, tuple[str, str]] = {i: (part, _WORD) for i, part in (said or {}).items()}
    pitched = [i for i, track in enumerate(score.tracks) if not track.is_drum and len(track) and i not in found]
    for i in pitched:
        name = score.tracks[i].name.strip().lower()
        named = [voice for voice in voices if re.search(_VOICES.get(voice, re.escape(voice)), name)]
        if len(named) == 1 and named[0] not in [part for part, _ in found.values()]:
            found[i] = (named[0], "its name")
    rest = sorted((i for i in pitched if i not in found), key=lambda i: -float(score.tracks[i].notes["pitch"].mean()))
    free = [voice for voice in voices if voice not in [part for part, _ in found.values()]]
    found |= {i: (voice, "its register") for i, voice in zip(rest, free, strict=False)}
    nothing: tuple[str | None, str] = (None, "every voice being taken")
    return tuple(_reading(i, track, *found.get(i, nothing)) for i, track in enumerate(score.tracks))


def _part(i: int, track: Track) -> Reading:
    if track.is_drum:
        return _reading(i, track, "drums", "MIDI channel 10")
    for part, pattern in _NAMES:
        if re.search(pattern, track.name.lower()):
            return _reading(i, track, part, "its name")
    family = _FAMILIES[track.program // 8]
    if family == "piano" and _is_tune(track) and float(track.notes["pitch"].mean()) > 55:
        return _reading(i, track, "piano", "its program, although it is a tune")
    return _reading(i, track, family, "its program")


def _reading(i: int, track: Track, part: str | None, because: str) -> Reading:
    return Reading(i, track.name, track.program, track.is_drum, len(track), part, because)


def _check(score: Score, said: Mapping[int, str] | None, parts: Sequence[str]) -> None:
    for track, part in (said or {}).items():
        if not 0 <= track < len(score.tracks):
            raise InputError(f"parts: track {track} of {len(score.tracks)}; expected 0 to {len(score.tracks) - 1}")
        if part not in parts:
            raise InputError(f"parts: track {track} as {part!r}; expected one of {', '.join(parts)}")


def _open(reading: Reading, among: Sequence[Reading]) -> bool:
    """Whether a track may be given another part: nobody said what it is, and its part would not be lost without reason."""
    if reading.is_drum or not reading.notes or reading.because in (_WORD, "its name"):
        return False
    shared = sum(other.part == reading.part for other in among) > 1
    return shared or reading.part is None or "tune" in reading.because


def _is_tune(track: Track) -> bool:
    """Hardly ever two notes that begin together."""
    return bool(len(track)) and len(np.unique(track.notes["start"])) > 0.9 * len(track)


def _height(score: Score, reading: Reading) -> float:
    return float(score.tracks[reading.track].notes["pitch"].mean())
