"""Rows of spoken digits: no test speaker, one level, pauses in half of the rows only."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from polyscore.audio.data.speech import RATE, join, spoken_digits
from polyscore.errors import InputError


@pytest.fixture
def takes(tmp_path: Path) -> Path:
    """Recordings at 8 kHz that are never silent: constant tones, of a different level for every speaker."""
    time = np.arange(2400) / 8000
    for speaker, level in (("ann", 0.8), ("bob", 0.1), ("theo", 0.5)):
        pitch = 700 if speaker == "theo" else 300
        for digit in range(3):
            soundfile.write(tmp_path / f"{digit}_{speaker}_0.wav", level * np.sin(2 * np.pi * pitch * time), 8000)
    return tmp_path


def _longest_silence(wave: np.ndarray[tuple[int], np.dtype[np.float32]]) -> int:
    """Longest run of exact zeros, in samples."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], (wave == 0).astype(int), [0]])))
    return int((edges[1::2] - edges[::2]).max(initial=0))


def test_rows_of_digits(takes: Path) -> None:
    rows = dict(spoken_digits(takes, minutes=1.5, rng=np.random.default_rng(0)))
    assert {name.split("-")[0] for name in rows} == {"ann", "bob"}
    assert sum(map(len, rows.values())) >= 90 * RATE
    silences = np.array([_longest_silence(wave) for wave in rows.values()])
    assert 0.2 < (silences < 10).mean() < 0.8
    assert (silences[silences >= 10] >= 0.03 * RATE).all()
    for wave in rows.values():
        assert np.abs(wave).max() == pytest.approx(0.5, abs=1e-3)
        assert np.abs(np.fft.rfft(wave)).argmax() * RATE / len(wave) == pytest.approx(300, abs=10)


def test_joining_keeps_every_sample_but_the_edges() -> None:
    clips = [np.full(1000, level, dtype=np.float32) for level in (0.2, 0.9)]
    joined = join(clips, np.random.default_rng(0), longest_pause=0.0)
    assert len(joined) == 2000
    assert joined[80:920] == pytest.approx(0.5)
    assert joined[1080:1920] == pytest.approx(0.5)
    assert joined[[0, 999, 1000, 1999]] == pytest.approx(0.0)


def test_a_folder_without_digits_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="digit_speaker_take"):
        next(spoken_digits(tmp_path, minutes=1, rng=np.random.default_rng(0)))
