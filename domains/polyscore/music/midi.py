"""Standard MIDI files in and out.

One file track (MTrk) becomes one :class:`Track` per channel and program that sounds in it, which splits type 0 files and files
that change program half-way. A note-off ends the oldest sounding note of its pitch and channel (first in, first out). With that
convention, and note-offs written before note-ons of the same tick, reading what was written gives the same notes, controllers,
programs, tempos, meters and keys.

``read_midi`` (mido) keeps everything; ``read_notes`` (symusic, C++, 100 times faster, for folders of files) gives the identical
notes, programs and maps without channels and controllers. A note that never ends has no length: it is left out, and
``Score.remarks`` counts it.
"""

from __future__ import annotations

import io
import os
from collections import defaultdict, deque
from pathlib import Path
from typing import Any

import numpy as np

from polyscore.errors import InputError, MissingExtraError
from polyscore.hub.files import atomic_path
from polyscore.music.score import NOTE, Key, Meter, Note, Score, Tempo, Track, note_array

__all__ = ["DRUM_CHANNEL", "LONGEST", "midi_bytes", "parse_midi", "read_midi", "read_notes", "write_midi"]

DRUM_CHANNEL = 9
LONGEST = 50_000  # beats, seven hours of 120 a minute: one wrong time can claim years, and rasters are made of all of it
_MAJOR = ["Cb", "Gb", "Db", "Ab", "Eb", "Bb", "F", "C", "G", "D", "A", "E", "B", "F#", "C#"]
_MINOR = ["Abm", "Ebm", "Bbm", "Fm", "Cm", "Gm", "Dm", "Am", "Em", "Bm", "F#m", "C#m", "G#m", "D#m", "A#m"]
_KEYS = {name: (i - 7, minor) for minor, names in ((False, _MAJOR), (True, _MINOR)) for i, name in enumerate(names)}


def read_midi(path: str | os.PathLike[str]) -> Score:
    """The score of a type 0 or type 1 file.

    Raises:
        InputError: the file cannot be read, is no MIDI file, is cut off, or holds no note.
        MissingExtraError: mido is not installed.
    """
    return parse_midi(_content(path), name=str(path))


def parse_midi(content: bytes, *, name: str = "MIDI data") -> Score:
    """The score of the bytes of a MIDI file; ``name`` stands in the messages. Raises as :func:`read_midi`."""
    mido = _mido()
    _check_chunks(content, name)
    try:
        # latin-1 keeps every byte of a text; _text decides later what it was.
        file = mido.MidiFile(file=io.BytesIO(content), charset="latin-1", clip=True)
    except (EOFError, OSError, ValueError, KeyError, IndexError, TypeError, mido.KeySignatureError) as error:
        detail = f" ({error})" if str(error) else ""
        raise InputError(f"{name}: the MIDI file is cut off or damaged{detail}; export it again") from error
    tempos: list[Tempo] = []
    meters: list[Meter] = []
    keys: list[Key] = []
    tracks: list[Track] = []
    unended = 0
    for messages in file.tracks:
        reader = _TrackReader()
        for message in messages:
            reader.now += message.time
            kind = message.type
            if kind == "set_tempo":
                tempos.append(Tempo(reader.now, message.tempo))
            elif kind == "time_signature":
                meters.append(Meter(reader.now, message.numerator, message.denominator))
            elif kind == "key_signature":
                keys.append(Key(reader.now, *_KEYS[message.key]))
            else:
                reader.take(message)
        tracks += reader.tracks()
        unended += reader.unended
    remarks = (f"{unended} note{'s' * (unended != 1)} without an end left out",) if unended else ()
    return _score(tracks, file.ticks_per_beat, (_by_tick(tempos), _by_tick(meters), _by_tick(keys)), name, remarks=remarks)


def read_notes(path: str | os.PathLike[str]) -> Score:
    """What :func:`read_midi` reads, without channels and controllers, through symusic. Raises the same."""
    try:
        import symusic
    except ImportError as error:
        raise MissingExtraError("symusic is not installed: pip install 'polyscore[music]'") from error
    content = _content(path)
    _check_chunks(content, str(path))
    try:
        file: Any = symusic.Score.from_midi(content)
    except (RuntimeError, ValueError) as error:
        raise InputError(f"{path}: the MIDI file is cut off or damaged ({error}); export it again") from error
    tracks = []
    for source in file.tracks:
        columns = source.notes.numpy()
        table = np.empty(len(source.notes), NOTE)
        table["start"] = columns["time"]
        for column in ("duration", "pitch", "velocity"):
            table[column] = columns[column]
        if len(table):
            tracks.append(Track(note_array(table), source.name, source.program, source.is_drum))
    tempos = tuple(Tempo(tempo.time, tempo.mspq) for tempo in file.tempos)
    meters = tuple(Meter(meter.time, meter.numerator, meter.denominator) for meter in file.time_signatures)
    keys = tuple(Key(key.time, key.key, bool(key.tonality)) for key in file.key_signatures)
    return _score(tracks, file.ticks_per_quarter, (tempos, meters, keys), str(path))


def write_midi(score: Score, path: str | os.PathLike[str]) -> None:
    """Write a type 1 file: one file track of the maps, then one for each track. The file appears whole or not at all."""
    content = midi_bytes(score)
    with atomic_path(path) as name:
        name.write_bytes(content)


def midi_bytes(score: Score) -> bytes:
    """The bytes of :func:`write_midi`.

    Channels of the file are kept where no two programs meet on one. Others get a free channel, or one that already has their
    program; when all fifteen are taken, tracks share channels in turn (a limit of MIDI: players then use the last program).
    """
    mido = _mido()
    file = mido.MidiFile(type=1, ticks_per_beat=score.ticks_per_beat, charset="utf-8")
    names = {pair: name for name, pair in _KEYS.items()}
    maps = [(tempo.tick, 0, mido.MetaMessage("set_tempo", tempo=tempo.microseconds)) for tempo in score.tempos]
    for meter in score.meters:
        message = mido.MetaMessage("time_signature", numerator=meter.numerator, denominator=meter.denominator)
        maps.append((meter.tick, 1, message))
    maps += [(key.tick, 2, mido.MetaMessage("key_signature", key=names[key.fifths, key.minor])) for key in score.keys]
    file.tracks.append(_timed(mido, maps))
    for track, channel in zip(score.tracks, _channels(score.tracks), strict=True):
        events: list[tuple[int, int, Any]] = []
        if track.name:
            events.append((0, 0, mido.MetaMessage("track_name", name=track.name)))
        events.append((0, 1, mido.Message("program_change", program=track.program, channel=channel)))
        for tick, data in track.controls:
            events.append((tick, 2, mido.Message.from_bytes([data[0] | channel, *data[1:]])))
        for note in map(Note._make, track.notes.tolist()):
            on = mido.Message("note_on", note=note.pitch, velocity=note.velocity or 1, channel=channel)
            off = mido.Message("note_off", note=note.pitch, velocity=0, channel=channel)
            # At one tick: ends of earlier notes, then notes without length (on, off), then new notes.
            events.append((note.start, 5 if note.duration else 4, on))
            events.append((note.start + note.duration, 3 if note.duration else 4, off))
        file.tracks.append(_timed(mido, events))
    out = io.BytesIO()
    file.save(file=out)
    return out.getvalue()


class _TrackReader:
    """The state of one MTrk: program of each channel, sounding notes, and what has been collected for (channel, program)."""

    def __init__(self) -> None:
        self.now = 0
        self.unended = 0
        self.name = ""
        self.program = [0] * 16
        self.rows: defaultdict[tuple[int, int], list[tuple[int, int, int, int]]] = defaultdict(list)
        self.controls: list[tuple[int, int, bytes]] = []
        self.sounding: defaultdict[tuple[int, int], deque[tuple[int, int, int]]] = defaultdict(deque)

    def take(self, message: Any) -> None:
        kind = message.type
        if kind in ("note_on", "note_off"):
            queue = self.sounding[message.channel, message.note]
            if kind == "note_on" and message.velocity > 0:
                queue.append((self.now, message.velocity, self.program[message.channel]))
            elif queue:
                start, velocity, program = queue.popleft()
                self.rows[message.channel, program].append((start, self.now - start, message.note, velocity))
        elif kind == "program_change":
            self.program[message.channel] = message.program
        elif kind == "track_name":
            self.name = self.name or _text(message.name)
        elif kind in ("control_change", "pitchwheel", "aftertouch", "polytouch"):
            first, *data = message.bytes()
            self.controls.append((self.now, message.channel, bytes((first & 0xF0, *data))))

    def tracks(self) -> list[Track]:
        self.unended = sum(map(len, self.sounding.values()))
        found = []
        heard: set[int] = set()
        for channel, program in sorted(self.rows):
            # A channel's controllers go to its first program: their order in time is kept, and they act on the channel anyway.
            mine = () if channel in heard else tuple((tick, data) for tick, which, data in self.controls if which == channel)
            heard.add(channel)
            rows = self.rows[channel, program]
            found.append(Track(note_array(rows), self.name, program, channel == DRUM_CHANNEL, channel, mine))
        return found


def _channels(tracks: tuple[Track, ...]) -> list[int]:
    owner: dict[int, int] = {}
    chosen: list[int | None] = []
    for track in tracks:
        wanted = DRUM_CHANNEL if track.is_drum else track.channel
        fits = track.is_drum or (wanted not in (None, DRUM_CHANNEL) and owner.get(wanted, track.program) == track.program)
        if fits and wanted is not None and not track.is_drum:
            owner[wanted] = track.program
        chosen.append(wanted if fits else None)
    melodic = [channel for channel in range(16) if channel != DRUM_CHANNEL]
    shared = 0
    for i, track in enumerate(tracks):
        if chosen[i] is None:
            same = next((channel for channel in melodic if owner.get(channel) == track.program and track.channel is None), None)
            free = next((channel for channel in melodic if channel not in owner), None)
            pick = same if same is not None else free
            if pick is None:
                pick, shared = melodic[shared % len(melodic)], shared + 1
            owner.setdefault(pick, track.program)
            chosen[i] = pick
    return [channel for channel in chosen if channel is not None]


def _timed(mido: Any, events: list[tuple[int, int, Any]]) -> Any:
    messages, now = mido.MidiTrack(), 0
    for tick, _, message in sorted(events, key=lambda event: event[:2]):
        messages.append(message.copy(time=tick - now))
        now = tick
    return messages


def _score(tracks: list[Track], ticks: int, maps: tuple[Any, Any, Any], name: str, *, remarks: tuple[str, ...] = ()) -> Score:
    """The score of what was read.

    Raises:
        InputError: without a note, longer than `LONGEST`, or with a meter or tempo that is none; the message names the file.
    """
    try:
        score = Score(tuple(tracks), ticks, *maps, remarks)
    except InputError as error:
        raise InputError(f"{name}: {error}") from error
    beats = score.end // ticks
    if beats > LONGEST:
        raise InputError(f"{name}: the MIDI file is {beats} beats long; expected at most {LONGEST}: cut it, or repair its times")
    if not score.note_count:
        why = f" ({score.remarks[0]})" if score.remarks else ""
        raise InputError(f"{name}: the MIDI file holds no note{why}; expected at least one note with a beginning and an end")
    return score


def _check_chunks(content: bytes, name: str) -> None:
    if not content.startswith(b"MThd"):
        found = "an empty file" if not content else f"a file that begins with {content[:4]!r}"
        raise InputError(f"{name}: no MIDI file: found {found}, expected a standard MIDI file (.mid, type 0 or 1)")
    if len(content) < 14:
        raise InputError(f"{name}: the MIDI file is cut off inside its header; export it again")
    kind, division = int.from_bytes(content[8:10], "big"), int.from_bytes(content[12:14], "big")
    if kind > 1:
        raise InputError(f"{name}: a MIDI file of type {kind} (independent sequences); expected type 0 or 1: save it as type 1")
    if division & 0x8000 or division == 0:
        raise InputError(f"{name}: time is counted in SMPTE frames, not in ticks per beat; save it with a musical time base")
    complete, at, declared = 0, 8 + int.from_bytes(content[4:8], "big"), int.from_bytes(content[10:12], "big")
    while complete < declared:
        following = at + 8 + int.from_bytes(content[at + 4 : at + 8], "big")
        if following > len(content):
            raise InputError(f"{name}: the MIDI file is cut off after {complete} of {declared} tracks; export it again")
        complete += content[at : at + 4] == b"MTrk"
        at = following


def _content(path: str | os.PathLike[str]) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); expected a MIDI file") from error


def _text(name: str) -> str:
    data = name.encode("latin-1")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return name


def _by_tick(entries: list[Any]) -> tuple[Any, ...]:
    return tuple(sorted(entries, key=lambda entry: entry.tick))


def _mido() -> Any:
    try:
        import mido
    except ImportError as error:
        raise MissingExtraError("mido is not installed: pip install 'polyscore[music]'") from error
    return mido
