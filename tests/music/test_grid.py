"""Grids: the inverse is exact where nothing is lost, and what is lost is counted."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from polyscore.errors import InputError
from polyscore.music.grid import HIDDEN, HOLD, REST, Grid, blank, grid_of, note_rows, score_of, token_row
from polyscore.music.score import Key, Meter, Score, Track, note_array


def voice(*rows: tuple[int, int, int]) -> Track:
    return Track.of([(start, length, pitch, 80) for start, length, pitch in rows])


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 5), st.integers(1, 6), st.integers(0, 127)), max_size=12), st.sampled_from([4, 12]))
def test_a_voice_on_the_raster_comes_back_exactly(steps: list[tuple[int, int, int]], per_beat: int) -> None:
    """Any rests and lengths in steps of the raster, also of triplets."""
    unit, place, rows = 480 // per_beat, 0, []
    for gap, length, pitch in steps:
        rows.append(((place + gap) * unit, length * unit, pitch, 80))
        place += gap + length
    notes = note_array(rows)
    tokens, loss = token_row(notes, place + 1, unit)
    assert np.array_equal(note_rows(tokens, unit), notes)
    assert (loss.notes, loss.moved, loss.dropped, loss.cut) == (len(rows), 0, 0, 0)


def test_a_score_comes_back_with_its_maps() -> None:
    """A pick-up, a change of meter, 6/8, a key: the grid's rows say where in the bar each position is."""
    meters = (Meter(0, 1, 4), Meter(480, 4, 4), Meter(480 + 3840, 6, 8))
    track = voice((0, 480, 60), (480, 960, 62), (1440, 240, 64), (4320, 720, 65), (5040, 720, 67))
    score = Score((track, voice((480, 1920, 48))), meters=meters, keys=(Key(0, -3, True),))
    grid, losses = grid_of(score)
    assert score_of(grid, like=score, tracks=score.tracks) == score
    position, bar = grid.rows["position"].tolist(), grid.rows["bar"].tolist()
    assert position[:6] == [13, 14, 15, 16, 1, 2] and position[36:38] == [1, 2] and bar[0] == 16 and bar[36] == 12
    assert grid.rows["key"][0] == 3 + 1 and grid.rows["mode"][0] == 2  # three flats: E flat major's signature
    assert all(loss.error == 0 for loss in losses)
    again = score_of(grid, tracks=score.tracks)  # the rows alone tell the bars and the key, and 6/8 as 3/4
    assert again.meters == (*meters[:2], Meter(4320, 3, 4)) and again.keys == score.keys and again.pickup == 480
    assert np.array_equal(again.bars(), score.bars())


@pytest.mark.parametrize("meter", [(7, 8), (5, 4), (3, 2), (2, 4)])
def test_any_meter(meter: tuple[int, int]) -> None:
    size = 16 * meter[0] // meter[1]
    grid = blank(2, 3, meter=meter)
    assert grid.length == 3 * size and grid.rows["position"].tolist() == [*range(1, size + 1)] * 3
    assert score_of(grid).meters == (Meter(0, *meter),) or meter in ((3, 2), (2, 4))
    assert score_of(grid).bars(3 * size * 120).tolist() == [0, size * 120, 2 * size * 120]


def test_what_is_lost_is_counted() -> None:
    """Off the raster by a tenth of a step; two notes at once; an overlap; a note shorter than half a step."""
    notes = note_array([(12, 108, 60, 80), (240, 480, 64, 80), (240, 480, 67, 80), (480, 240, 65, 80), (960, 10, 70, 80)])
    tokens, loss = token_row(notes, 12, 120)
    assert tokens.tolist() == [60, REST, 67, HOLD, 65, HOLD, REST, REST, 70, REST, REST, REST]
    assert (loss.notes, loss.moved, loss.dropped, loss.cut) == (5, 2, 1, 1)
    _, (found,) = grid_of(Score((Track(notes),)))
    assert found.error == pytest.approx(110 / 480)  # the short note ends 110 ticks later, in beats


def test_triplets_need_twelve_positions() -> None:
    track = voice((0, 160, 60), (160, 160, 62), (320, 160, 64))
    assert grid_of(Score((track,)))[1][0].moved > 0
    grid, (loss,) = grid_of(Score((track,)), per_beat=12)
    assert loss.moved == 0 and np.array_equal(score_of(grid).tracks[0].notes, track.notes)


def test_transposing_moves_pitches_and_the_key() -> None:
    grid, _ = grid_of(Score((voice((0, 480, 60), (960, 480, 64)),), keys=(Key(0, 0, False),)))
    up = grid.transposed(2)
    assert up.tokens[0, [0, 1, 4, 8]].tolist() == [62, HOLD, REST, 66] and set(up.rows["key"].tolist()) == {3}
    assert score_of(up).keys == (Key(0, 2, False),)
    assert np.array_equal(up.transposed(-2).tokens, grid.tokens)
    with pytest.raises(InputError, match="127"):
        grid.transposed(70)


def test_what_sounds() -> None:
    grid = Grid(np.array([[60, HOLD, REST, HOLD, HIDDEN, HOLD, 62, HOLD]]))
    assert grid.sounding().tolist() == [[60, 60, -1, -1, -1, -1, 62, 62]]
    assert grid.hidden(np.arange(8) > 5).tokens[0, 5:].tolist() == [HOLD, HIDDEN, HIDDEN]


def test_empty_voices_and_bad_input() -> None:
    score = Score((voice((0, 480, 60)),))
    grid, losses = grid_of(score, [None, 0])
    assert set(grid.tokens[0].tolist()) == {REST} and losses[0].notes == 0 and grid.length == 16
    for message, call in (
        ("track 3", lambda: grid_of(score, [3])),
        ("positions a beat", lambda: grid_of(score, per_beat=0)),
        ("whole numbers", lambda: Grid(np.zeros((2, 4)))),  # type: ignore[arg-type]
        ("rows", lambda: Grid(np.zeros((2, 4), dtype=int), {"tempo": np.zeros(4, dtype=int)})),
        ("pick-up", lambda: blank(4, 1, pickup=16)),
        ("whole positions", lambda: blank(4, 1, meter=(5, 32))),
    ):
        with pytest.raises(InputError, match=message):
            call()
