"""Notes, bars, pick-ups and the tempo map against numbers worked out by hand."""

import numpy as np
import pytest

from polyscore.errors import InputError
from polyscore.music.score import Meter, Note, Score, Tempo, Track, note_array


def test_notes_are_sorted_and_read_only() -> None:
    rows = [(10, 5, 60, 1), (0, 5, 64, 2), (0, 5, 60, 9), (0, 4, 60, 8)]
    notes = note_array(rows)
    assert notes.tolist() == [(0, 4, 60, 8), (0, 5, 60, 9), (0, 5, 64, 2), (10, 5, 60, 1)]
    assert notes.tolist() == note_array(notes).tolist() == note_array(np.array(rows)).tolist()
    with pytest.raises(ValueError, match="read-only"):
        notes["pitch"] = 3
    assert len(note_array([])) == 0


def test_bad_notes_are_named() -> None:
    with pytest.raises(InputError, match="pitch=130"):
        note_array([(0, 1, 60, 1), (0, 1, 130, 1)])
    with pytest.raises(InputError, match="start=-1"):
        note_array([(-1, 1, 60, 1)])
    with pytest.raises(InputError, match="four integers"):
        note_array([(0, 1, 60)])


def test_tracks_are_equal_by_their_notes() -> None:
    one, other = Track.of([(0, 5, 60, 9), (5, 5, 60, 9)]), Track.of([(5, 5, 60, 9), (0, 5, 60, 9)])
    assert one == other
    assert hash(one) == hash(other)
    assert one != Track.of([(0, 5, 60, 9)])
    assert one != Track.of(one.notes, program=3)
    assert [Note(*row) for row in one.notes.tolist()] == [Note(0, 5, 60, 9), Note(5, 5, 60, 9)]


def test_seconds_follow_the_tempo_map() -> None:
    # 480 ticks at 120, 480 at 60, then 30 beats a minute.
    score = Score((Track.of([(0, 1440, 60, 90)]),), 480, (Tempo(0, 500_000), Tempo(480, 1_000_000), Tempo(960, 2_000_000)))
    assert score.seconds_at([0, 240, 480, 720, 960, 1440]).tolist() == [0, 0.25, 0.5, 1.0, 1.5, 3.5]
    assert score.seconds == 3.5
    # Before the first entry it is 120 beats a minute.
    assert Score((), 480, (Tempo(480, 1_000_000),)).seconds_at([960]).tolist() == [1.5]


def test_bars_follow_the_meters() -> None:
    meters = (Meter(0, 3, 4), Meter(2880, 7, 8))
    score = Score((Track.of([(0, 6000, 60, 90)]),), 480, meters=meters)
    assert score.bars().tolist() == [0, 1440, 2880, 4560]
    assert score.bars(4560).tolist() == [0, 1440, 2880]
    assert score.bars(4561).tolist() == [0, 1440, 2880, 4560]
    assert score.meter_at(2879) == meters[0]
    assert score.meter_at(2880) == meters[1]
    # Without a meter 4/4; a change inside a bar begins a bar.
    assert Score((), 480).bars(2000).tolist() == [0, 1920]
    assert Score((), 480, meters=(Meter(1000, 2, 4),)).bars(3000).tolist() == [0, 1000, 1960, 2920]


def test_pickup_is_a_short_first_meter() -> None:
    assert Score((), 480, meters=(Meter(0, 1, 4), Meter(480, 4, 4))).pickup == 480
    assert Score((), 480, meters=(Meter(0, 1, 4), Meter(480, 4, 4))).bars(3000).tolist() == [0, 480, 2400]
    assert Score((), 480, meters=(Meter(0, 1, 4), Meter(960, 4, 4))).pickup == 0  # two bars of 1/4
    assert Score((), 480, meters=(Meter(0, 4, 4), Meter(1920, 3, 4))).pickup == 0
    assert Score((), 480, meters=(Meter(0, 4, 4),)).pickup == 0


def test_impossible_scores_are_refused() -> None:
    with pytest.raises(InputError, match="0/4"):
        Score((), meters=(Meter(0, 0, 4),))
    with pytest.raises(InputError, match="ticks per beat"):
        Score((), 0)
