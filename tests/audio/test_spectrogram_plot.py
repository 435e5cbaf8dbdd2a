"""The before/after picture: power where the tone is, one scale, a file that appears whole."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch

from polyscore.audio.spectrogram_plot import draw_before_after, on_mel_scale, power_db
from polyscore.errors import InputError


@pytest.mark.parametrize("rate", [8000, 16000, 48000])
def test_a_tone_lies_at_its_frequency_and_halving_it_takes_six_decibels(rate: int) -> None:
    tone = torch.sin(2 * math.pi * 1000 * torch.arange(rate) / rate)[None]
    power = power_db(tone, rate)
    peak = int(power.mean(1).argmax())
    assert peak * rate / 2 / (power.shape[0] - 1) == pytest.approx(1000, abs=rate / 2 / (power.shape[0] - 1))
    lower = power_db(0.5 * tone, rate)
    assert (power - lower)[peak].mean().item() == pytest.approx(20 * math.log10(2), abs=1e-3)


@pytest.mark.parametrize("rate", [8000, 16000, 48000])
def test_the_mel_scale_keeps_every_tone_in_its_place(rate: int) -> None:
    bins = rate // 100 + 1  # 50 Hz apart
    for bin_ in range(0, bins, 7):
        picture = torch.zeros(bins, 3)
        picture[bin_] = 1.0
        column = on_mel_scale(picture, rate)[:, 0]
        rows = column.nonzero().flatten()
        assert len(rows) >= 1
        expected = math.log1p(50 * bin_ / 700) / math.log1p(rate / 1400) * len(column)
        width = math.log1p(50 / (700 + 50 * bin_)) / math.log1p(rate / 1400) * len(column)  # of a bin, in rows
        assert abs(float(rows.double().mean()) + 0.5 - expected) <= 1 + width


def test_long_recordings_have_a_bounded_number_of_columns() -> None:
    assert power_db(torch.zeros(1, 16000 * 120), 16000).shape[1] < 1700


@pytest.mark.parametrize("length", [1, 500, 20000])
def test_pictures_of_any_length_and_of_silence(tmp_path: Path, length: int) -> None:
    wave = torch.zeros(2, length)
    draw_before_after(tmp_path / "a.png", wave, wave, 16000)
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]


def test_waves_of_different_shapes_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"expected one \(C, L\)"):
        draw_before_after(tmp_path / "a.png", torch.zeros(1, 100), torch.zeros(1, 99), 16000)
