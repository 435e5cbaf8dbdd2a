"""MusicXML: notes, ties, triplets, maps and a pick-up there and back."""

from pathlib import Path

import pytest

from polyscore.errors import InputError
from polyscore.music.musicxml import read_musicxml, write_musicxml
from polyscore.music.score import Key, Meter, Score, Tempo, Track

pytest.importorskip("music21")


def test_there_and_back(tmp_path: Path) -> None:
    # A note over the bar line (written with a tie), triplet eighths, a rest.
    tune = [(0, 480, 67, 80), (480, 1440, 72, 80), (1920, 960, 71, 80), *((2880 + 160 * i, 160, 60 + i, 80) for i in range(3))]
    score = Score(
        (Track.of(tune, name="Tune", program=73), Track.of([(480, 1920, 48, 80), (480, 1920, 52, 80)], name="Keys")),
        480,
        (Tempo(0, 600_000),),
        (Meter(0, 4, 4),),
        (Key(0, -3, True),),
    )
    write_musicxml(score, tmp_path / "a.musicxml")
    back = read_musicxml(tmp_path / "a.musicxml")
    unit = back.ticks_per_beat / 480
    for one, other in zip(score.tracks, back.tracks, strict=True):
        assert (one.name, one.program) == (other.name, other.program)
        rows = [(s * unit, n * unit, p, v) for s, n, p, v in one.notes.tolist()]
        assert other.notes.tolist() == rows
    assert (back.tempos, back.meters, back.keys) == (score.tempos, score.meters, score.keys)


_PICKUP = """<?xml version="1.0"?>
<score-partwise version="3.1"><part-list><score-part id="P1"><part-name>S</part-name></score-part></part-list>
<part id="P1"><measure number="0" implicit="yes"><attributes><divisions>2</divisions><key><fifths>1</fifths></key>
<time><beats>4</beats><beat-type>4</beat-type></time></attributes>{note}</measure>
<measure number="1">{note}{note}{note}{note}</measure></part></score-partwise>"""
_NOTE = "<note><pitch><step>G</step><octave>4</octave></pitch><duration>2</duration><type>quarter</type></note>"


def test_a_pickup_is_a_short_first_meter(tmp_path: Path) -> None:
    (tmp_path / "a.musicxml").write_text(_PICKUP.format(note=_NOTE))
    score = read_musicxml(tmp_path / "a.musicxml")
    beat = score.ticks_per_beat
    assert score.meters == (Meter(0, 1, 4), Meter(beat, 4, 4))
    assert score.pickup == beat
    assert score.bars().tolist() == [0, beat]
    assert score.tracks[0].notes["start"].tolist() == [beat * i for i in range(5)]


@pytest.mark.parametrize("content", ["", "<html></html>", "not xml", _PICKUP.format(note="")])
def test_what_is_no_score_is_named(content: str, tmp_path: Path) -> None:
    (tmp_path / "bad.musicxml").write_text(content)
    with pytest.raises(InputError, match=r"bad\.musicxml"):
        read_musicxml(tmp_path / "bad.musicxml")
    with pytest.raises(InputError, match="cannot be read"):
        read_musicxml(tmp_path / "none.musicxml")
