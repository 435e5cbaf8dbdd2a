"""Given chords as a rule for the cells of a grid: which tokens each may hold.

In a bar with a chord, a note that begins on a beat belongs to it; where the bar begins every voice begins a note, or is silent,
and the lowest voice has the root. Between beats notes are free, so that they can pass. The rule is about what is written: notes
that are given may clash with it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from polyscore.errors import InputError
from polyscore.music.chords import Chord
from polyscore.music.grid import HOLD, REST, Grid

__all__ = ["chord_tokens"]


def chord_tokens(
    grid: Grid, chords: Sequence[Chord], *, shift: int = 0, drums: Sequence[int] = ()
) -> NDArray[np.bool_]:
    """(V, L, 130) bool: the pitches, HOLD and REST that each cell of a grid may hold.

    Args:
        grid: with the row "position".
        chords: a chord a bar from the first whole bar on, repeated to the end; a pick-up is free.
        shift: semitones by which the grid is transposed against the chords.
        drums: voices without pitches, which are free.

    Raises:
        InputError: no chord, or a grid that does not know its bars.
    """
    if not chords or "position" not in grid.rows or not grid.rows["position"].all():
        raise InputError("chord_tokens: expected a chord or more, and a grid that knows its places in the bar")
    place = grid.rows["position"] - 1
    bar = np.cumsum(place == 0) - 1
    tones = np.array([np.isin((np.arange(128) - shift) % 12, chord.pitch_classes) for chord in chords])
    roots = np.array([(np.arange(128) - shift) % 12 == chord.root for chord in chords])
    allowed = np.ones((grid.voices, grid.length, REST + 1), dtype=np.bool_)
    beats = np.flatnonzero((place % grid.per_beat == 0) & (bar >= 0))
    lines = np.flatnonzero((place == 0) & (bar >= 0))
    pitched = [voice for voice in range(grid.voices) if voice not in drums]
    for voice in pitched:
        allowed[voice, beats, :HOLD] = tones[bar[beats] % len(chords)]
        allowed[voice, lines, HOLD] = False
    for voice in pitched[-1:]:
        allowed[voice, lines, :HOLD] = roots[bar[lines] % len(chords)]
    return allowed
