"""MIDI: what is read, written and read again is the same, by both readers; bad files are named."""

import os
from pathlib import Path

import mido
import numpy as np
import pytest

from polyscore.errors import InputError
from polyscore.music.midi import midi_bytes, parse_midi, read_midi, read_notes, write_midi
from polyscore.music.score import Key, Meter, Score, Tempo, Track

_REFERENCE = Path(os.environ.get("POLYSCORE_REFERENCE", "/nonexistent")) / "music/golden/midi"


def _file(*tracks: list[mido.Message], kind: int = 1) -> bytes:
    import io

    file, out = mido.MidiFile(type=kind, ticks_per_beat=96), io.BytesIO()
    file.tracks.extend(mido.MidiTrack(track) for track in tracks)
    file.save(file=out)
    return out.getvalue()


def _on(note: int, velocity: int = 80, *, time: int = 0, channel: int = 0) -> mido.Message:
    return mido.Message("note_on", note=note, velocity=velocity, time=time, channel=channel)


def _off(note: int, *, time: int = 0, channel: int = 0) -> mido.Message:
    return mido.Message("note_off", note=note, time=time, channel=channel)


def _random_score(seed: int) -> Score:
    """Tracks of FIFO-ordered notes (ends of one pitch in the order of its starts), maps and controllers."""
    rng = np.random.default_rng(seed)
    tracks = []
    for i in range(int(rng.integers(1, 6))):
        starts = np.sort(rng.integers(0, 3000, 200))
        pitch = rng.integers(40, 60, 200)
        ends = starts + rng.integers(1, 300, 200)
        for value in range(40, 60):
            ends[pitch == value] = np.maximum.accumulate(ends[pitch == value])
        rows = np.stack([starts, ends - starts, pitch, rng.integers(1, 128, 200)], 1)
        controls = ((0, b"\xb0\x07\x64"), (50, b"\xe0\x00\x41"))
        tracks.append(Track.of(rows, name=f"part {i}", program=int(rng.integers(0, 128)), channel=i, controls=controls))
    tracks.append(Track.of([(0, 10, 36, 100), (0, 10, 42, 90)], name="Kit", is_drum=True, channel=9))
    tempos, meters = (Tempo(0, 618_557), Tempo(777, 500_000)), (Meter(0, 1, 4), Meter(220, 7, 8))
    return Score(tuple(tracks), 220, tempos, meters, (Key(0, -3, True), Key(900, 4, False)))


@pytest.mark.parametrize("seed", range(3))
def test_write_then_read_is_the_identity(seed: int, tmp_path: Path) -> None:
    score = _random_score(seed)
    write_midi(score, tmp_path / "a.mid")
    assert read_midi(tmp_path / "a.mid") == score
    assert midi_bytes(read_midi(tmp_path / "a.mid")) == (tmp_path / "a.mid").read_bytes()


@pytest.mark.parametrize("seed", range(3))
def test_both_readers_agree(seed: int, tmp_path: Path) -> None:
    pytest.importorskip("symusic")
    write_midi(_random_score(seed), tmp_path / "a.mid")
    _same(tmp_path / "a.mid")


@pytest.mark.parametrize(
    "name", ["synth_c_major", "synth_durations", "synth_poly_lead_oov", "synth_three_four", "bach_bwv253", "bach_bwv347"]
)
def test_reference_files_come_back_identical(name: str, tmp_path: Path) -> None:
    if not _REFERENCE.is_dir():
        pytest.skip("POLYSCORE_REFERENCE is not set")
    score = read_midi(_REFERENCE / f"{name}.mid")
    write_midi(score, tmp_path / "a.mid")
    assert read_midi(tmp_path / "a.mid") == score
    pytest.importorskip("symusic")
    _same(_REFERENCE / f"{name}.mid")


def _same(path: Path) -> None:
    slow, fast = read_midi(path), read_notes(path)
    assert fast.ticks_per_beat == slow.ticks_per_beat
    assert (fast.tempos, fast.meters, fast.keys) == (slow.tempos, slow.meters, slow.keys)
    assert [(t.name, t.program, t.is_drum) for t in fast.tracks] == [(t.name, t.program, t.is_drum) for t in slow.tracks]
    for one, other in zip(slow.tracks, fast.tracks, strict=True):
        assert one.notes.tolist() == other.notes.tolist()


def test_type_0_is_split_by_channel_and_program(tmp_path: Path) -> None:
    program = [mido.Message("program_change", channel=c, program=p) for c, p in ((0, 32), (1, 48))]
    notes = [_on(40), _on(60, channel=1), _on(38, channel=9), _off(40, time=10), _off(60, channel=1), _off(38, channel=9)]
    later = [mido.Message("program_change", channel=0, program=33), _on(41), _off(41, time=7)]
    score = parse_midi(_file([*program, *notes, *later], kind=0))
    assert [(t.program, t.is_drum, t.notes.tolist()) for t in score.tracks] == [
        (32, False, [(0, 10, 40, 80)]),
        (33, False, [(10, 7, 41, 80)]),
        (48, False, [(0, 10, 60, 80)]),
        (0, True, [(0, 10, 38, 80)]),
    ]
    (tmp_path / "a.mid").write_bytes(_file([*program, *notes, *later], kind=0))
    pytest.importorskip("symusic")
    _same(tmp_path / "a.mid")


@pytest.mark.parametrize("seed", range(6))
def test_both_readers_agree_on_disorder(seed: int, tmp_path: Path) -> None:
    """Ends without beginnings, notes that never end, overlaps, programs that change under sounding notes, on three channels."""
    pytest.importorskip("symusic")
    rng = np.random.default_rng(seed)
    tracks: list[list[mido.Message]] = []
    for _ in range(2):
        track: list[mido.Message] = []
        for _ in range(300):
            channel, note, time = int(rng.choice([0, 3, 9])), int(rng.integers(58, 62)), int(rng.integers(0, 6))
            kind = rng.random()
            if kind < 0.05:
                track.append(mido.Message("program_change", channel=channel, program=int(rng.integers(0, 3)), time=time))
            elif kind < 0.5:
                track.append(_on(note, int(rng.integers(1, 128)), time=time, channel=channel))
            else:
                track.append(_off(note, time=time, channel=channel) if kind < 0.9 else _on(note, 0, time=time, channel=channel))
        tracks.append(track)
    (tmp_path / "a.mid").write_bytes(_file(*tracks))
    _same(tmp_path / "a.mid")


def test_overlapping_notes_of_one_pitch_end_first_in_first_out() -> None:
    score = parse_midi(_file([_on(60, 100), _on(60, 90, time=10), _off(60, time=10), _off(60, time=15)]))
    assert score.tracks[0].notes.tolist() == [(0, 20, 60, 100), (10, 25, 60, 90)]
    assert parse_midi(midi_bytes(score)).tracks == score.tracks


def test_notes_without_length_and_repeated_notes_survive() -> None:
    score = Score((Track.of([(0, 10, 60, 9), (10, 0, 60, 8), (10, 5, 60, 7), (15, 5, 60, 6)], channel=0),))
    assert parse_midi(midi_bytes(score)).tracks == score.tracks


def test_a_note_without_an_end_is_left_out_and_counted() -> None:
    score = parse_midi(_file([_on(60), _off(60, time=9), _on(61), _on(62)]))
    assert score.note_count == 1
    assert score.remarks == ("2 notes without an end left out",)
    with pytest.raises(InputError, match=r"song\.mid.*no note.*1 note without an end"):
        parse_midi(_file([_on(60)]), name="song.mid")


def test_names_in_any_encoding() -> None:
    text = mido.MetaMessage("track_name", name="Stimme \xfc")  # latin-1, as old files have it
    assert parse_midi(_file([text, _on(60), _off(60, time=9)])).tracks[0].name == "Stimme ü"
    assert parse_midi(midi_bytes(Score((Track.of([(0, 9, 60, 1)], name="主旋律"),)))).tracks[0].name == "主旋律"


def test_two_hundred_tracks_keep_their_notes_and_programs() -> None:
    tracks = tuple(Track.of([(i, 10, 60 + i % 12, 80)], name=str(i), program=i % 128) for i in range(200))
    back = parse_midi(midi_bytes(Score(tracks)))
    assert [(t.name, t.program, t.notes.tolist()) for t in back.tracks] == [(t.name, t.program, t.notes.tolist()) for t in tracks]
    assert not any(track.is_drum for track in back.tracks)


def test_fifteen_programs_get_channels_of_their_own() -> None:
    tracks = tuple(Track.of([(0, 10, 60, 80)], program=i, channel=0 if i < 2 else None) for i in range(15))
    channels = [track.channel for track in parse_midi(midi_bytes(Score(tracks))).tracks]
    assert sorted(c for c in channels if c is not None) == [c for c in range(16) if c != 9]


def test_a_three_hour_file_is_read(tmp_path: Path) -> None:
    starts = np.arange(0, 3 * 3600 * 960, 9600)
    rows = np.stack([starts, np.full_like(starts, 4800), 40 + starts % 50, np.full_like(starts, 80)], 1)
    score = Score((Track.of(rows),), 480, (Tempo(0, 500_000),))
    write_midi(score, tmp_path / "long.mid")
    back = read_midi(tmp_path / "long.mid")
    assert back.tracks[0].notes.tolist() == score.tracks[0].notes.tolist()
    assert 10_790 < back.seconds < 10_800


_GOOD = _file([_on(60), _off(60, time=9)])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "an empty file"),
        (b"ID3\x03 some mp3", "no MIDI file: found a file that begins with b'ID3"),
        (_GOOD[:10], "cut off inside its header"),
        (_GOOD[:-6], "cut off after 0 of 1 tracks"),
        (_GOOD[:8] + b"\x00\x02" + _GOOD[10:], "type 2"),
        (_GOOD[:12] + b"\xe7\x28" + _GOOD[14:], "SMPTE"),
        (_GOOD[:10] + b"\x00\x05" + _GOOD[12:], "cut off after 1 of 5 tracks"),
        (_file([mido.MetaMessage("set_tempo", tempo=400000)]), "holds no note"),
        (_GOOD[:23] + b"\x60" + _GOOD[24:], "damaged"),
    ],
)
def test_bad_files_are_named(content: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "bad.mid"
    path.write_bytes(content)
    with pytest.raises(InputError, match=message) as error:
        read_midi(path)
    assert "bad.mid" in str(error.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none\.mid: cannot be read"):
        read_midi(tmp_path / "none.mid")
