"""Chords: the structured Viterbi against a dense one, and progressions whose chords are known."""

import numpy as np
import pytest
from numpy.typing import NDArray

from polyscore.errors import InputError
from polyscore.music.chords import CHORDS, Chord, ChordModel, chord_id, parse_chords, pitch_profiles

MODEL = ChordModel()


def _dense_table(model: ChordModel) -> NDArray[np.float64]:
    """The transition table written out from the definition, [from, to]."""
    p, kappa, chi = model.chord_given_key, model.key_change, model.chord_change
    table = np.empty((12, CHORDS, 12, CHORDS))
    for key in range(12):
        for other in range(12):
            if key != other:
                table[key, :, other, :] = kappa / 11 * p[other][None]
            else:
                table[key, :, key, :] = (1 - kappa) * (chi * (p[key][None] + p[key][:, None] / (CHORDS - 1)))
                np.fill_diagonal(table[key, :, key, :], (1 - kappa) * (1 - chi))
    return np.log(table.reshape(12 * CHORDS, 12 * CHORDS))


def _dense_path(model: ChordModel, profiles: NDArray[np.float64]) -> list[int]:
    table, seen = _dense_table(model), model.evidence(profiles)
    score = (-np.log(12) + np.log(model.chord_given_key) + seen[0]).reshape(-1)
    parents = []
    for row in seen[1:]:
        sums = score[:, None] + table
        parents.append(sums.argmax(0))
        score = sums.max(0) + np.tile(row, 12)
    path = [int(score.argmax())]
    for parent in reversed(parents):
        path.append(int(parent[path[-1]]))
    return path[::-1]


@pytest.mark.parametrize(("seed", "model"), [(0, MODEL), (1, MODEL), (2, ChordModel(0.2, 0.3, 0.8, 5.0))])
def test_structured_path_is_the_dense_path(seed: int, model: ChordModel) -> None:
    rng = np.random.default_rng(seed)
    profiles = rng.random((20, 12)) ** 4
    profiles[5] = 0  # silence
    profiles[6:9] = profiles[9]  # repeated frames: ties between keys
    profiles /= np.maximum(np.linalg.norm(profiles, axis=1, keepdims=True), 1e-9)
    keys, chords = model.path(profiles)
    assert (keys * CHORDS + chords).tolist() == _dense_path(model, profiles)


def test_columns_and_rows_of_the_transition_are_those_of_the_dense_table() -> None:
    table = _dense_table(MODEL)
    for key, chord in ((0, 0), (3, 17), (11, 96)):
        assert MODEL.column(key, chord).tolist() == table[:, key * CHORDS + chord].tolist()
    # A law up to what the published formula spreads twice: from no chord to a chord outside the key.
    assert np.abs(np.exp(table).sum(1) - 1).max() < 0.05


@pytest.mark.parametrize("names", ["C G Am F", "Dm7 G7 Cmaj7 C", "Am E Am Dm", "F#m D A E", "Bb Gm Eb F7", "Bdim C+ Bm7b5 E7"])
def test_synthetic_progressions_are_found_in_their_bars(names: str) -> None:
    chords = parse_chords(names) * 4
    rows = [(16 * bar, 16 * bar + 16, 48 + note) for bar, chord in enumerate(chords) for note in chord.pitch_classes]
    start, end, pitch = np.array(rows).T
    _, found = MODEL.path(pitch_profiles(start, end, pitch, np.arange(len(chords) + 1) * 16))
    assert found.tolist() == [chord_id(chord) for chord in chords]


def test_profiles_are_the_overlaps_of_notes_and_frames() -> None:
    rng = np.random.default_rng(4)
    start = rng.integers(0, 200, 60)
    end, pitch = start + rng.integers(0, 40, 60), rng.integers(20, 100, 60)
    edges = np.array([0, 16, 20, 100, 101, 180])
    found = pitch_profiles(start, end, pitch, edges)
    for frame, (low, high) in enumerate(zip(edges[:-1], edges[1:], strict=True)):
        held = np.zeros(12)
        for a, b, p in zip(start, end, pitch, strict=True):
            held[p % 12] += max(0, min(b, high) - max(a, low))
        np.testing.assert_allclose(found[frame], held / max(float(np.linalg.norm(held)), 1e-300), atol=1e-15)
    assert (pitch_profiles([], [], [], edges) == 0).all()


def test_names_of_chords() -> None:
    for number in range(1, CHORDS):
        chord = Chord.of(number)
        assert chord is not None
        assert parse_chords(chord.name) == (chord,)
        assert chord_id(chord) == number
    assert [chord.name for chord in parse_chords("c | Db, Amin  G#aug")] == ["C", "C#", "Am", "Ab+"]
    assert Chord.of(0) is None
    assert chord_id(None) == 0


@pytest.mark.parametrize("text", ["", "H", "Csus4", "Am/C", "|"])
def test_what_is_no_chord_is_named(text: str) -> None:
    with pytest.raises(InputError, match="chords:"):
        parse_chords(text)


def test_impossible_models_and_frames_are_refused() -> None:
    with pytest.raises(InputError, match="probabilities"):
        ChordModel(key_change=0.0)
    with pytest.raises(InputError, match=r"\(frames, 12\)"):
        MODEL.path(np.zeros((0, 12)))
