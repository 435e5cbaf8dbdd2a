r"""Voice leading of a grid, against which chorales are judged.

With p_v(t) the pitch that voice v (top down) sounds at position t:

    hold, onset, rest    shares of tokens
    off_beat             share of onsets that are not on a beat
    repeated             share of onsets with the pitch of the voice's previous note
    steps                share of a voice's melodic moves of one or two semitones
    crossings            share of (position, pair of neighbouring voices) where the upper is below the lower
    scale                the share of onsets in the best major scale of the window (natural minor is the same)
    consonant            share of beats on which all voices sound, each a third, fifth, sixth or octave (or their compounds)
                         above the bass
    parallels            pairs of voices that both move from a fifth to a fifth, or from an octave to an octave, a bar
    similar              those of them that move in one direction

Consecutive fifths and octaves by contrary motion are rarer sins; `parallels` counts both kinds. All are computed of a set of
grids together, shares by counts.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from polyscore.music.grid import HOLD, REST, Grid
from polyscore.music.metrics.muspy_set import scale_consistency

__all__ = ["Counterpoint", "counterpoint", "parallels"]

_CONSONANT = np.isin(np.arange(12), (0, 3, 4, 7, 8, 9))


class Counterpoint(NamedTuple):
    """The numbers of the module's text."""

    hold: float
    onset: float
    rest: float
    off_beat: float
    repeated: float
    steps: float
    crossings: float
    scale: float
    consonant: float
    parallels: float
    similar: float


def counterpoint(grids: Sequence[Grid]) -> Counterpoint:
    """Of all grids together; voices from the highest to the lowest. Hidden cells and silence count as no pitch."""
    counts = np.sum([_counts(grid) for grid in grids], axis=0)
    part, whole = counts[0::2], counts[1::2]
    shares = np.divide(part, whole, out=np.full(len(part), np.nan), where=whole > 0)
    scales = [scale_consistency(grid.tokens[grid.tokens < HOLD]) for grid in grids if (grid.tokens < HOLD).any()]
    first, last = shares[:7].tolist(), shares[7:].tolist()
    return Counterpoint._make([*first, float(np.mean(scales)) if scales else float("nan"), *last])


def parallels(pitch: NDArray[np.int64], *, similar: bool = False) -> NDArray[np.bool_]:
    """(pairs, L): where two voices arrive in parallel, for pairs (0, 1), (0, 2), ...; pitch (V, L), -1 for none.

    Args:
        pitch: what sounds.
        similar: only where both move in one direction.
    """
    before, now = pitch[:, :-1], pitch[:, 1:]
    out = np.zeros((pitch.shape[0] * (pitch.shape[0] - 1) // 2, pitch.shape[1]), dtype=bool)
    for row, (a, b) in zip(out, combinations(range(pitch.shape[0]), 2), strict=True):
        one, other = np.sign(now[a] - before[a]), np.sign(now[b] - before[b])
        sound = (np.minimum(now[a], before[a]) >= 0) & (np.minimum(now[b], before[b]) >= 0)
        first, then = (before[a] - before[b]) % 12, (now[a] - now[b]) % 12
        moved = one * other > 0 if similar else one * other != 0
        row[1:] = sound & moved & (first == then) & ((then == 7) | (then == 0))
    return out


def _counts(grid: Grid) -> NDArray[np.float64]:
    """Numerators and denominators in turn, of the shares without the scale's."""
    tokens, pitch = grid.tokens, grid.sounding()
    onset = tokens < HOLD
    beat = np.arange(grid.length) % grid.per_beat == 0
    if "position" in grid.rows:
        beat = (grid.rows["position"] - 1) % grid.per_beat == 0
    moves = [np.diff(row[row < HOLD]) for row in tokens]
    moved = np.concatenate(moves) if moves else np.zeros(0, dtype=np.int64)
    pairs = (pitch[:-1] >= 0) & (pitch[1:] >= 0)
    chord = pitch[:, beat & (pitch >= 0).all(0)]
    good = _CONSONANT[(chord - chord[-1:]) % 12].all(0) if len(chord) else np.zeros(0, dtype=bool)
    bar = float(np.mean(grid.rows["bar"])) if "bar" in grid.rows and grid.length else 4.0 * grid.per_beat
    known = int(np.isin(tokens, (HOLD, REST)).sum() + onset.sum())
    return np.array(
        [
            *((tokens == HOLD).sum(), known),
            *(onset.sum(), known),
            *((tokens == REST).sum(), known),
            *(onset[:, ~beat].sum(), onset.sum()),
            *((moved == 0).sum(), len(moved)),
            *(((np.abs(moved) > 0) & (np.abs(moved) <= 2)).sum(), (moved != 0).sum()),
            *((pairs & (pitch[:-1] < pitch[1:])).sum(), pairs.sum()),
            *(good.sum(), len(good)),
            *(parallels(pitch).sum(), grid.length / bar),
            *(parallels(pitch, similar=True).sum(), grid.length / bar),
        ],
        dtype=np.float64,
    )
