"""Metrics against closed forms, against pieces whose numbers are known, and against muspy."""

from __future__ import annotations

import csv
import json
import math
import os
from pathlib import Path

import numpy as np
import pytest

from polyscore.cli.main import main
from polyscore.music.grid import HOLD, REST, Grid
from polyscore.music.metrics import chord_accuracy, counterpoint, divergences, muspy_metrics, normal_overlap, similarity_scores
from polyscore.music.metrics.distances import chords_of, similarity
from polyscore.music.metrics.muspy_set import pitch_in_scale_rate, scale_consistency
from polyscore.music.metrics.voice_leading import parallels
from polyscore.music.midi import read_midi, write_midi
from polyscore.music.score import Score, Track

REFERENCE = os.environ.get("POLYSCORE_REFERENCE")


def track(*rows: tuple[int, int, int], drums: bool = False) -> Track:
    return Track.of([(120 * start, 120 * length, pitch, 80) for start, length, pitch in rows], is_drum=drums)


@pytest.mark.skipif(REFERENCE is None, reason="POLYSCORE_REFERENCE is not set")
def test_muspy_says_the_same() -> None:
    folder = Path(str(REFERENCE)) / "music" / "golden"
    for name, wanted in json.loads((folder / "muspy_metrics.json").read_text(encoding="utf-8"))["metrics"].items():
        score = read_midi(folder / "midi" / name)
        found = muspy_metrics(score)
        pitches = np.concatenate([part.notes["pitch"] for part in score.tracks if not part.is_drum])
        found["pitch_in_scale_C_major"] = pitch_in_scale_rate(pitches, 0)
        for key, value in wanted.items():
            mine = found[key.removesuffix("_16")]
            assert (math.isnan(mine) if value is None else mine == pytest.approx(value, abs=1e-12)), (name, key)


def test_statistics_of_a_piece_of_known_numbers() -> None:
    """Two bars: a chord of four beats, then a bar with one note on its second beat, and drums on triplets."""
    score = Score((track((0, 16, 60), (0, 16, 64), (0, 16, 67), (20, 4, 61)),))
    found = muspy_metrics(score)
    assert found["pitch_entropy"] == 2.0 and found["n_pitches_used"] == 4 and found["pitch_range"] == 7
    assert found["polyphony"] == pytest.approx((16 * 3 + 4) / 20) and found["polyphony_rate"] == pytest.approx(16 / 24)
    assert found["groove_consistency"] == pytest.approx(1 - 2 / 16) and found["scale_consistency"] == 0.75
    assert math.isnan(found["drum_pattern_consistency"])
    triplets = Score((Track.of([(160 * i, 60, 38, 80) for i in range(6)], is_drum=True),))
    assert muspy_metrics(triplets, per_beat=12, measure=48)["drum_pattern_consistency"] == 1.0
    assert scale_consistency(np.array([60, 62, 64, 65, 67, 69, 71])) == 1.0
    empty = muspy_metrics(Score(()))
    assert empty["pitch_range"] == 0 and math.isnan(empty["pitch_entropy"]) and math.isnan(empty["empty_beat_rate"])


def test_voice_leading_of_a_known_passage() -> None:
    """Octaves of soprano and bass in one direction, fifths of alto and tenor by contrary motion, one position crossed."""
    tokens = np.array(
        [
            [72, HOLD, 74, HOLD, 74, 76, HOLD, HOLD],
            [67, HOLD, 67, HOLD, 67, HOLD, 69, HOLD],
            [64, HOLD, 68, 64, 60, HOLD, 50, HOLD],
            [48, HOLD, 50, HOLD, REST, REST, 45, HOLD],
        ]
    )
    found = counterpoint([Grid(tokens, {"bar": np.full(8, 16)})])
    assert found.hold == pytest.approx(np.mean(tokens == HOLD)) and found.rest == pytest.approx(2 / 32)
    onsets = int((tokens < HOLD).sum())
    assert found.off_beat == pytest.approx(int((tokens[:, [1, 2, 3, 5, 6, 7]] < HOLD).sum()) / onsets)
    assert found.crossings == pytest.approx(1 / (8 + 8 + 6))  # the tenor's 68 over the alto's 67
    assert found.repeated == pytest.approx(3 / 12)
    assert found.consonant == 1.0  # one beat has all four voices: C E G C
    assert [found.parallels, found.similar] == pytest.approx([2 / 0.5, 1 / 0.5])


def test_parallels_need_two_voices_that_move() -> None:
    fifths = np.array([[67, 69], [60, 62]])
    assert parallels(fifths).tolist() == [[False, True]]
    for other in ([[67, 67], [60, 60]], [[67, 69], [60, 61]], [[-1, 69], [60, 62]], [[64, 65], [60, 62]]):
        assert not parallels(np.array(other)).any()
    contrary = np.array([[60, 72], [60, 48]])
    assert parallels(contrary).any() and not parallels(contrary, similar=True).any()


def test_the_area_under_two_normal_densities() -> None:
    def numeric(a: float, s: float, b: float, t: float) -> float:
        x = np.linspace(-60, 60, 400_001)
        p, q = (np.exp(-((x - m) ** 2) / (2 * d * d)) / (d * math.sqrt(2 * math.pi)) for m, d in ((a, s), (b, t)))
        return float(np.minimum(p, q).sum() * (x[1] - x[0]))

    for case in ((0, 1, 0, 1), (0, 1, 2, 1), (0, 1, 0, 3), (1, 2, -3, 0.5), (0, 1, 30, 1)):
        assert normal_overlap(*case) == pytest.approx(numeric(*case), abs=1e-5)
        a, s, b, t = case
        assert normal_overlap(b, t, a, s) == pytest.approx(normal_overlap(a, s, b, t), abs=1e-12)
    assert normal_overlap(1, 0, 1, 0) == 1.0 and normal_overlap(1, 0, 2, 0) == 0.0


def test_divergences_are_zero_for_a_set_itself_and_grow() -> None:
    one = Score((track(*[(4 * i, 4, 60 + i % 5) for i in range(40)]),))
    near = Score((track(*[(4 * i, 4, 60 + i % 6) for i in range(40)]),))
    far = Score((track(*[(2 * i, 1, 80 + i % 5) for i in range(40)]),))
    assert divergences([one, one], [one, one]) == {"pitch": 0.0, "duration": 0.0, "interval": 0.0}
    a, b = divergences([near], [one]), divergences([far], [one])
    assert 0 < a["pitch"] < b["pitch"] and a["duration"] == 0 < b["duration"] and a["interval"] == 0 < b["interval"]
    p, q = np.array([8 + 0.5] * 5 + [0.5] * 123), np.bincount([60 + i % 6 - 60 for i in range(40)], minlength=128) + 0.5
    assert a["pitch"] == pytest.approx(float((p / p.sum() * np.log(p / p.sum() / (q / q.sum()))).sum()))
    assert math.isnan(divergences([Score(())], [one])["pitch"])


def test_a_piece_that_repeats_is_like_itself() -> None:
    same = Score((track(*[(4 * i, 4, 60 + i % 4) for i in range(16 * 3)]),))
    found = similarity(same)
    assert found["pitch"] == pytest.approx(np.ones(len(found["pitch"]))) and len(found["pitch"]) == 4
    scores = similarity_scores([same], [same])
    assert scores["pitch_overlap"] == pytest.approx(1.0) and scores["pitch_consistency"] == pytest.approx(1.0)


def progression(*chords: tuple[int, int, int]) -> Score:
    return Score((track(*[(16 * bar, 16, pitch) for bar, chord in enumerate(chords) for pitch in chord]),))


def test_chords_are_compared_bar_by_bar() -> None:
    c, g, a, f = (60, 64, 67), (55, 59, 62), (57, 60, 64), (53, 57, 60)
    assert len(chords_of(progression(c, g, a, f))) == 4
    assert chord_accuracy(progression(c, g, a, f), progression(c, g, a, f)) == (4, 4)
    assert chord_accuracy(progression(c, g, f, f), progression(c, g, a, f, c)) == (3, 4)


def test_evaluate_music(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made, reference = tmp_path / "made", tmp_path / "reference"
    c, g, a, f = (60, 64, 67), (55, 59, 62), (57, 60, 64), (53, 57, 60)
    for name, mine, theirs in (("one", (c, g, a, f), (c, g, a, f)), ("two", (c, f, c, f), (c, f, c, g))):
        for folder, chords in ((made, mine), (reference, theirs)):
            score = progression(*chords)
            voices = [Track.of([row for row in score.tracks[0].notes.tolist() if row[2] % 3 == v], channel=v) for v in range(3)]
            folder.mkdir(exist_ok=True)
            write_midi(score.with_tracks([v for v in voices if len(v)]), folder / f"{name}.mid")
    (made / "bad.mid").write_bytes(b"no")
    words = ["evaluate", "music", str(made), "--reference", str(reference)]
    assert main([*words, "--out", str(tmp_path / "s.csv"), "--report", str(tmp_path / "r.json")]) == 1  # one file fails
    assert "chord_accuracy" in capsys.readouterr().out
    report = json.loads((tmp_path / "r.json").read_text(encoding="utf-8"))
    metrics = report["metrics"]
    assert metrics["files"] == 2 and metrics["chord_accuracy"]["share"] == pytest.approx(7 / 8)
    assert metrics["kl_pitch"] > 0 and metrics["kl_duration"] == 0 and metrics["scale_consistency"]["mean"] == 1.0
    assert [item["status"] for item in report["items"]] == ["failed", "done", "done"]
    rows = list(csv.DictReader((tmp_path / "s.csv").open(encoding="utf-8")))
    assert [row["name"] for row in rows] == ["bad", "one", "two"] and float(rows[1]["voices_parallels"]) >= 0
    assert main(["evaluate", "music", str(tmp_path / "nothing")]) != 0
