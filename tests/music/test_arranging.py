"""Arranging: what is kept comes out as it came, what is hidden is what was wished, and keys move forth and back."""

import numpy as np
import pytest
import torch

from polyscore.denoisers.tokens import TokenDenoiser
from polyscore.errors import InputError
from polyscore.music.arranging import GridArranger
from polyscore.music.chords import parse_chords
from polyscore.music.grid import HIDDEN, HOLD, REST, blank
from polyscore.music.harmony import chord_tokens
from polyscore.music.networks import GridTransformer
from polyscore.music.pipeline import Composer, Writing
from polyscore.music.roles import CHOIR
from polyscore.music.score import Key, Meter, Score, Tempo, Track
from polyscore.music.wish import Blank, Wish
from polyscore.processes.discrete import Absorbing


def arranger(low: int = 36, high: int = 84) -> GridArranger:
    torch.manual_seed(0)
    classes = high - low + 3
    network = GridTransformer(4, classes, {"position": 33, "bar": 33, "key": 13, "mode": 3}, width=24, layers=1, heads=2)
    return GridArranger(Composer(TokenDenoiser(network, Absorbing(classes)), CHOIR, [52] * 4, low=low, high=high, window=32))


def _voice(pitch: int, name: str = "", bars: int = 4) -> Track:
    """Quarter notes, the third of each bar tied to the next bar's first beat: lengths 1, 1, 3 quarters from bar to bar."""
    begins = [1920 * bar for bar in range(bars)]
    rows = [(begin + 480 * (i + 1), (480, 480, 960)[i], pitch + 2 * i, 71 + i) for begin in begins for i in range(3)]
    return Track.of(rows, name=name, program=19, channel=3, controls=((0, b"\xb0\x07\x64"),))


def _choir(bars: int = 4) -> Score:
    tracks = tuple(_voice(pitch, name, bars) for pitch, name in zip((72, 65, 58, 48), ("S", "A", "T", "B"), strict=True))
    organ = Track.of([(0, 100, 60, 9)], name="bells", program=14)
    kit = Track.of([(0, 100, 36, 9)], is_drum=True, channel=9)
    return Score((*tracks, organ, kit), 480, (Tempo(0, 618_557),), (Meter(0, 4, 4),), (Key(0, 2, False),))


METHOD = Writing(steps=3, sweeps=2)


def _run(piece: Score | Blank, wish: Wish, model: GridArranger | None = None, seeds: tuple[int, ...] = (0,)) -> list[Score]:
    model = model or arranger()
    draft = model.begin(piece, wish)
    *_, last = model.write(draft, seeds, METHOD)
    return [outcome.score for outcome in model.finish(draft, last)]


def test_kept_voices_and_everything_unseen_are_untouched() -> None:
    score = _choir()
    [made] = _run(score, Wish(keep=("soprano", "bass"), fill=("alto", "tenor")))
    assert [made.tracks[i] == score.tracks[i] for i in range(6)] == [True, False, False, True, True, True]
    assert (made.tempos, made.meters, made.keys) == (score.tempos, score.meters, score.keys)
    for i in (1, 2):
        one, other = made.tracks[i], score.tracks[i]
        assert (one.name, one.program, one.channel, one.controls) == (other.name, other.program, other.channel, other.controls)


def test_a_soprano_gets_three_voices() -> None:
    score = Score((_voice(72),), 480)
    [one, other] = _run(score, Wish(keep=("soprano",)), seeds=(1, 2))
    assert one.tracks[0] == other.tracks[0] == score.tracks[0]
    assert [track.name for track in one.tracks[1:]] == ["alto", "tenor", "bass"]
    assert one.tracks[1] != other.tracks[1]
    assert _run(score, Wish(fill=("bass",)))[0].tracks[1].name == "bass"
    assert len(_run(score, Wish(fill=("bass",)))[0].tracks) == 2


def test_bars_are_written_and_notes_that_begin_outside_stay() -> None:
    score, model = _choir(), arranger()
    draft = model.begin(score, Wish(bars=(2, 3)))
    hidden = draft.hidden
    assert hidden[:, :20].sum() == 0  # bar 1, and the quarter of bar 2 into which its last note is tied
    assert hidden[:, 20:52].all()  # up to the end of the note that bar 3 ties into bar 4
    assert hidden[:, 52:].sum() == 0
    *_, last = model.write(draft, [0], METHOD)
    [outcome] = model.finish(draft, last)
    for i in range(4):
        made, old = outcome.score.tracks[i], score.tracks[i]
        rows = made.notes[~outcome.new[i]]
        outside = (old.notes["start"] < 1920) | (old.notes["start"] >= 5760)
        assert rows.tolist() == old.notes[outside].tolist()
        fresh = made.notes[outcome.new[i]]
        assert ((fresh["start"] >= 2400) & (fresh["start"] + fresh["duration"] <= 6240)).all()
        assert (fresh["velocity"] == 72).all()
    assert outcome.score.tracks[4:] == score.tracks[4:]


def test_continuing_adds_bars_behind_what_is_there() -> None:
    score, model = _choir(), arranger()
    draft = model.begin(score, Wish(further=2))
    assert draft.grid.length == 5 * 16 + 32  # the tied last note reaches into a fifth bar
    assert draft.hidden.sum() == 4 * 32
    assert draft.grid.rows["position"][-32:].tolist() == [*range(1, 17)] * 2
    *_, last = model.write(draft, [0], METHOD)
    [outcome] = model.finish(draft, last)
    for i in range(4):
        assert outcome.score.tracks[i].notes[~outcome.new[i]].tolist() == score.tracks[i].notes.tolist()
        assert (outcome.score.tracks[i].notes[outcome.new[i]]["start"] >= 9600).all()


def test_parts_that_are_neither_kept_nor_written_are_left_out() -> None:
    [made] = _run(_choir(), Wish(keep=("soprano",), fill=("bass",)))
    assert [track.name for track in made.tracks] == ["S", "B", "bells", ""]


def test_a_new_piece_has_its_meter_tempo_and_key() -> None:
    draft = arranger().begin(Blank(3, (3, 4), 90.0, Key(0, -1, True)), Wish())
    assert draft.grid.tokens.shape == (4, 36)
    assert (draft.grid.tokens == HIDDEN).all()
    assert set(draft.grid.rows["bar"]) == {12}
    assert draft.score.keys == (Key(0, -1, True),)
    [made] = _run(Blank(2), Wish())
    assert [track.name for track in made.tracks] == list(CHOIR)
    assert made.end <= 2 * 1920
    assert made.tempos == (Tempo(0, 750_000),)


@pytest.mark.parametrize(("up", "shift"), [(0, 0), (20, -12), (-30, 8)])
def test_pieces_out_of_range_are_moved_and_moved_back(up: int, shift: int) -> None:
    tracks = tuple(_voice(pitch + up) for pitch in (72, 65, 58, 52))
    score, model = Score(tracks, 480, keys=(Key(0, 0, False),)), arranger()
    draft = model.begin(score, Wish(keep=("soprano", "alto", "tenor"), fill=("bass",)))
    assert draft.shift == shift
    pitched = draft.grid.tokens[draft.grid.tokens < HOLD]
    assert pitched.min() >= 36
    assert pitched.max() <= 84
    assert set(draft.grid.rows["key"]) == {shift % 12 + 1}
    *_, last = model.write(draft, [0], METHOD)
    [outcome] = model.finish(draft, last)
    written = outcome.score.tracks[3].notes["pitch"]
    assert outcome.score.tracks[:3] == score.tracks[:3]
    assert written.min() >= 36 - shift
    assert written.max() <= 84 - shift


def test_pitches_that_no_transposition_fits_are_shown_by_octaves() -> None:
    score = Score((Track.of([(0, 480, 30, 9), (480, 480, 100, 9)]),), 480)
    draft = arranger(60, 72).begin(score, Wish(keep=("soprano",)))
    pitched = draft.grid.tokens[draft.grid.tokens < HOLD]
    assert ((pitched >= 60) & (pitched <= 72)).all()
    assert any("octave" in remark for remark in draft.remarks)


def test_the_key_of_a_file_without_one_is_told_by_its_notes() -> None:
    rows = [(480 * i, 480, pitch, 80) for i, pitch in enumerate([62, 66, 69, 74, 73, 71, 69, 67, 66, 64, 62])]
    draft = arranger().begin(Score((Track.of(rows),), 480), Wish(keep=("soprano",)))
    assert (set(draft.grid.rows["key"]), set(draft.grid.rows["mode"])) == ({3}, {1})
    assert "D major" in draft.remarks[0]


@pytest.mark.parametrize(
    ("wish", "message"),
    [
        (Wish(keep=("tuba",)), "no part 'tuba'.*soprano, alto"),
        (Wish(keep=("soprano",), fill=("soprano",)), "both kept and written"),
        (Wish(), "every part is there"),
        (Wish(bars=(0, 2)), "bars 1 to 5"),
        (Wish(bars=(4, 9)), "bars 1 to 5"),
        (Wish(said={9: "alto"}), "track 9 of 6"),
    ],
)
def test_wishes_that_do_not_fit_are_named(wish: Wish, message: str) -> None:
    with pytest.raises(InputError, match=message):
        arranger().begin(_choir(), wish)


def test_given_chords_are_kept_on_the_beats_and_by_the_bass() -> None:
    """In D major, transposed for the model: alto and tenor keep to the chords, the bass begins each bar with the root."""
    chords = parse_chords("D A Bm")
    names = [set(chord.pitch_classes) for chord in chords]
    [made] = _run(_choir(), Wish(keep=("soprano",), fill=("alto", "tenor", "bass"), chords=chords), arranger(36, 70))
    [new] = _run(Blank(4, key=Key(0, 2, False)), Wish(chords=chords))
    assert made.tracks[0] == _choir().tracks[0]
    for score, inner, bass in ((made, made.tracks[1:3], made.tracks[3]), (new, new.tracks[:3], new.tracks[3])):
        assert sum(len(track) for track in inner) > 4
        for track in (*inner, bass):
            bar, place = np.divmod(track.notes["start"], 1920)
            on_beat = place % 480 == 0
            pairs = zip(bar[on_beat].tolist(), track.notes["pitch"][on_beat].tolist(), strict=True)
            assert all(pitch % 12 in names[b % 3] for b, pitch in pairs)
        begins = {int(start) // 1920: int(pitch) for start, _, pitch, _ in bass.notes.tolist() if start % 1920 == 0}
        assert all(pitch % 12 == chords[b % 3].root for b, pitch in begins.items())
        assert score.keys == (Key(0, 2, False),)


def test_between_beats_and_before_the_first_bar_notes_are_free() -> None:
    grid = blank(4, 2, pickup=4)
    allowed = chord_tokens(grid, parse_chords("C"), shift=2)
    assert allowed.shape == (4, 36, 130) and bool(allowed[:, :4].all()) and bool(allowed[:, 5:8].all())
    assert np.flatnonzero(allowed[0, 8, :24]).tolist() == [2, 6, 9, 14, 18, 21] and bool(allowed[:, 8, HOLD:].all())
    assert np.flatnonzero(allowed[3, 4]).tolist() == [*range(2, 128, 12), REST]
    beaten = chord_tokens(grid, parse_chords("C"), drums=(3,))
    assert bool(beaten[3].all()) and np.flatnonzero(beaten[2, 4, :128]).tolist() == [*range(0, 128, 12)]
    with pytest.raises(InputError, match="a chord or more"):
        chord_tokens(grid, ())


def test_a_voice_that_is_not_there_cannot_be_kept() -> None:
    with pytest.raises(InputError, match="'alto' is to be kept, but no track plays it.*track 0"):
        arranger().begin(Score((_voice(72),), 480), Wish(keep=("alto",)))


def test_facts_for_the_report() -> None:
    tracks = (Track.of([(3, 480, 72, 9), (480, 480, 70, 9), (480, 240, 60, 9)]),)
    draft = arranger().begin(Score(tracks, 480), Wish(keep=("soprano",)))
    facts = draft.facts
    assert facts["losses"]["soprano"]["dropped"] == 1
    assert facts["quantisation_error_beats"] == pytest.approx(3 / 480)
    assert facts["hidden_cells"] == 3 * facts["positions"]
    assert (draft.grid.tokens[0] != REST).sum() > 0
    assert np.array_equal(draft.hidden[1:], np.ones((3, 16), dtype=bool))


def test_only_what_is_near_is_shown_to_the_network() -> None:
    score, model = _choir(60), arranger()
    seen: list[int] = []

    def look(_: object, args: tuple[torch.Tensor, ...], __: object) -> None:
        seen.append(len(args[0]) * args[0].shape[2])

    handle = model.composer.denoiser.network.register_forward_hook(look)
    draft = model.begin(score, Wish(bars=(30, 31)))
    *_, last = model.write(draft, [0], METHOD)
    handle.remove()
    [outcome] = model.finish(draft, last)
    assert max(seen) <= 2 * (32 + 36 + 16 + 32)  # windows of 32 that overlap by half, a window on each side
    outside = outcome.score.tracks[0].notes["start"] < 29 * 1920
    assert outcome.score.tracks[0].notes[outside].tolist() == [n for n in score.tracks[0].notes.tolist() if n[0] < 29 * 1920]


@pytest.mark.parametrize("meter", [Meter(0, 7, 8), Meter(0, 3, 4), Meter(0, 12, 8), Meter(0, 5, 16)])
def test_any_meter(meter: Meter) -> None:
    bar = 1920 * meter.numerator // meter.denominator
    rows = [(bar * i, bar, 70 + i, 80) for i in range(4)]
    score, model = Score((Track.of(rows, name="Soprano"),), 480, meters=(meter,)), arranger()
    draft = model.begin(score, Wish(further=1, fill=("alto",), keep=("soprano",)))
    size = 16 * meter.numerator // meter.denominator
    assert draft.grid.length == 5 * size
    assert draft.grid.rows["position"].tolist() == [*range(1, size + 1)] * 5
    *_, last = model.write(draft, [0], METHOD)
    [outcome] = model.finish(draft, last)
    assert outcome.score.meters == (meter,)
    assert outcome.score.tracks[0].notes[:4].tolist() == rows


def test_two_hundred_tracks_and_drums_alone() -> None:
    many = Score(tuple(Track.of([(0, 480, 40 + i % 40, 80)], name=f"t{i}", program=i % 128) for i in range(200)))
    [made] = _run(many, Wish(fill=("alto",)))
    assert sum(one == other for one, other in zip(made.tracks, many.tracks, strict=True)) == 199
    with pytest.raises(InputError, match="no track plays it"):
        arranger().begin(Score((Track.of([(0, 480, 36, 80)], is_drum=True),)), Wish(keep=("soprano",)))


def test_another_order_comes_alone_and_temperature_reaches_the_sweeps() -> None:
    model = arranger()
    model.composer.writing = Writing("lattice", 20, sweeps=9, repairs=5, sweep_temperature=0.8)
    assert model.method() == model.composer.writing
    assert model.method(steps=3, temperature=0.5) == Writing("lattice", 3, 9, repairs=5, temperature=0.5, sweep_temperature=0.4)
    assert model.method(order="fhs") == Writing("fhs", 20, None, repairs=0, sweep_temperature=0.8)
    assert model.method(order="random", sweeps=2).sweeps == 2
