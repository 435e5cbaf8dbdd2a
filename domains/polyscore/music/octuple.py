"""GETMusic's note list: eight whole numbers a note, on a raster of sixteenths.

    bar, position in the bar, program, pitch, duration code, velocity code, meter code, tempo code

Drums have program 128 and pitch + 128; a chord is a row of program 129 with its root as pitch and its kind as duration. Codes:

    duration  the largest c with D_c <= d sixteenths,   D = 0 1 2 3 4 6 8 10 12 16 20 24 28 36 44 52, and 15 from 60 on
    velocity  v // 4
    tempo     round(12 log2(clip(bpm, 16, 256) / 16)), back: floor(16 2^(c / 12))
    meter     place of (j, 2^i) in the list 1/1, 1/2 2/2, 1/4 .. 4/4, ... , so that 4/4 is 6

Pitches are moved to C major or A minor (`polyscore.music.keys`), and every bar has a chord (`polyscore.music.chords`).

The original differs between training and inference and loses some notes on the way; `Rules` says in what, as data. `TRAINING` and
`INFERENCE` are the two published sets, `CORRECTED` is what everything here uses by default.

Sources: Zeng et al. 2021 (MusicBERT, octuples), arXiv 2106.05630; Lv et al. 2023 (GETMusic), arXiv 2305.10841.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from polyscore.errors import InputError
from polyscore.music.chords import Chord, ChordModel, pitch_profiles
from polyscore.music.keys import tonality
from polyscore.music.score import Meter, Score

__all__ = [
    "CHORD_PROGRAM",
    "CORRECTED",
    "DRUM_PROGRAM",
    "INFERENCE",
    "SIXTEENTHS",
    "TRAINING",
    "Octuples",
    "Rules",
    "duration_codes",
    "octuples",
    "tempo_code",
    "tempo_of",
]

Ints = NDArray[np.int64]

SIXTEENTHS = np.array([0, 1, 2, 3, 4, 6, 8, 10, 12, 16, 20, 24, 28, 36, 44, 52])
"""The length of each duration code, in sixteenths."""
DRUM_PROGRAM, CHORD_PROGRAM = 128, 129
_PER_BEAT, _COMMON_TIME, _DEFAULT_TEMPO = 4, 6, 500_000
_CHORDS = ChordModel()


@dataclass(frozen=True)
class Rules:
    """What becomes of what the format has no place for.

    Attributes:
        chord_lag: bars by which chords come late; 1 in the original, whose first frame ends where the piece begins.
        chord_programs: programs whose notes tell the chords; empty: all that are pitched.
        shortest: the duration code that a note which rounds to no length gets in the grid; 0 loses it.
        keep_last: whether the last row of a piece counts; the original's loop ends before it.
        bar_positions: positions a bar takes in the grid whatever its meter; 0: as many as it has.
        one_meter: whether only 4/4 and a single tempo are accepted.
        reduce: whether a chord that the vocabulary lacks is replaced by its largest known part; else it is dropped.
        fold: whether a pitch that the transposition moves out of 0..127 comes back an octave off.
    """

    chord_lag: int = 0
    chord_programs: tuple[int, ...] = ()
    shortest: int = 1
    keep_last: bool = True
    bar_positions: int = 0
    one_meter: bool = False
    reduce: bool = True
    fold: bool = True


CORRECTED = Rules()
TRAINING = Rules(chord_lag=1, keep_last=False, bar_positions=16, one_meter=True, reduce=False, fold=False)
INFERENCE = replace(TRAINING, chord_programs=(0, 25, 32, 48, 80), shortest=0, one_meter=False)


@dataclass(frozen=True, eq=False)
class Octuples:
    """A piece as rows of eight numbers.

    Attributes:
        rows: (N, 8), sorted.
        shift: semitones by which pitches were moved.
        bars: (bars + 1,) the grid position at which each bar begins, and where the last one ends.
        moved: notes whose begin or end was not on a sixteenth.
        error: the largest such distance, in beats.
        folded: notes that were moved by an octave to stay within 0..127.
        left_out: notes of tracks that take no part.
    """

    rows: Ints
    shift: int
    bars: Ints
    moved: int = 0
    error: float = 0.0
    folded: int = 0
    left_out: int = 0

    @property
    def tempo(self) -> int:
        """The tempo code of the first note."""
        notes = self.rows[self.rows[:, 2] != CHORD_PROGRAM]
        return int(notes[0, 7])


def duration_codes(sixteenths: ArrayLike) -> Ints:
    """The duration code of lengths in sixteenths."""
    lengths = np.asarray(sixteenths, dtype=np.int64)
    return np.where(lengths >= 60, 15, np.searchsorted(SIXTEENTHS, lengths, side="right") - 1)


def tempo_code(bpm: float) -> int:
    """The tempo code of beats a minute."""
    return round(math.log2(min(max(bpm, 16), 256) / 16) * 12)


def tempo_of(code: int) -> int:
    """Beats a minute of a tempo code."""
    return math.floor(2 ** (code / 12) * 16)


def octuples(
    score: Score,
    rules: Rules = CORRECTED,
    *,
    programs: Sequence[int | None] | None = None,
    chords: Sequence[Chord | None] | None = None,
    chord_model: ChordModel | None = None,
) -> Octuples:
    """The note list of a score.

    Args:
        score: the piece.
        rules: `CORRECTED`, or one of the published sets.
        programs: for each track the program it stands for (128 for drums), None for one that takes no part; default: its own.
        chords: a chord for each bar in the piece's own key, repeated to the end; default: inferred.
        chord_model: constants of the inference.

    Raises:
        InputError: no note in the tracks that take part, or a meter or tempo map that the rules refuse.
    """
    if rules.bar_positions:
        score = replace(score, meters=tuple(Meter(m.tick, *_reduced(m.numerator, m.denominator)) for m in score.meters))
    if rules.one_meter:
        _check_map(score)
    start, end, program, pitch, velocity, left_out = _columns(score, programs)
    raw = np.stack([start, end]) * _PER_BEAT / score.ticks_per_beat
    begin, stop = np.rint(raw).astype(np.int64)
    off = np.abs(np.stack([begin, stop]) - raw).max(0)
    lines, meter_codes = _bars(score, int(stop.max()))
    bar = np.searchsorted(lines, begin, side="right") - 1
    code = duration_codes(stop - begin)
    pitched, loud = program < DRUM_PROGRAM, velocity // 4
    shift = tonality(pitch[pitched], (code * loud)[pitched]).shift
    pitch = np.where(pitched, pitch + shift, pitch + 128)
    outside = pitched & ((pitch < 0) | (pitch > 127))
    if rules.fold:
        pitch = np.where(outside, pitch + 12 * np.where(pitch < 0, 1, -1), pitch)
    rows = np.stack([bar, begin - lines[bar], program, pitch, code, loud, meter_codes[bar], _tempos(score, begin)], 1)
    rows = _sorted(rows)
    if chords is None:
        found = _inferred(rows, lines, rules, chord_model or _CHORDS)
    else:
        found = [_moved(chords[i % len(chords)], shift) for i in range(len(lines) - 1)]
    more = [(i, 0, CHORD_PROGRAM, c.root, c.kind, 0, _COMMON_TIME, 0) for i, c in enumerate(found) if c is not None]
    rows = _sorted(np.concatenate([rows, np.array(more, dtype=np.int64).reshape(-1, 8)]))
    size = rules.bar_positions
    last = max(len(lines), int(rows[-1, 0]) + 2)
    places = np.arange(last) * size if size else lines
    return Octuples(
        rows,
        shift,
        places,
        moved=int((off > 1e-9).sum()),
        error=float(off.max()) / _PER_BEAT,
        folded=int(outside.sum()) if rules.fold else 0,
        left_out=left_out,
    )


def _columns(score: Score, programs: Sequence[int | None] | None) -> tuple[Ints, Ints, Ints, Ints, Ints, int]:
    """Start, end, program, pitch and velocity of all notes of the tracks that take part, and how many notes do not."""
    own = [DRUM_PROGRAM if track.is_drum else track.program for track in score.tracks]
    chosen = own if programs is None else list(programs)
    if len(chosen) != len(score.tracks):
        raise InputError(f"octuples: {len(chosen)} programs for {len(score.tracks)} tracks; expected one each")
    pairs = [(track.notes, program) for track, program in zip(score.tracks, chosen, strict=True) if program is not None]
    count = sum(len(notes) for notes, _ in pairs)
    if not count:
        raise InputError("octuples: no note in the tracks that take part; expected at least one")
    notes = np.concatenate([part for part, _ in pairs])
    program = np.repeat([number for _, number in pairs], [len(part) for part, _ in pairs])
    end = notes["start"] + notes["duration"]
    return notes["start"], end, program, notes["pitch"], notes["velocity"], score.note_count - count


def _bars(score: Score, until: int) -> tuple[Ints, Ints]:
    """Positions of all bar lines up to the first one at or after `until`, and the meter code of each bar."""
    unit = score.ticks_per_beat / _PER_BEAT
    ticks = score.bars(max(math.ceil(until * unit), 1))
    meters = [score.meter_at(int(tick)) for tick in (ticks if len(score.meters) > 1 else ticks[:1])]
    end = float(ticks[-1]) + score.bar_length(meters[-1])
    codes = np.array([_meter_code(meter) for meter in meters])
    lines = np.rint(np.append(ticks, end) / unit).astype(np.int64)
    lines[-1] = max(lines[-1], until)
    return lines, np.broadcast_to(codes, len(ticks)) if len(codes) == 1 else codes


def _tempos(score: Score, begin: Ints) -> Ints:
    """The tempo code in force at each position."""
    tempos = [(0, _DEFAULT_TEMPO), *score.tempos]
    at = np.rint(np.array([tick for tick, _ in tempos]) * _PER_BEAT / score.ticks_per_beat)
    codes = np.array([tempo_code(6e7 / microseconds) for _, microseconds in tempos])
    return np.asarray(codes[np.searchsorted(at, begin, side="right") - 1])


def _inferred(rows: Ints, lines: Ints, rules: Rules, model: ChordModel) -> list[Chord | None]:
    """A chord for each bar from the pitched notes, their lengths as coded."""
    tells = (rows[:, 3] >= 0) & (rows[:, 3] < 128) & (rows[:, 2] < DRUM_PROGRAM)
    if rules.chord_programs:
        tells &= np.isin(rows[:, 2], rules.chord_programs)
    notes = rows[tells]
    if not len(notes):
        return []
    begin = lines[notes[:, 0]] + notes[:, 1]
    end = begin + SIXTEENTHS[notes[:, 4]]
    if rules.chord_lag:
        length = _meter_length(int(notes[-1, 6]))
        frames = round(int(end.max()) // length + 0.5)
        if not frames:
            return []
        edges = np.concatenate(([-length], np.arange(frames) * length, [max(int(end.max()), frames * length)]))
    else:
        edges = np.append(lines[:-1], max(int(lines[-1]), int(end.max())))
    _, chords = model.path(pitch_profiles(begin, end, notes[:, 3], edges))
    return [Chord.of(int(chord)) for chord in chords]


def _moved(chord: Chord | None, shift: int) -> Chord | None:
    return None if chord is None else Chord((chord.root + shift) % 12, chord.kind)


def _check_map(score: Score) -> None:
    if len(score.meters) > 1 or len(score.tempos) > 1:
        found = f"{len(score.meters)} meters and {len(score.tempos)} tempos"
        raise InputError(f"octuples: {found}; these rules take one of each. CORRECTED takes any")
    if score.meters and _meter_code(score.meters[0]) != _COMMON_TIME:
        meter = score.meters[0]
        raise InputError(f"octuples: meter {meter.numerator}/{meter.denominator}; these rules take 4/4 only. CORRECTED takes any")


def _reduced(numerator: int, denominator: int) -> tuple[int, int]:
    """A meter within the published table: bars of at most a whole note, else split into equal parts."""
    while denominator > 64 and denominator % 2 == 0 and numerator % 2 == 0:
        numerator, denominator = numerator // 2, denominator // 2
    while numerator > denominator:
        numerator //= next(i for i in range(2, numerator + 1) if numerator % i == 0)
    return numerator, denominator


def _meter_code(meter: Meter) -> int:
    numerator, denominator = _reduced(meter.numerator, meter.denominator)
    return (1 << min(denominator.bit_length() - 1, 6)) + numerator - 2


def _meter_length(code: int) -> int:
    power = (code + 1).bit_length() - 1
    return (code + 2 - (1 << power)) * 16 >> power


def _sorted(rows: Ints) -> Ints:
    return np.asarray(rows[np.lexsort(rows.T[::-1])])
