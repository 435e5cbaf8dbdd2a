"""Speech enhancement from end to end: what comes out has the rate, length and level of what went in."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from polyscore import hub
from polyscore.audio import SpeechEnhancer
from polyscore.audio.codec import SpectrogramCodec
from polyscore.audio.denoiser import SpectrogramDenoiser
from polyscore.audio.methods import BridgeGrid, Method, choose
from polyscore.audio.networks.ncsnpp import NCSNpp
from polyscore.denoisers import Prediction
from polyscore.errors import CheckpointError, ConfigError, InputError, PolyscoreError
from polyscore.noise import Seeded
from polyscore.processes import OUVE, GaussianProcess, VEBridge
from polyscore.processes.clocks import Time
from polyscore.samplers import ExponentialAdams, sample
from polyscore.state import Given

BRIDGE = VEBridge(regulariser=1e-8)


class Halve(nn.Module):
    """A predictor of spectrograms that is easy to check: half of the input (compressed by a root, a quarter of the wave)."""

    def forward(self, spec: Tensor) -> Tensor:
        return 0.5 * spec


class Smooth(nn.Module):
    """A predictor of waves with memory: a moving average of 161 samples."""

    def forward(self, wave: Tensor) -> Tensor:
        return nn.functional.avg_pool1d(wave[:, None], 161, 1, 80, count_include_pad=True)[:, 0]


def network(seed: int = 0) -> NCSNpp:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return NCSNpp(nf=4, ch_mult=(1, 1), num_res_blocks=1, attn_resolutions=(), init_scale=0.1)


def diffusion(process: GaussianProcess | None = None, **settings: Any) -> SpeechEnhancer:
    """A tiny diffusion enhancer with random weights."""
    process = process or OUVE()
    predicts: Any = "score" if isinstance(process, OUVE) else "x0"
    denoiser = SpectrogramDenoiser(network(), process, predicts=predicts)
    codec = SpectrogramCodec(n_fft=62, hop=16)
    return SpeechEnhancer(denoiser, codec=codec, frame_multiple=4, **settings).eval()


def noise(channels: int, samples: int, seed: int = 0) -> Tensor:
    return 0.1 * torch.randn(channels, samples, generator=torch.Generator().manual_seed(seed))


# ---------------------------------------------------------------------- predictors


def test_a_predictor_of_spectrograms_sees_the_normalised_compressed_wave() -> None:
    enhancer = SpeechEnhancer(Halve(), codec=SpectrogramCodec())
    wave = noise(2, 16000)
    assert torch.allclose(enhancer.enhance(wave, 16000), wave / 4, atol=1e-6)
    assert torch.allclose(enhancer.enhance(wave[0], 16000), wave[0] / 4, atol=1e-6)
    assert torch.allclose(enhancer.enhance(1e-6 * wave, 16000), 1e-6 * wave / 4, rtol=1e-3, atol=1e-12)


@pytest.mark.parametrize("rate", [8000, 16000, 22050, 44100, 48000, 96000])
def test_rate_and_place_of_every_sample_are_kept(rate: int) -> None:
    t = torch.arange(rate) / rate
    wave = 0.4 * torch.sin(2 * math.pi * 440 * t)[None]
    out = SpeechEnhancer(Halve(), codec=SpectrogramCodec()).enhance(wave, rate)
    assert out.shape == wave.shape
    inside = slice(rate // 20, -rate // 20)
    assert (out - wave / 4)[:, inside].abs().max() < 5e-4


@pytest.mark.parametrize("seconds", [0.3, 1.0, 1.3, 2.05])
@pytest.mark.parametrize("batch_size", [1, 3])
def test_windows_equal_the_whole(seconds: float, batch_size: int) -> None:
    wave = noise(2, round(16000 * seconds))
    whole = SpeechEnhancer(Smooth()).enhance(wave, 16000)
    windows = SpeechEnhancer(Smooth(), window_seconds=0.25, context_seconds=0.05)
    assert torch.allclose(windows.enhance(wave, 16000, batch_size=batch_size), whole, atol=1e-6)


def test_windows_of_spectrograms_equal_the_whole() -> None:
    wave = noise(1, 20000)
    codec = SpectrogramCodec()
    whole = SpeechEnhancer(Halve(), codec=codec).enhance(wave, 16000)
    windows = SpeechEnhancer(Halve(), codec=codec, window_seconds=0.3, context_seconds=0.1)
    assert torch.allclose(windows.enhance(wave, 16000), whole, atol=1e-6)


@pytest.mark.parametrize("length", [1, 2, 100, 255, 256, 257, 1000])
@pytest.mark.parametrize("rate", [8000, 16000, 44100])
def test_any_length_from_one_sample(length: int, rate: int) -> None:
    for enhancer in (SpeechEnhancer(Halve(), codec=SpectrogramCodec()), diffusion()):
        out = enhancer.enhance(noise(1, length), rate, preset="fast")
        assert out.shape == (1, length)
        assert torch.isfinite(out).all()


def test_mix_is_linear_and_zero_is_the_input() -> None:
    enhancer, wave = SpeechEnhancer(Halve(), codec=SpectrogramCodec()), noise(1, 4000)
    wet = enhancer.enhance(wave, 16000)
    assert torch.equal(enhancer.enhance(wave, 16000, mix=0.0), wave)
    assert torch.allclose(enhancer.enhance(wave, 16000, mix=0.3), 0.3 * wet + 0.7 * wave, atol=1e-7)


# ---------------------------------------------------------------------- silence and bad input


def test_silence_is_silent_exactly() -> None:
    for enhancer in (diffusion(), diffusion(BRIDGE), SpeechEnhancer(Halve(), codec=SpectrogramCodec())):
        assert not enhancer.enhance(torch.zeros(2, 5000), 44100, preset="fast").any()
        wave = noise(3, 5000)
        wave[1] = 0
        out = enhancer.enhance(wave, 44100, preset="fast")
        assert not out[1].any()
        assert out[0].any()
        assert out[2].any()


@pytest.mark.parametrize(
    ("wave", "text"),
    [
        (torch.tensor([[0.1, float("nan")]]), "1 of the wave's 2 samples are NaN"),
        (torch.tensor([[float("inf"), float("-inf")]]), "2 of the wave's 2 samples"),
        (torch.zeros(1, 0), "not empty"),
        (torch.zeros(1, 1, 4), "expected a real tensor"),
        (torch.zeros(4, dtype=torch.int16), "int16"),
        ([0.1, 0.2], "list"),
    ],
)
def test_a_wave_that_cannot_be_enhanced_is_named(wave: Any, text: str) -> None:
    with pytest.raises(InputError, match=text):
        SpeechEnhancer(Smooth()).enhance(wave, 16000)


def test_arguments_outside_their_range() -> None:
    enhancer, wave = diffusion(), noise(1, 100)
    arguments: list[tuple[dict[str, Any], str]] = [
        ({"mix": 1.5}, "mix is 1.5"),
        ({"preset": "best"}, "preset 'best' is unknown; expected one of fast"),
        ({"sampler": "magic"}, "sampler 'magic' is unknown"),
        ({"sampler": "sde-upstream"}, "is for bridges"),
        ({"steps": 0}, "expected at least 1"),
        ({"snr": 0.0}, "snr 0.0; expected at least 1 and a positive number"),
        ({"corrector_steps": 0}, "corrector_steps is 0"),
        ({"high_band": "loud"}, "high_band is 'loud'; expected one of gain, keep, drop"),
        ({"chunk": -1.0}, "chunk is -1.0 s"),
    ]
    for settings, text in arguments:
        with pytest.raises(InputError, match=text):
            enhancer.enhance(wave, 16000, **settings)
    with pytest.raises(InputError, match="sample_rate is 0"):
        enhancer.enhance(wave, 0)
    with pytest.raises(InputError, match="does not exist for bridges"):
        diffusion(BRIDGE).enhance(wave, 16000, sampler="pc")
    with pytest.raises(ConfigError, match="needs a codec"):
        SpeechEnhancer(enhancer.model)
    with pytest.raises(ConfigError, match="context no longer than it"):
        diffusion(window_seconds=1.0, context_seconds=2.0)


def test_a_model_that_returns_nan_is_an_error_not_a_file() -> None:
    class Broken(nn.Module):
        def forward(self, wave: Tensor) -> Tensor:
            return wave / 0

    with pytest.raises(PolyscoreError, match="NaN"):
        SpeechEnhancer(Broken()).enhance(noise(1, 100), 16000)


# ---------------------------------------------------------------------- diffusion models


@pytest.mark.parametrize("sampler", ["multistep", "ode", "sde", "pc", "langevin", "predictor", "pc-2023"])
def test_seeds_decide_and_batches_do_not(sampler: str) -> None:
    enhancer = diffusion(window_seconds=0.1, context_seconds=0.02)
    wave = noise(2, 5000)
    out = enhancer.enhance(wave, 16000, sampler=sampler, steps=2, seed=3)
    assert torch.equal(out, enhancer.enhance(wave, 16000, sampler=sampler, steps=2, seed=3))
    together = enhancer.enhance(wave, 16000, sampler=sampler, steps=2, seed=3, batch_size=4)
    assert torch.allclose(out, together, atol=1e-4 * float(out.abs().max()))
    assert not torch.allclose(out, enhancer.enhance(wave, 16000, sampler=sampler, steps=2, seed=4), atol=1e-3)


def test_channels_have_noise_of_their_own_whatever_the_others_are() -> None:
    enhancer, wave = diffusion(), noise(1, 4000)
    mono = enhancer.enhance(wave, 16000, preset="fast")
    stereo = enhancer.enhance(wave.expand(2, -1), 16000, preset="fast")
    assert torch.equal(stereo[:1], mono)
    assert not torch.allclose(stereo[1], mono[0], atol=1e-3)


def test_a_perfect_denoiser_gives_the_clean_wave_for_every_sampler() -> None:
    """With x0 known every sampler ends at x0: the whole chain (codec, padding, noise, grids, samplers) is exact."""
    clean = noise(1, 3000, seed=1)
    noisy = clean + noise(1, 3000, seed=2)
    codec = SpectrogramCodec(n_fft=62, hop=16)

    class Knows(nn.Module):
        def __init__(self, answer: Tensor) -> None:
            super().__init__()
            self.answer = answer

        def forward(self, x: Tensor, t: Tensor) -> Tensor:
            missing = x.shape[-1] - self.answer.shape[-1]
            return nn.functional.pad(self.answer, (0, missing))[None, None]

    answer = codec.encode(clean / noisy.abs().max())[0]
    for process in (OUVE(), BRIDGE):
        denoiser = SpectrogramDenoiser(Knows(answer), process, predicts="x0")
        enhancer = SpeechEnhancer(denoiser, codec=codec, frame_multiple=4)
        names = ["multistep", "ode", "sde", *(["ode-upstream", "sde-upstream"] if process is BRIDGE else ["rk45"])]
        for name in names:
            out = enhancer.enhance(noisy, 16000, sampler=name, steps=3)
            # the original bridge samplers stop at t = 1e-4, where the standard deviation is still 0.006
            assert (out - clean).abs().max() < (0.03 if "upstream" in name else 1e-5), name


def test_presets() -> None:
    ouve = {name: choose(OUVE(), preset=name) for name in ("fast", "balanced", "paper")}
    assert {name: (m.name, m.nfe) for name, m in ouve.items()} == {
        "fast": ("multistep", 5),
        "balanced": ("multistep", 10),
        "paper": ("pc", 60),
    }
    assert choose(OUVE(), preset="paper", paper_steps=50).nfe == 100
    assert choose(OUVE(), sampler="pc", steps=7).nfe == 14
    bridge = {name: choose(BRIDGE, preset=name, paper_steps=50) for name in ("fast", "balanced", "paper")}
    assert {name: (m.name, m.nfe) for name, m in bridge.items()} == {
        "fast": ("ode", 1),
        "balanced": ("ode", 2),
        "paper": ("ode-upstream", 50),
    }
    assert choose(None).nfe == 1
    dereverberation = choose(OUVE(), preset="paper", paper_steps=50, snr=0.33, corrector_steps=2)
    assert dereverberation.nfe == 150
    assert (dereverberation.sampler.corrector.snr, dereverberation.sampler.corrector.steps) == (0.33, 2)
    assert choose(OUVE(), preset="paper", paper_sampler="pc-2023", paper_steps=50).name == "pc-2023"
    assert choose(BRIDGE, preset="paper", paper_sampler="sde-upstream", paper_steps=50).name == "sde-upstream"
    for method in (*ouve.values(), *bridge.values()):
        process = OUVE() if method in ouve.values() else BRIDGE
        plan = getattr(method.sampler, "plan", None)
        if plan is not None:
            assert plan(process, method.grid(process, method.steps).tolist()).nfe == method.nfe


@pytest.mark.parametrize("deviation", [0.05, 0.1, 0.2])
def test_ten_calls_reach_the_accuracy_of_sixty(deviation: float) -> None:
    """x0 ~ N(0, deviation^2), y = 1, the denoiser exact: distance in mean and standard deviation of what comes out."""
    process, v = OUVE(), deviation**2

    def denoiser(x: Tensor, t: float, given: Given) -> Prediction:
        a, b, s = (float(c) for c in process.coefs_of(t))
        return Prediction(v * a / (a * a * v + s * s) * (x - b * given.y))

    def error(method: Method) -> float:
        y = torch.ones(4000, 1, dtype=torch.complex128)
        grid, steps, given = method.grid, method.steps, Given(y=y)
        x = sample(method.sampler, denoiser, process, y, steps=steps, grid=grid, given=given, noise=Seeded(0))
        return math.hypot(abs(complex(x.mean())), float(x.std()) - deviation)

    errors = {preset: error(choose(process, preset=preset)) for preset in ("fast", "balanced", "paper")}
    assert all(value < 0.0149 for value in errors.values()), errors
    uncentred = Method("", ExponentialAdams(2, clock=Time()), 10, choose(process).grid, 10)
    assert error(uncentred) > 0.02  # what the shifted start alone would leave


@pytest.mark.parametrize("steps", [5, 50])
def test_bridge_samplers_have_the_published_weights(steps: int) -> None:
    """The weights of Jukic et al. 2024 as the original code computes them, with its regularisation of 1e-8."""
    eps, c, k = 1e-8, 0.4, 2.6
    t = BridgeGrid()(BRIDGE, steps)
    variance = c * (k ** (2 * t) - 1) / (2 * math.log(k))
    end = c * (k**2 - 1) / (2 * math.log(k))
    s, bar = variance.sqrt(), (end - variance + eps).sqrt()
    ode = choose(BRIDGE, sampler="ode-upstream", steps=steps).sampler.plan(BRIDGE, t.tolist())
    sde = choose(BRIDGE, sampler="sde-upstream", steps=steps).sampler.plan(BRIDGE, t.tolist())
    for i in range(steps):
        p, u = i, i + 1
        keep = s[u] * bar[u] / (s[p] * bar[p] + eps)
        data = (bar[u] ** 2 - bar[p] * s[u] * bar[u] / (s[p] + eps)) / (end + eps)
        toward = (s[u] ** 2 - s[p] * s[u] * bar[u] / (bar[p] + eps)) / (end + eps)
        stage = ode.stages[i]
        assert stage.at == float(t[u])
        assert dict(stage.preds)[0] == pytest.approx(float(data), abs=1e-6)
        if i:
            assert dict(stage.states)[0] == pytest.approx(float(keep), rel=1e-6)
            assert stage.y == pytest.approx(float(toward), abs=1e-6)
        else:
            # x = y here and both weights are of order 1 / sqrt(eps): the original's regularisation leaves an error of up
            # to 0.05 in their sum, which is b_u; ours is exact.
            assert dict(stage.states)[0] + stage.y == pytest.approx(float(variance[1] / end), abs=2e-4)
            assert dict(stage.states)[0] + stage.y == pytest.approx(float(keep + toward), abs=0.05)
        q = 1 - s[u] ** 2 / (s[p] ** 2 + eps)
        stage = sde.stages[i]
        assert dict(stage.states)[0] == pytest.approx(float(s[u] ** 2 / (s[p] ** 2 + eps)), abs=1e-6)
        assert dict(stage.preds)[0] == pytest.approx(float(q), abs=1e-6)
        assert stage.noise == pytest.approx(float(s[u] * q.sqrt()), abs=1e-6)


# ---------------------------------------------------------------------- saving


def test_saved_and_loaded_enhancers_agree(tmp_path: Path) -> None:
    wave = noise(1, 3000)
    for process in (OUVE(theta=2.0), BRIDGE):
        enhancer = diffusion(process, frame_padding="reflect", t_eps=0.05, steps=3)
        hub.save(tmp_path / "model", enhancer)
        again = SpeechEnhancer.from_pretrained(tmp_path / "model")
        for preset in ("fast", "paper"):
            assert torch.equal(enhancer.enhance(wave, 16000, preset=preset), again.enhance(wave, 16000, preset=preset))


def test_what_is_no_enhancer_is_refused(tmp_path: Path) -> None:
    hub.save(tmp_path / "network", network())
    with pytest.raises(CheckpointError, match="is a NCSNpp; expected a SpeechEnhancer"):
        SpeechEnhancer.from_pretrained(tmp_path / "network")
    with pytest.raises(CheckpointError):
        SpeechEnhancer.from_pretrained(tmp_path / "nothing")
    (tmp_path / "text.ckpt").write_text("no checkpoint")
    with pytest.raises(CheckpointError, match=r"text\.ckpt"):
        SpeechEnhancer.from_pretrained(tmp_path / "text.ckpt")
    hub.save(tmp_path / "model", diffusion())
    with pytest.raises(InputError, match="one set"):
        SpeechEnhancer.from_pretrained(tmp_path / "model", weights="raw")
