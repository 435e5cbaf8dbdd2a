"""Declipping: what is known stays, peaks come back, sound without plateaus is left alone."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch import Tensor

from polyscore.audio.declipping import SparseWaves, clipped, declip
from polyscore.audio.io import AudioFormat, read, write
from polyscore.audio.metrics.ratios import si_sdr
from polyscore.cli.main import main
from polyscore.errors import InputError
from polyscore.processes import VE
from polyscore.state import NONE


def voice(rate: int = 16000, seconds: float = 1.0) -> Tensor:
    """Gliding partials with pauses, (L,), peak 1."""
    t = torch.arange(int(rate * seconds), dtype=torch.float64) / rate
    phase = 2 * torch.pi * (130 * t + 25 * t.square())
    wave = sum(torch.sin(k * phase + k) / k**0.7 for k in range(1, 14)) * torch.sin(2 * torch.pi * 3 * t).clamp(min=0)
    assert isinstance(wave, Tensor)
    return (wave / wave.abs().max()).float()


@pytest.mark.parametrize(("rate", "level", "gain"), [(8000, 0.4, 3), (16000, 0.4, 5), (44100, 0.4, 3), (16000, 0.2, 1)])
def test_peaks_come_back_and_the_rest_stays(rate: int, level: float, gain: float) -> None:
    x = voice(rate, 0.6)
    y = x.clamp(-level, level)
    found = declip(y, rate, steps=60)
    before, after = float(si_sdr(y[None], x[None])), float(si_sdr(found[None], x[None]))
    assert after > before + gain
    inside = clipped(y[None])[0] == 0
    assert torch.equal(found[inside], y[inside])
    assert torch.equal(~inside, x.abs() >= level * (1 - 1e-4))
    assert (found[~inside].abs() >= y[~inside].abs() * (1 - 1e-6)).all()
    assert torch.equal(found[~inside].sign(), y[~inside].sign())
    assert torch.equal(found, declip(y, rate, steps=60))


def test_sound_without_plateaus_is_left_alone() -> None:
    waves = torch.stack([voice(), 0.3 * torch.randn(16000, generator=torch.Generator().manual_seed(0)), torch.zeros(16000)])
    assert not clipped(waves).any()
    assert torch.equal(declip(waves, 16000), waves)
    assert torch.equal(declip(waves[0, :2], 16000), waves[0, :2])


def test_channels_and_signs_are_looked_at_one_by_one() -> None:
    x = voice()
    y = torch.stack([x, x.clamp(max=0.3), 0.5 * x.clamp(-0.2, 0.4)])
    places = clipped(y)
    assert not places[0].any()
    assert torch.equal(places[1] == 1, x >= 0.3 * (1 - 1e-4))
    assert set(places[1].tolist()) == {0, 1}
    assert set(places[2].tolist()) == {-1, 0, 1}
    found = declip(y, 16000, steps=30)
    assert torch.equal(found[0], x)
    assert float(si_sdr(found[2:], x[None])) > float(si_sdr(y[2:], x[None])) + 1
    torch.testing.assert_close(declip(3 * y[2], 16000, steps=30), 3 * found[2])


def test_the_denoiser_keeps_tones_and_drops_noise() -> None:
    t = torch.arange(8192) / 16000
    tone, noise = torch.sin(2 * torch.pi * 500 * t)[None], torch.randn(1, 8192, generator=torch.Generator().manual_seed(1))
    prior = SparseWaves(VE(0.005, 2.0))
    now = float(VE(0.005, 2.0).time_at_sigma(0.3))
    left = prior(tone + 0.3 * noise, now, NONE).x0 - tone
    assert left.square().mean() < 0.2 * 0.09
    assert not prior(0.3 * noise, now, NONE).x0.abs().max() > 0.3


@pytest.mark.parametrize(
    ("wave", "rate", "steps", "message"),
    [
        (torch.zeros(0), 16000, 10, "expected"),
        (torch.full((9,), torch.nan), 16000, 10, "real and finite"),
        (torch.zeros(9, dtype=torch.long), 16000, 10, "real and finite"),
        (torch.zeros(9), 0, 10, "a positive rate"),
        (torch.zeros(9), 16000, 0, "at least 1"),
    ],
)
def test_what_is_no_wave_is_refused(wave: Tensor, rate: int, steps: int, message: str) -> None:
    with pytest.raises(InputError, match=message):
        declip(wave, rate, steps=steps)


def test_the_command_rebuilds_reports_and_asks_no_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    x = voice()
    write(tmp_path / "in.wav", x[None].clamp(-0.4, 0.4), AudioFormat(16000, 1, "WAV", "FLOAT"))
    write(tmp_path / "loud.wav", 2.5 * x[None].clamp(-0.4, 0.4), AudioFormat(16000, 1, "WAV", "PCM_16"))
    write(tmp_path / "whole.wav", x[None], AudioFormat(16000, 1, "WAV", "FLOAT"))
    words = [*map(str, (tmp_path / "in.wav", tmp_path / "loud.wav", tmp_path / "whole.wav", "-o", tmp_path / "out"))]
    report = tmp_path / "report.json"
    assert main(["enhance", *words, "--restore", "clip", "--steps", "40", "--quiet", "--report", str(report)]) == 0
    found = {Path(item["input"]).name: item for item in json.loads(report.read_text())["items"]}
    for name in ("in.wav", "loud.wav"):
        wave, _ = read(tmp_path / "out" / name)
        assert float(si_sdr(wave, x[None])) > float(si_sdr(x[None].clamp(-0.4, 0.4), x[None])) + 4
        assert wave.abs().max() <= 1
        assert found[name]["restored_share"] == pytest.approx((x.abs() >= 0.4).double().mean().item(), abs=1e-3)
    assert found["in.wav"]["gain_db"] == 0
    assert found["loud.wav"]["gain_db"] < -2
    assert torch.equal(read(tmp_path / "out" / "whole.wav")[0], read(tmp_path / "whole.wav")[0])
    assert found["whole.wav"]["restored_share"] == 0
    assert main(["enhance", *words, "--restore", "clip", "--samples", "4", "--quiet"]) == 2
    assert "asks no model" in " ".join(capsys.readouterr().err.split())
