"""MusicXML in and out, through music21 (the extra `musicxml`).

Ticks are exact: music21 counts in fractions of a quarter note, and the score gets as many ticks a beat as hold them all. A tie is
one note. A pick-up is a first meter of its own length, as in `polyscore.music.score`, so that bar lines stay where they are.
"""

from __future__ import annotations

import os
from fractions import Fraction
from math import lcm
from pathlib import Path
from typing import Any

from polyscore.errors import InputError, MissingExtraError
from polyscore.hub.files import atomic_path
from polyscore.music.score import Key, Meter, Note, Score, Tempo, Track

__all__ = ["read_musicxml", "write_musicxml"]

_FINEST = 960  # ticks a beat that divide everything up to thirty-seconds, triplets and quintuplets
_VELOCITY = 80


def read_musicxml(path: str | os.PathLike[str]) -> Score:
    """The score of a .musicxml, .xml or .mxl file; a track for each part.

    Raises:
        InputError: the file cannot be read as MusicXML, or holds no note.
        MissingExtraError: music21 is not installed.
    """
    music21 = _music21()
    if not Path(path).is_file():
        raise InputError(f"{path}: cannot be read; expected a MusicXML file")
    try:
        stream = music21.converter.parse(os.fspath(path), forceSource=True, format="musicxml")
    except Exception as error:  # music21 raises whatever its parsers do
        raise InputError(f"{path}: cannot be read as MusicXML ({type(error).__name__}: {error})") from error
    parts = list(stream.parts)
    pickup = _pickup(parts[0]) if parts else Fraction(0)
    tracks = [(part, _notes(part.stripTies())) for part in parts]
    times = [number for _, notes in tracks for start, length, *_ in notes for number in (start, length)]
    per_beat = min(lcm(*(number.denominator for number in times), 1) * 24, _FINEST) if times else 24
    per_beat = lcm(per_beat, pickup.denominator)
    made = tuple(
        Track.of(
            [(round(s * per_beat), round((s + n) * per_beat) - round(s * per_beat), p, v) for s, n, p, v in notes],
            name=part.partName or "",
            program=_program(part),
        )
        for part, notes in tracks
        if notes
    )
    if not made:
        raise InputError(f"{path}: the file holds no note; expected at least one")
    first = parts[0]

    def tick(element: Any, whole: Any = first) -> int:
        return round(Fraction(element.getOffsetInHierarchy(whole)) * per_beat)

    meters = [Meter(tick(m), m.numerator, m.denominator) for m in first[music21.meter.TimeSignature]]
    if pickup and meters:
        meters = [Meter(0, *_as_meter(pickup)), Meter(round(pickup * per_beat), *meters[0][1:]), *meters[1:]]
    keys = [Key(tick(k), k.sharps, getattr(k, "mode", None) == "minor") for k in first[music21.key.KeySignature]]
    marks = [m for m in stream[music21.tempo.MetronomeMark] if m.getQuarterBPM()]
    tempos = {tick(m, stream): round(6e7 / m.getQuarterBPM()) for m in marks}
    return Score(made, per_beat, tuple(Tempo(t, us) for t, us in sorted(tempos.items())), tuple(meters), tuple(keys))


def write_musicxml(score: Score, path: str | os.PathLike[str]) -> None:
    """Write a score as MusicXML; simultaneous notes of a track of one length are a chord, others go to voices of their own.

    Raises:
        MissingExtraError: music21 is not installed.
        PolyscoreError: the place cannot be written.
    """
    music21 = _music21()
    whole = music21.stream.Score()
    for track in score.tracks:
        part = music21.stream.Part()
        part.partName = track.name or None
        if not track.is_drum:
            part.insert(0, music21.instrument.instrumentFromMidiProgram(track.program))
        _insert_maps(music21, part, score)
        for note in map(Note._make, track.notes.tolist()):
            made = music21.note.Note(note.pitch, quarterLength=Fraction(max(note.duration, 1), score.ticks_per_beat))
            made.volume.velocity = note.velocity
            part.insert(Fraction(note.start, score.ticks_per_beat), made)
        whole.insert(0, part.chordify() if _overlaps(track) else part)
    with atomic_path(Path(path).with_suffix(".musicxml") if not Path(path).suffix else path) as name:
        whole.write("musicxml", fp=os.fspath(name))


def _insert_maps(music21: Any, part: Any, score: Score) -> None:
    beat = score.ticks_per_beat
    for meter in score.meters:
        part.insert(Fraction(meter.tick, beat), music21.meter.TimeSignature(f"{meter.numerator}/{meter.denominator}"))
    for key in score.keys:
        signature = music21.key.KeySignature(key.fifths)
        part.insert(Fraction(key.tick, beat), signature.asKey("minor" if key.minor else "major"))
    for tempo in score.tempos:
        part.insert(Fraction(tempo.tick, beat), music21.tempo.MetronomeMark(number=round(6e7 / tempo.microseconds, 3)))


def _notes(part: Any) -> list[tuple[Fraction, Fraction, int, int]]:
    found = []
    for element in part.flatten().notes:
        start, length = Fraction(element.offset), Fraction(element.quarterLength)
        if length > 0:  # grace notes have none
            velocity = element.volume.velocity or _VELOCITY
            found += [(start, length, pitch.midi, min(max(velocity, 1), 127)) for pitch in element.pitches]
    return found


def _pickup(part: Any) -> Fraction:
    """The length of an incomplete first bar in quarters; 0 where there is none."""
    measures = part.getElementsByClass("Measure")
    if len(measures) < 2:
        return Fraction(0)
    length, bar = Fraction(measures[0].duration.quarterLength), Fraction(measures[0].barDuration.quarterLength)
    return length if 0 < length < bar else Fraction(0)


def _as_meter(quarters: Fraction) -> tuple[int, int]:
    denominator = 4
    while (quarters * denominator / 4).denominator > 1 and denominator < 64:
        denominator *= 2
    return max(round(quarters * denominator / 4), 1), denominator


def _program(part: Any) -> int:
    instrument = part.getInstrument(returnDefault=False)
    return int(getattr(instrument, "midiProgram", None) or 0)


def _overlaps(track: Track) -> bool:
    ends = track.notes["start"] + track.notes["duration"]
    return bool((ends[:-1] > track.notes["start"][1:]).any())


def _music21() -> Any:
    try:
        import music21
    except ImportError as error:
        raise MissingExtraError("MusicXML needs music21: pip install 'polyscore[musicxml]'") from error
    return music21
