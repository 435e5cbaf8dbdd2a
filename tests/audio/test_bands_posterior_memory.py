"""The band above the model's, the summary of several draws, the window that fits: closed forms."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from polyscore.audio import SpeechEnhancer
from polyscore.audio.bands import add_high_band
from polyscore.audio.codec import SpectrogramCodec
from polyscore.audio.memory import fitting_window, free_memory
from polyscore.audio.networks.ncsnpp import NCSNpp
from polyscore.audio.posterior import summarise
from polyscore.audio.spectrogram_plot import complex_spectrogram, power_db
from polyscore.errors import InputError

RATES = (48000, 16000)  # of the recording and of the model


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_the_gain_of_the_high_band_is_that_of_the_low_band() -> None:
    low, high = noise(2, 4800), 0.1 * noise(2, 4800, seed=1)
    noisy = low + high
    assert torch.allclose(add_high_band(0.3 * low, noisy, low, RATES, "gain"), 0.3 * noisy)
    assert torch.allclose(add_high_band(0.3 * low, noisy, low, RATES, "keep"), 0.3 * low + high)
    assert torch.equal(add_high_band(0.3 * low, noisy, low, RATES, "drop"), 0.3 * low)
    # never louder than it was
    assert torch.allclose(add_high_band(5 * low, noisy, low, RATES, "gain"), 5 * low + high)
    # silent where nothing is left of the low band, unchanged where all of it is
    half = low.clone()
    half[:, 2400:] = 0
    out = add_high_band(half, noisy, low, RATES, "gain")
    assert torch.allclose(out[:, :1200], noisy[:, :1200], atol=1e-3)
    assert out[:, 3600:].abs().max() < 1e-2 * high.abs().max()


def test_the_gain_is_that_of_the_upper_octave() -> None:
    """A model that keeps a loud tone at 500 Hz and takes the noise above away: the hiss above its band goes, too."""
    t = torch.arange(48000, dtype=torch.float64) / 48000
    tone = 0.5 * torch.sin(2 * math.pi * 500 * t)[None]
    hiss, high = (0.01 * torch.sin(2 * math.pi * f * t)[None] for f in (6000, 12000))
    out = add_high_band(tone, tone + hiss + high, tone + hiss, RATES, "gain")
    assert (out - tone)[:, 4800:-4800].abs().max() < 0.5 * 0.01
    kept = add_high_band(tone + hiss, tone + hiss + high, tone + hiss, RATES, "gain")
    assert (kept - tone - hiss - high)[:, 4800:-4800].abs().max() < 1e-4


class Quarter(nn.Module):
    def forward(self, wave: Tensor) -> Tensor:
        return 0.25 * wave


def test_the_high_band_of_a_tone_pair() -> None:
    """1 kHz is the model's, 12 kHz is not: a model that turns down to a quarter, and what each rule leaves of both."""
    t = torch.arange(48000) / 48000
    low, high = 0.3 * torch.sin(2 * math.pi * 1000 * t), 0.1 * torch.sin(2 * math.pi * 12000 * t)
    inside = slice(4800, -4800)
    for rule, share in (("drop", 0.0), ("keep", 1.0), ("gain", 0.25)):
        out = SpeechEnhancer(Quarter()).enhance((low + high)[None], 48000, high_band=rule)  # type: ignore[arg-type]
        assert (out[0] - (0.25 * low + share * high))[inside].abs().max() < 1e-3


def test_mean_variance_and_doubt_of_draws() -> None:
    center, spread = noise(1, 9600).float(), 0.5
    waves = [center + spread * noise(1, 9600, seed=seed).float() for seed in range(1, 41)]
    posterior = summarise(iter(waves), 48000)
    assert torch.allclose(posterior.mean, torch.stack(waves).mean(0), atol=1e-6)
    specs = torch.stack([complex_spectrogram(wave, 48000) for wave in waves])
    expected = (specs - specs.mean(0)).abs().square().sum(0).mean(0) / (len(waves) - 1)
    assert torch.allclose(posterior.variance, expected, rtol=1e-3, atol=1e-2)
    assert posterior.variance.shape == power_db(center, 48000).shape
    # per bin of power 1 on average, exponentially distributed: E[v / (v + P)] = v e^v E1(v), 0.335 for v = spread^2
    assert float(posterior.doubt.mean()) == pytest.approx(0.335, abs=0.03)
    same = summarise([center, center, center], 48000)
    assert float(same.doubt.max()) < 1e-6
    with pytest.raises(InputError, match="1 draws; expected at least 2"):
        summarise([center], 48000)
    with pytest.raises(InputError, match="expected one shape"):
        summarise([center, center[:, :5]], 48000)


def test_draws_are_independent_and_the_first_is_the_answer() -> None:
    class Knows(nn.Module):
        """Predicts x0 = 0: what is left is a function of the noise alone."""

        def forward(self, x: Tensor, t: Tensor) -> Tensor:
            return x[:, :1] * 0.5

    from polyscore.audio.denoiser import SpectrogramDenoiser
    from polyscore.processes import OUVE

    codec = SpectrogramCodec(n_fft=62, hop=16)
    enhancer = SpeechEnhancer(SpectrogramDenoiser(Knows(), OUVE(), predicts="x0"), codec=codec, frame_multiple=4)
    wave = 0.1 * noise(1, 3000).float()
    draws = list(enhancer.draws(wave, 16000, 3, preset="fast", seed=7))
    assert torch.equal(draws[0], enhancer.enhance(wave, 16000, preset="fast", seed=7))
    assert not torch.allclose(draws[1], draws[2], atol=1e-4)
    with pytest.raises(InputError, match="whose answer is one"):
        list(SpeechEnhancer(Quarter()).draws(wave, 16000, 2))


def test_windows_shrink_with_the_free_memory_and_no_further_than_their_context() -> None:
    with torch.device("meta"):
        network = NCSNpp(nf=128, ch_mult=(1, 1), num_res_blocks=1, attn_resolutions=())
    need = 15 * 4 * 128 * 256 * 125.0  # bytes a second
    frames = (256, 125.0)
    assert fitting_window(network, 4.0, 1.0, frames, int(100 * need)) == 4.0
    assert fitting_window(network, 4.0, 1.0, frames, int(10 * need)) == pytest.approx(3.0, rel=1e-6)
    assert fitting_window(network, 4.0, 1.0, frames, int(need)) == 1.0
    assert fitting_window(network, 4.0, 1.0, frames, None) == 4.0
    assert fitting_window(Quarter(), 4.0, 1.0, frames, 10) == 4.0
    free = free_memory(torch.device("cpu"))
    assert free is None or free > 1_000_000
