"""Parts and voices of tracks: by word, channel, name, program and register."""

import pytest

from polyscore.errors import InputError
from polyscore.music.roles import read_parts, read_voices
from polyscore.music.score import Score, Track


def _tune(pitch: int, name: str = "", program: int = 0) -> Track:
    return Track.of([(240 * i, 240, pitch + i % 3, 80) for i in range(12)], name=name, program=program)


def _chords(pitch: int, name: str = "", program: int = 0) -> Track:
    return Track.of([(960 * i, 960, pitch + n, 80) for i in range(4) for n in (0, 4, 7)], name=name, program=program)


def _parts(*tracks: Track, said: dict[int, str] | None = None) -> list[str | None]:
    return [reading.part for reading in read_parts(Score(tracks), said)]


def test_channel_names_and_programs() -> None:
    kit = Track.of([(0, 10, 36, 90)], is_drum=True)
    assert _parts(_tune(70, "Melody"), _chords(60), _tune(36, program=33), kit) == ["lead", "piano", "bass", "drums"]
    assert _parts(_tune(70, program=73), _chords(50, program=27), _chords(60, program=50)) == ["lead", "guitar", "strings"]
    assert _parts(_tune(70, "Double Bass"), _tune(50, "Bassoon", 70)) == ["bass", "lead"]
    # Effects and sounds have no part, and a name outranks a program.
    assert _parts(_tune(70, "Flute", 73), _chords(60, program=120), _chords(60, "E-Piano", 26)) == ["lead", None, "piano"]


def test_pop909_s_three_pianos() -> None:
    assert _parts(_tune(70, "MELODY"), _tune(75, "BRIDGE"), _chords(55, "PIANO")) == ["lead", "piano", "piano"]


def test_register_finds_a_lead_and_a_bass() -> None:
    readings = read_parts(Score((_chords(60), _tune(76), _tune(40))))
    assert [reading.part for reading in readings] == ["piano", "lead", "bass"]
    assert [reading.because for reading in readings[1:]] == ["the highest tune", "the lowest tune"]
    # A single tune is a lead, a single piano piece stays a piano.
    assert _parts(_tune(70)) == ["lead"]
    assert _parts(_chords(60)) == ["piano"]


def test_the_user_has_the_last_word() -> None:
    assert _parts(_tune(70, "Melody"), _chords(60), said={0: "strings", 1: "guitar"}) == ["strings", "guitar"]
    with pytest.raises(InputError, match="track 5 of 1"):
        _parts(_tune(70), said={5: "lead"})
    with pytest.raises(InputError, match="'tuba'.*lead, bass"):
        _parts(_tune(70), said={0: "tuba"})


def test_voices_by_name_then_by_register() -> None:
    by_height = read_voices(Score((_tune(40), _tune(72), _tune(55), _tune(64))))
    assert [reading.part for reading in by_height] == ["bass", "soprano", "tenor", "alto"]
    named = read_voices(Score((_tune(40, "Soprano"), _tune(72, "Tenor"), _tune(55), _tune(64))))
    assert [reading.part for reading in named] == ["soprano", "tenor", "bass", "alto"]
    assert [reading.part for reading in read_voices(Score((_tune(60),)))] == ["soprano"]
    five = read_voices(Score((*(_tune(70 - i) for i in range(5)), Track.of([(0, 1, 36, 9)], is_drum=True))))
    assert [reading.part for reading in five] == ["soprano", "alto", "tenor", "bass", None, None]
    assert read_voices(Score((_tune(70), _tune(50))), said={1: "tenor"})[1].part == "tenor"


def test_readings_are_told_in_words() -> None:
    [reading] = read_parts(Score((_tune(70, "Vox", 85),)))
    assert str(reading) == "track 0 'Vox' (program 85, 12 notes): lead, by its program"
