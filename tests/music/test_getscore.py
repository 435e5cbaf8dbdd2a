"""GETScore: the published rules replay the original's lists, grids and notes; the corrected ones lose nothing silently."""

import json
import os
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from polyscore.errors import InputError
from polyscore.music.chords import chord_id, parse_chords
from polyscore.music.getscore import PARTS, GetVocabulary, decode, encode
from polyscore.music.keys import tonality
from polyscore.music.midi import read_midi
from polyscore.music.octuple import CHORD_PROGRAM, CORRECTED, INFERENCE, TRAINING, duration_codes, octuples, tempo_code, tempo_of
from polyscore.music.score import Meter, Score, Tempo, Track

_GOLDEN = Path(os.environ.get("POLYSCORE_REFERENCE", "/nonexistent")) / "music/golden"
_FILES = ["bach_bwv253", "bach_bwv347", "synth_c_major", "synth_durations", "synth_poly_lead_oov", "synth_three_four"]
_REFERENCE = pytest.mark.skipif(not _GOLDEN.is_dir(), reason="POLYSCORE_REFERENCE is not set")


@cache
def _golden(name: str) -> Any:
    return json.loads((_GOLDEN / f"{name}.json").read_text())


@cache
def _official() -> GetVocabulary:
    """The compounds of the official vocabulary that occur in the reference files."""
    used = [t for t in _golden("getmusic_tokens_strings")["vocabulary_strings_used"] if " " in t]
    return GetVocabulary(**{part.name: tuple(t[1:] for t in used if t[0] == part.prefix) for part in PARTS[1:]})


def _score(name: str) -> Score:
    return read_midi(_GOLDEN / "midi" / f"{name}.mid")


def _events(tokens: NDArray[np.int64], row: int) -> list[list[Any]]:
    names = _official().tokens
    columns = np.flatnonzero((tokens[row] != 15) & (tokens[row] < len(names)))
    return [[int(c), names[tokens[row, c]], names[tokens[row + 1, c]]] for c in columns]


def _chord_changes(tokens: NDArray[np.int64], stop: int) -> list[list[Any]]:
    names = _official().tokens
    pairs = [(names[a], names[b]) for a, b in tokens[12:, :stop].T]
    return [[i, *pair] for i, pair in enumerate(pairs) if i == 0 or pair != pairs[i - 1]]


@_REFERENCE
def test_code_tables_are_the_original_s() -> None:
    tables = _golden("getmusic_tables")
    assert duration_codes(np.arange(60)).tolist() == tables["dur_enc"]
    assert duration_codes(np.array([60, 1000])).tolist() == [15, 15]
    assert {bpm: tempo_code(float(bpm)) for bpm in tables["b2e"]} == tables["b2e"]
    assert {code: tempo_of(int(code)) for code in tables["e2b"]} == tables["e2b"]
    vocabulary = GetVocabulary()
    assert [vocabulary.tokens[vocabulary.root + i] for i in range(12)] == list(tables["root"])
    assert [vocabulary.tokens[vocabulary.root + 12 + i] for i in range(8)] == list(tables["kind"])
    sizes = {part.name: end - start - 127 for part, start, end in zip(PARTS, *_ends(tables), strict=True)}
    whole = GetVocabulary(**{name: tuple(f"0 {i}" for i in range(n)) for name, n in sizes.items() if name != "lead"})
    assert ([r.start for r in whole.ranges], [r.stop - 1 for r in whole.ranges]) == _ends(tables)
    assert (whole.pad, whole.empty, whole.mask) == (tables["pad"], tables["empty"], tables["mask"])


def _ends(tables: Any) -> tuple[list[int], list[int]]:
    return tables["tracks_start"], tables["tracks_end"]


@_REFERENCE
@pytest.mark.parametrize("name", _FILES)
def test_published_octuples(name: str) -> None:
    golden = _golden("getmusic_tokens")[name]
    if golden["to_oct_result"] is None:
        with pytest.raises(InputError, match="3/4"):
            octuples(_score(name), TRAINING)
        return
    found = octuples(_score(name), TRAINING)
    assert found.rows.tolist() == golden["octuple"]


@_REFERENCE
@pytest.mark.parametrize("name", _FILES)
def test_published_inference_grid(name: str) -> None:
    golden, facts = _golden("getmusic_tokens_strings")["tokens"][f"{name}.encode.x"], _golden("getmusic_tokens")[name]["encode"]
    made = octuples(_score(name), INFERENCE)
    grid = encode(made, _official(), INFERENCE)
    assert (made.shift, made.tempo) == (facts["pitch_shift"], facts["tempo"])
    assert grid.tokens.shape == tuple(facts["shape"][1:])
    for i, part in enumerate(PARTS):
        expected = golden[part.name]
        assert _events(grid.tokens, 2 * i) == ([] if isinstance(expected, str) else expected)
    assert _chord_changes(grid.tokens, grid.tokens.shape[1]) == golden["chord_changes"]


@_REFERENCE
@pytest.mark.parametrize("name", _FILES[:-1])
def test_published_training_grid(name: str) -> None:
    golden = _golden("getmusic_tokens_strings")["tokens"][f"{name}.binarize0"]
    grid = encode(octuples(_score(name), TRAINING), _official(), TRAINING)
    assert grid.read == golden["lead_<EMPTY>"][0]
    for i, part in enumerate(PARTS):
        expected = golden[part.name]
        assert _events(grid.tokens, 2 * i) == ([] if isinstance(expected, str) else expected)
    assert _chord_changes(grid.tokens, grid.read) == golden["chord_changes"][:-1]


@_REFERENCE
@pytest.mark.parametrize("name", ["synth_c_major", "bach_bwv347", "synth_durations"])
def test_published_decoding(name: str) -> None:
    golden = _golden("getmusic_decode")[name]
    made = octuples(_score(name), INFERENCE)
    found = decode(encode(made, _official(), INFERENCE).tokens, _official(), made.shift)
    expected = {128 if track["is_drum"] else track["program"]: track["notes"] for track in golden["instruments"]}
    for part in PARTS:
        rows = [[120 * c, 120 * (c + n), p, v] for c, n, p, v in found[part.name].tolist()]
        assert sorted(rows) == sorted(expected.get(part.program, []))
    assert golden["tempo_changes"][1:] == [[tempo_of(made.tempo), 0]]


@_REFERENCE
def test_out_of_vocabulary_onsets_are_dropped_as_published_and_reduced_by_default() -> None:
    score = _score("synth_poly_lead_oov")
    golden = _golden("getmusic_tokens_strings")["out_of_vocabulary_onsets"]["synth_poly_lead_oov"]
    lost = encode(octuples(score, INFERENCE), _official(), INFERENCE).losses
    assert lost.dropped == sum(len(token.split(" ")) for _, _, token in golden)
    made = encode(octuples(score), _official())
    assert _official().tokens[made.tokens[0, 16]] == "M79"
    assert made.losses.dropped == 1 + 3  # of M76 79 one note; of P57 60 61 62 63 64 what is not P57 60 64


@_REFERENCE
def test_corrected_rules_keep_short_notes_and_the_last_ones() -> None:
    score = _score("synth_c_major")
    published, made = octuples(score, INFERENCE), octuples(score)
    drums = decode(encode(made, _official()).tokens, _official(), made.shift)["drums"]
    assert len(drums) == sum(len(track) for track in score.tracks if track.is_drum)
    lost = encode(made, _official()).losses
    assert lost.lengthened > 0
    assert lost.dropped == lost.unfinished == lost.other_programs == 0
    assert encode(published, _official(), INFERENCE).losses.unfinished > 0  # D3, D4 of the published rules
    chorale = octuples(_score("bach_bwv253"))
    lead = decode(encode(chorale, _official()).tokens, _official(), chorale.shift)["lead"]
    assert len(lead) == next(len(track) for track in _score("bach_bwv253").tracks if track.program == 80)


_FOUR = Meter(0, 4, 4)


def _progression(names: str, meter: Meter = _FOUR, *, drums: bool = False) -> Score:
    """A triad of every bar's length in the piano, its root in the lead."""
    chords = parse_chords(names)
    bar = 1920 * meter.numerator // meter.denominator
    piano = [(bar * i, bar, 48 + n, 80) for i, chord in enumerate(chords) for n in chord.pitch_classes]
    lead = [(bar * i, bar, 72 + chord.root, 90) for i, chord in enumerate(chords)]
    tracks = [Track.of(piano, program=0), Track.of(lead, program=80)]
    if drums:
        tracks.append(Track.of([(60 * i, 30, 42, 100) for i in range(8)], is_drum=True))
    return Score(tuple(tracks), 480, meters=(meter,))


@pytest.mark.parametrize("meter", [Meter(0, 4, 4), Meter(0, 3, 4), Meter(0, 7, 8), Meter(0, 6, 4)])
def test_chords_stand_in_their_own_bar_in_any_meter(meter: Meter) -> None:
    made = octuples(_progression("C G Am F C G Am F", meter))
    chords = made.rows[made.rows[:, 2] == CHORD_PROGRAM]
    assert [(r[0], 1 + 8 * r[3] + r[4]) for r in chords] == list(enumerate(map(chord_id, parse_chords("C G Am F C G Am F"))))
    size = 16 * meter.numerator // meter.denominator
    assert made.bars.tolist() == [size * i for i in range(9)]
    grid = encode(made, GetVocabulary(piano=("48 52 55", "50 55 59", "48 52 57", "48 53 57")))
    assert grid.tokens.shape == (14, 8 * size)
    assert (np.diff(grid.tokens[12]) != 0).nonzero()[0].tolist() == [size * i - 1 for i in range(1, 8)]


def test_published_chords_come_a_bar_late() -> None:
    made = octuples(_progression("C G Am F C G Am F"), TRAINING)
    rows = made.rows[made.rows[:, 2] == CHORD_PROGRAM]
    assert [1 + 8 * r[3] + r[4] for r in rows][1:] == list(map(chord_id, parse_chords("C G Am F C G Am F")))


def test_given_chords_replace_the_inferred_ones() -> None:
    made = octuples(_progression("C G Am F"), chords=parse_chords("Dm E7"))
    assert made.rows[made.rows[:, 2] == CHORD_PROGRAM][:, 3:5].tolist() == [[2, 1], [4, 4], [2, 1], [4, 4]]


@pytest.mark.parametrize(
    ("names", "tonic", "minor"), [("D A Bm G D A D", 2, False), ("Cm Fm Cm G Cm", 0, True), ("Eb Bb Cm Ab Eb", 3, False)]
)
def test_key_is_found_and_removed(names: str, tonic: int, minor: bool) -> None:
    score = _progression(names)
    notes = np.concatenate([track.notes for track in score.tracks])
    found = tonality(notes["pitch"], notes["duration"] * notes["velocity"])
    assert (found.tonic, found.minor) == (tonic, minor)
    made = octuples(score)
    assert (tonic + made.shift) % 12 == (9 if minor else 0)
    grid, vocabulary = encode(made, GetVocabulary()), GetVocabulary()
    lead = decode(grid.tokens, vocabulary, made.shift)["lead"]
    assert lead[:, 2].tolist() == score.tracks[1].notes["pitch"].tolist()
    assert tonality([], []).shift == 0


def test_every_loss_is_counted() -> None:
    rows = [(0, 480, 60, 90), (0, 240, 64, 90), (0, 240, 64, 80), (480, 10, 60, 90), (960, 600, 60, 90), (1437, 483, 62, 90)]
    score = Score((Track.of(rows, program=0), Track.of([(0, 480, 72, 90)], program=99), Track.of([(0, 480, 60, 90)], program=7)))
    made = octuples(score, programs=[0, 99, None], chords=parse_chords("C"))
    assert (made.left_out, made.moved) == (1, 2)
    assert made.error == pytest.approx(10 / 480)
    lost = encode(made, GetVocabulary()).losses
    assert (lost.notes, lost.other_programs, lost.dropped, lost.twice) == (7, 1, 1, 1)
    assert (lost.lengthened, lost.merged, lost.unfinished) == (1, 2, 0)


def test_pitches_that_leave_the_range_come_back_an_octave_off() -> None:
    score = Score((Track.of([(0, 1920, 60 + n, 90) for n in (11, 15, 18)] + [(0, 240, 6, 90), (240, 240, 3, 90)], program=0),))
    made = octuples(score)
    assert made.folded == 1 == (np.array([6, 3]) + made.shift < 0).sum()
    assert made.rows[:, 3].min() >= 0


def test_tempo_and_meter_maps_are_taken_by_default_and_refused_as_published() -> None:
    score = _progression("C G Am F")
    two = Score(score.tracks, 480, (Tempo(0, 500_000), Tempo(1920, 600_000)), (Meter(0, 4, 4), Meter(3840, 4, 4)))
    assert sorted(set(octuples(two, chords=[None]).rows[:, 7].tolist())) == [tempo_code(100), tempo_code(120)]
    with pytest.raises(InputError, match="2 meters and 2 tempos"):
        octuples(two, TRAINING)
    with pytest.raises(InputError, match="no note"):
        octuples(two, programs=[None, None])


def test_vocabulary_of_counts_and_of_a_file(tmp_path: Path) -> None:
    counts = {"piano": {"60 64": 5, "60 67": 4, "59 62": 1}, "drums": {"164 170": 2, "166 170": 1}}
    made = GetVocabulary.counted(counts, share=0.95)
    assert (made.piano, made.drums) == (("60 64", "60 67"), ("164 170",))
    assert GetVocabulary.counted({"piano": {"60 64": 5, "60 67": 1}}, share=1.1, more_than=1).piano == ("60 64",)
    (tmp_path / "dict.txt").write_text("".join(f"{token}\t0\n" for token in made.tokens))
    assert GetVocabulary.from_file(tmp_path / "dict.txt") == made
    (tmp_path / "bad.txt").write_text("T2\t0\nT1\t0\n")
    with pytest.raises(InputError, match="order"):
        GetVocabulary.from_file(tmp_path / "bad.txt")


def test_rows_allow_their_own_tokens_only() -> None:
    vocabulary = GetVocabulary(piano=("60 64",))
    made = encode(octuples(_progression("C G Am F", drums=True)), vocabulary)
    for row in range(14):
        assert vocabulary.allowed[row, made.tokens[row]].all()
    assert vocabulary.allowed.sum(1).tolist() == [129, 16, 129, 16, 129, 16, 129, 16, 130, 16, 129, 16, 13, 9]


def test_a_pitch_without_a_duration_is_no_note() -> None:
    vocabulary = GetVocabulary()
    tokens = np.full((14, 8), vocabulary.pad)
    tokens[0, 0], tokens[1, 0] = vocabulary.ids["M60"], 3
    tokens[0, 1], tokens[3, 2] = vocabulary.ids["M61"], 2
    assert decode(tokens, vocabulary)["lead"].tolist() == [[0, 4, 60, 114]]
    with pytest.raises(InputError, match=r"\(14, L\)"):
        decode(tokens[:5], vocabulary)


def test_corrected_is_the_default() -> None:
    assert (CORRECTED.chord_lag, CORRECTED.shortest, CORRECTED.keep_last, CORRECTED.one_meter) == (0, 1, True, False)
