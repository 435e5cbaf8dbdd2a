"""Closed forms of the ratios and of the distances of spectra; limits and published numbers of the perceptual scores."""

import math
from pathlib import Path

import pytest
import torch
from torch import Tensor

from polyscore.audio import metrics
from polyscore.audio.io import read, resample
from polyscore.audio.metrics.dnsmos import log_mel_input
from polyscore.audio.metrics.spectra import mel_bands
from polyscore.errors import InputError


def _orthogonal(n: int = 4096) -> tuple[Tensor, Tensor, Tensor]:
    """Three orthogonal waves of unit energy."""
    basis = torch.linalg.qr(torch.randn(n, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1)))[0]
    return basis[:, 0], basis[:, 1], basis[:, 2]


@pytest.mark.parametrize("gain", [1.0, -0.3, 7.0])
def test_ratios_of_orthogonal_parts(gain: float) -> None:
    clean, noise, other = _orthogonal()
    estimate = gain * (clean + 0.1 * noise + 0.01 * other)
    found = metrics.si_ratios(estimate, clean, clean + noise)
    assert found.sdr.item() == pytest.approx(-10 * math.log10(0.1**2 + 0.01**2), abs=1e-9)
    assert found.sir.item() == pytest.approx(20.0, abs=1e-9)
    assert found.sar.item() == pytest.approx(40.0, abs=1e-6)
    assert metrics.si_sdr(estimate, clean).item() == pytest.approx(found.sdr.item(), abs=1e-12)


def test_the_mean_is_not_removed() -> None:
    clean, _, _ = _orthogonal()
    shifted = clean - clean.mean()
    constant = torch.full_like(shifted, shifted.norm().item() / len(shifted) ** 0.5)
    assert metrics.si_sdr(shifted + constant, shifted).item() == pytest.approx(0.0, abs=1e-9)


def test_ratios_keep_leading_axes_and_survive_silence() -> None:
    waves = torch.randn(2, 3, 500, generator=torch.Generator().manual_seed(2))
    assert metrics.si_sdr(waves, waves).shape == (2, 3)
    for pair in ((waves, torch.zeros_like(waves)), (torch.zeros_like(waves), waves), (waves, waves)):
        assert torch.isfinite(metrics.si_sdr(*pair)).all()


def test_lsd_of_a_gain_is_the_gain() -> None:
    wave = torch.randn(2, 4000, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    assert metrics.lsd(0.5 * wave, wave).tolist() == pytest.approx([20 * math.log10(2)] * 2, abs=1e-6)
    assert metrics.lsd(wave, wave).tolist() == [0.0, 0.0]


@pytest.mark.parametrize("rate", [8000, 16000, 48000])
def test_log_mel_of_a_gain_is_the_gain(rate: int) -> None:
    wave = torch.randn(2, rate // 2, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    gains = torch.tensor([[0.5], [-3.0]])
    expected = [20 * math.log10(2), 20 * math.log10(3)]
    assert metrics.log_mel(gains * wave, wave, rate).tolist() == pytest.approx(expected, abs=1e-6)
    assert metrics.log_mel(wave, wave, rate).tolist() == [0.0, 0.0]


def test_log_mel_counts_the_share_of_the_bands_that_changed() -> None:
    """Ten decibels less above a corner: each band above it counts ten, each below none, whatever its width in Hz."""
    wave = torch.randn(32000, dtype=torch.float64, generator=torch.Generator().manual_seed(4))
    spectrum = torch.fft.rfft(wave)
    spectrum[8001:] *= 10 ** (-10 / 20)  # above 4 kHz
    above = float((mel_bands(64, 1024, 16000) @ (torch.linspace(0, 8000, 513) > 4000).double() > 0.01).double().mean())
    assert 0.15 < above < 0.4
    assert metrics.log_mel(torch.fft.irfft(spectrum), wave, 16000).item() == pytest.approx(10 * above, abs=0.25)


def test_distances_of_short_waves_and_silence_are_finite() -> None:
    for pair in ((torch.zeros(10), torch.ones(10)), (torch.ones(10), torch.zeros(10)), (torch.zeros(3000), torch.zeros(3000))):
        assert torch.isfinite(metrics.log_mel(*pair, 16000))
        assert torch.isfinite(metrics.lsd(*pair))
    assert metrics.log_mel(torch.zeros(3000), torch.ones(3000), 16000).item() <= 100


def test_mel_bands_have_unit_area_and_slaneys_centres() -> None:
    bands = mel_bands(40, 16384, 16000)
    assert torch.allclose(bands.sum(dim=1) * 16000 / 16384, torch.ones(40, dtype=torch.float64), atol=5e-3)
    centres = bands.argmax(dim=1) * 16000 / 16384
    low = centres[centres < 1000]
    assert torch.allclose(low.diff(), low.diff().mean(), atol=2)
    high = centres[centres > 1100]
    assert torch.allclose(high[1:] / high[:-1], (high[1:] / high[:-1]).mean(), atol=2e-3)


def _voice(seconds: float) -> Tensor:
    """A buzz at 120 Hz whose level beats at 4 Hz: enough like speech for the perceptual scores."""
    time = torch.arange(int(seconds * 16000), dtype=torch.float64) / 16000
    buzz = sum((torch.sin(2 * math.pi * 120 * k * time + k * k) / k for k in range(1, 30)), torch.zeros_like(time))
    return 0.1 * buzz * (1.05 + torch.sin(2 * math.pi * 4 * time))


def test_perceptual_scores_order_noise_levels() -> None:
    pytest.importorskip("pystoi")
    clean = _voice(2.0)
    noise = 0.1 * torch.randn(len(clean), dtype=torch.float64, generator=torch.Generator().manual_seed(4))
    waves = torch.stack([clean, clean + 0.3 * noise, clean + 3 * noise])
    for score in (metrics.stoi, metrics.estoi):
        same, good, bad = score(waves, clean.expand(3, -1), 16000).tolist()
        assert same == pytest.approx(1.0, abs=1e-6)
        assert same > good > bad
    assert math.isnan(metrics.estoi(clean[:3000], clean[:3000], 16000).item())


def test_pesq_limits() -> None:
    pytest.importorskip("pesq")
    clean = _voice(2.0)
    noise = 0.1 * torch.randn(len(clean), dtype=torch.float64, generator=torch.Generator().manual_seed(4))
    same, bad = metrics.pesq(torch.stack([clean, clean + noise]), clean.expand(2, -1)).tolist()
    assert same == pytest.approx(4.64, abs=0.01)
    assert bad < 2
    assert math.isnan(metrics.pesq(torch.zeros(16000), torch.zeros(16000)).item())


def test_narrow_band_pesq_does_not_hear_above_the_telephone() -> None:
    pytest.importorskip("pesq")
    clean = _voice(2.0)
    noise = torch.fft.rfft(0.1 * torch.randn(len(clean), dtype=torch.float64, generator=torch.Generator().manual_seed(4)))
    noise[: 2 * 5000] = 0  # nothing below 5 kHz
    noisy = clean + torch.fft.irfft(noise)
    assert metrics.pesq_nb(clean, clean).item() == pytest.approx(4.55, abs=0.01)
    assert metrics.pesq_nb(noisy, clean).item() > metrics.pesq(noisy, clean).item() + 1


# what microsoft/DNS-Challenge's program gives with librosa 0.11 and onnxruntime 1.31
@pytest.mark.parametrize(
    ("name", "p835", "p808"),
    [
        ("real/00000_-1.9dB.wav", (1.26421858, 1.17897141, 1.13996023), 2.3932555),  # 9.6 s
        ("speech/LJ050-0131.wav", (3.5480805, 4.00537895, 3.25367383), 4.0183993),  # 7.7 s, doubled: six windows
        ("speech/spk1_snt1.wav", (3.60562452, 4.19433746, 3.34682371), 3.8330737),
    ],
)
def test_dnsmos_is_the_published_one(reference: Path, name: str, p835: tuple[float, float, float], p808: float) -> None:
    pytest.importorskip("onnxruntime")
    wave, form = read(reference / "audio" / name)
    wave = resample(wave, form.rate, 16000)[0]
    first = metrics.DNSMOS(reference / "audio/dnsmos/sig_bak_ovr.onnx")(wave)
    assert [first[key] for key in ("sig", "bak", "ovrl")] == pytest.approx(p835, abs=1e-3)
    assert metrics.DNSMOS(reference / "audio/dnsmos/model_v8.onnx")(wave)["p808"] == pytest.approx(p808, abs=1e-3)


def test_the_input_of_p808_spans_two_units() -> None:
    wave = torch.randn(144000, generator=torch.Generator().manual_seed(0))
    data = log_mel_input(wave)
    assert data.shape == (900, 120)
    assert data.max().item() == 1.0
    assert torch.allclose(log_mel_input(100 * wave), data, atol=1e-5)  # the level does not matter
    wave[72000:] = 0
    assert log_mel_input(wave).min().item() == -1.0


def test_dnsmos_refuses_other_files(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    with pytest.raises(InputError, match="does not exist; expected sig_bak_ovr.onnx or model_v8.onnx"):
        metrics.DNSMOS(tmp_path / "none.onnx")
    (tmp_path / "text.onnx").write_text("no model")
    with pytest.raises(InputError, match="cannot be read as an ONNX model"):
        metrics.DNSMOS(tmp_path / "text.onnx")


def test_shapes_must_agree() -> None:
    with pytest.raises(InputError, match=r"\(10,\) and \(11,\)"):
        metrics.si_sdr(torch.zeros(10), torch.zeros(11))
