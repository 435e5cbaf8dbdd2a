"""The correlation of third-octave envelopes: its invariances, its bounds, and the metric it stands for."""

import math

import pytest
import torch
from torch import Tensor

from polyscore.audio.codec import SpectrogramCodec
from polyscore.audio.losses import band_correlation, third_octaves
from polyscore.audio.metrics import estoi

RATE = 16000
CODEC = SpectrogramCodec()
BANDS = third_octaves(CODEC.bins, RATE)


def _syllables(seed: int, seconds: float = 3.0) -> Tensor:
    """Noise in six random bands, each switched by its own slow envelope: as speech, modulated band by band."""
    generator = torch.Generator().manual_seed(seed)
    n = int(seconds * RATE)
    frequency = torch.fft.rfftfreq(n, 1 / RATE)
    wave = torch.zeros(n)
    for centre in (200, 450, 900, 1600, 2600, 4000):
        spectrum = torch.fft.rfft(torch.randn(n, generator=generator))
        band = torch.fft.irfft(spectrum * torch.exp(-((torch.log2(frequency.clamp_min(1) / centre) / 0.4) ** 2)), n)
        knots = torch.rand(1, 1, int(seconds * 8), generator=generator).square()
        wave += band / band.std() * torch.nn.functional.interpolate(knots, n, mode="linear")[0, 0]
    return 0.1 * wave


def _power(wave: Tensor) -> Tensor:
    spec = CODEC.stft(wave[None])
    return spec.real.square() + spec.imag.square()


def test_bands_are_disjoint_thirds_of_octaves() -> None:
    assert BANDS.shape == (15, 256)
    assert (BANDS.sum(dim=0) <= 1).all()
    frequency = torch.linspace(0, RATE / 2, 256)
    for j in range(6, 15):  # wide enough to be more than a few frequencies
        inside = frequency[BANDS[j] > 0]
        assert math.log2(float(inside[-1] / inside[0])) == pytest.approx(1 / 3, abs=0.11)
        assert float(inside.mean()) == pytest.approx(150 * 2 ** (j / 3), rel=0.06)
    assert third_octaves(256, 8000).shape[0] == 14  # the fifteenth would end above 4 kHz


def test_a_gain_in_every_band_changes_nothing() -> None:
    power = _power(_syllables(0))
    gain = 10 ** torch.linspace(-2, 2, 15)
    coloured = power * (BANDS * gain[:, None]).sum(dim=0)[None, :, None]
    assert band_correlation(coloured, power, BANDS, frames=48).item() == pytest.approx(1.0, abs=1e-4)


def test_unrelated_envelopes_have_no_correlation() -> None:
    scores = [band_correlation(_power(_syllables(k)), _power(_syllables(k + 100)), BANDS, frames=48).item() for k in range(4)]
    assert abs(sum(scores) / 4) < 0.1


@pytest.mark.parametrize("snr", [-5, 5, 15])
def test_it_follows_estoi(snr: int) -> None:
    for seed in range(3):
        clean = _syllables(seed)
        noise = torch.randn(len(clean), generator=torch.Generator().manual_seed(9 + seed))
        noisy = clean + noise * clean.norm() / noise.norm() * 10 ** (-snr / 20)
        ours = band_correlation(_power(noisy), _power(clean), BANDS, frames=48).item()
        assert ours == pytest.approx(float(estoi(noisy, clean, RATE)), abs=0.08)


def test_segments_without_speech_do_not_count() -> None:
    clean = torch.cat([_syllables(0), torch.zeros(RATE)])
    noisy = clean.clone()
    noisy[-RATE // 2 :] = 0.01 * torch.randn(RATE // 2, generator=torch.Generator().manual_seed(1))
    assert band_correlation(_power(noisy), _power(clean), BANDS, frames=48).item() == pytest.approx(1.0, abs=1e-3)


def test_silence_has_a_finite_gradient_of_zero() -> None:
    found = torch.rand(2, 256, 30, requires_grad=True)
    score = band_correlation(found, torch.zeros(2, 256, 30), BANDS, frames=48)
    assert score.tolist() == [1.0, 1.0]
    (gradient,) = torch.autograd.grad(score.sum(), found)
    assert not gradient.any()
