"""Closed forms of the ratios and of the log-spectral distance; limits of the perceptual scores."""

import math

import pytest
import torch
from torch import Tensor

from polyscore.audio import metrics
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


def test_shapes_must_agree() -> None:
    with pytest.raises(InputError, match=r"\(10,\) and \(11,\)"):
        metrics.si_sdr(torch.zeros(10), torch.zeros(11))
