"""Windows joined at every step give the sample of the whole recording where the network is local; batches change nothing."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from polyscore.audio import SpeechEnhancer
from polyscore.audio.codec import SpectrogramCodec
from polyscore.audio.denoiser import SpectrogramDenoiser
from polyscore.audio.frame_noise import FrameNoise
from polyscore.audio.methods import choose
from polyscore.audio.networks.ncsnpp import NCSNpp
from polyscore.audio.storm import StochasticRegeneration
from polyscore.audio.windowed import Windowed
from polyscore.denoisers import Prediction
from polyscore.errors import ConfigError, InputError
from polyscore.processes import OUVE, VEBridge
from polyscore.samplers import sample
from polyscore.state import Given

CODEC = SpectrogramCodec(n_fft=30, hop=8)


class Local(nn.Module):
    """A network that sees two frames to either side: complex filters along the frames, and a bounded bend."""

    def __init__(self, inputs: int = 2) -> None:
        super().__init__()
        taps = torch.randn(1, inputs, 1, 5, generator=torch.Generator().manual_seed(inputs), dtype=torch.complex64)
        self.taps = nn.Parameter(0.3 * taps, requires_grad=False)

    def forward(self, x: Tensor, t: Tensor | None = None) -> Tensor:
        out = nn.functional.conv2d(x, self.taps, padding=(0, 2))
        return out / (1 + out.abs())


class Predictor(nn.Module):
    """The same of a spectrogram alone."""

    def __init__(self) -> None:
        super().__init__()
        self.network = Local(1)

    def forward(self, spec: Tensor) -> Tensor:
        out: Tensor = self.network(spec.reshape(-1, 1, *spec.shape[-2:]))
        return out.reshape(spec.shape)


def complex_noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.complex64)


def denoiser(process: Any = None, inputs: int = 2) -> SpectrogramDenoiser:
    return SpectrogramDenoiser(Local(inputs), process or OUVE(), predicts="x0")


@pytest.mark.parametrize("batch_size", [1, 3])
@pytest.mark.parametrize("sampler", ["multistep", "ode", "sde", "pc", "langevin", "rk45"])
def test_every_sampler_gives_the_whole_recordings_sample(sampler: str, batch_size: int) -> None:
    whole = denoiser()
    y = 0.3 * complex_noise(2, 1, 16, 90)
    method = choose(OUVE(), sampler=sampler, steps=3)
    settings: dict[str, Any] = {"steps": method.steps, "grid": method.grid}
    results = [
        sample(method.sampler, model, OUVE(), y, given=Given(y=y, cond=y), noise=FrameNoise([1, 2], [0, 0]), **settings)
        for model in (whole, Windowed(whole, 20, 4, batch_size))
    ]
    assert torch.allclose(results[0], results[1], atol=1e-5)


def test_an_overlap_shorter_than_the_network_sees_is_noticed() -> None:
    """The bound is sharp: half of the overlap must cover the two frames that the network sees."""
    whole, x, given = denoiser(), complex_noise(1, 1, 16, 90), Given(y=complex_noise(1, 1, 16, 90, seed=1))
    expected = whole(x, 0.5, given).x0
    errors = [float((Windowed(whole, 20, overlap)(x, 0.5, given).x0 - expected).abs().max()) for overlap in (2, 4)]
    assert errors[0] > 1e-3
    assert errors[1] < 1e-6


@pytest.mark.parametrize("condition", ["noisy", "post_denoiser", "both"])
def test_a_predictor_inside_is_windowed_too(condition: Any) -> None:
    model = StochasticRegeneration(Predictor(), denoiser(inputs=3 if condition == "both" else 2), condition=condition)
    noisy, x = complex_noise(2, 1, 16, 90), complex_noise(2, 1, 16, 90, seed=1)
    windowed = Windowed(model, 24, 6, 2)
    assert windowed.process is model.process
    given, expected = windowed.given(noisy), model.given(noisy)
    assert torch.allclose(given.y, expected.y, atol=1e-6)
    t = torch.tensor([0.3, 0.8], dtype=torch.float64)
    assert torch.allclose(windowed(x, t, given).x0, model(x, t, expected).x0, atol=1e-5)


def test_what_cannot_be_windowed() -> None:
    with pytest.raises(ConfigError, match="expected an even context"):
        Windowed(denoiser(), 8, 3)

    def with_noise(x: Tensor, t: object, given: Given) -> Prediction:
        return Prediction(x, eps=x)

    with pytest.raises(InputError, match="brings its own eps"):
        Windowed(with_noise, 8, 2)(complex_noise(1, 1, 4, 30), 0.5)


# ---------------------------------------------------------------------- the enhancer


def enhancer(model: nn.Module, **settings: Any) -> SpeechEnhancer:
    return SpeechEnhancer(model, codec=CODEC, frame_multiple=4, window_seconds=0.02, context_seconds=0.01, **settings).eval()


def noise(channels: int, samples: int, seed: int = 0) -> Tensor:
    return 0.1 * torch.randn(channels, samples, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("samples", [1500, 9001])  # one state, and seven that are joined
@pytest.mark.parametrize("process", [OUVE(), VEBridge()])
def test_blending_equals_the_whole(process: Any, samples: int) -> None:
    model, wave = enhancer(denoiser(process)), noise(2, samples)
    whole = model.enhance(wave, 16000, sampler="multistep", steps=4, chunk=1000.0)
    assert len(model.prepare(wave, 16000, seams="blend").spans()) == (2 if samples == 1500 else 14)
    blended = model.enhance(wave, 16000, sampler="multistep", steps=4, seams="blend")
    assert torch.allclose(blended, whole, atol=1e-5 * float(whole.abs().max()))


def test_blending_asks_for_steps() -> None:
    with pytest.raises(InputError, match="this model makes one call"):
        enhancer(Predictor()).enhance(noise(1, 100), 16000, seams="blend")


def network() -> NCSNpp:
    """With attention and normalisation over all frames: what it says depends on all of a window."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return NCSNpp(nf=4, ch_mult=(1, 1), num_res_blocks=1, attn_resolutions=(8,), image_size=16, init_scale=0.5)


@pytest.mark.parametrize("seams", ["context", "blend"])
def test_recordings_together_are_what_each_is_alone(seams: Any) -> None:
    model = enhancer(SpectrogramDenoiser(network(), OUVE()))
    method = model.method(preset="fast")
    lengths = [(1, 3000), (2, 711), (1, 2990), (1, 1), (3, 500), (1, 703)]
    waves = [noise(*shape, seed=seed) for seed, shape in enumerate(lengths)]
    waves[4][1] = 0
    cut: dict[str, Any] = {"chunk": 0.03, "seams": seams}
    alone = [model.enhance(w, 16000, preset="fast", seed=seed, **cut, batch_size=1) for seed, w in enumerate(waves)]
    prepared = [model.prepare(w, 16000, seed=seed, **cut) for seed, w in enumerate(waves)]
    calls: list[int] = []
    model.model.register_forward_hook(lambda module, inputs, output: calls.append(len(inputs[0])))
    model.run(prepared, method, **cut, batch_size=4)
    assert max(calls) >= 4
    for recording, expected in zip(prepared, alone, strict=True):
        assert torch.allclose(recording.result(), expected, atol=2e-5 * float(expected.abs().max()))
    assert not prepared[4].result()[1].any()


def test_mono_and_first() -> None:
    model, wave = enhancer(Predictor()), noise(3, 2000)
    assert torch.equal(model.enhance(wave, 16000, channels="mono"), model.enhance(wave.mean(0, keepdim=True), 16000))
    assert torch.equal(model.enhance(wave, 16000, channels="first"), model.enhance(wave[:1], 16000))
    assert torch.equal(model.enhance(wave[0], 16000, channels="mono"), model.enhance(wave[0], 16000))
    with pytest.raises(InputError, match="channels is 'left'; expected one of each, mono, first"):
        model.enhance(wave, 16000, channels="left")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"chunk": "long"}, "or 'auto'"),
        ({"seams": "glue"}, "expected one of context, blend"),
        ({"batch_size": 0}, "batch_size is 0"),
    ],
)
def test_windows_that_cannot_be_made(settings: dict[str, Any], text: str) -> None:
    with pytest.raises(InputError, match=text):
        enhancer(denoiser()).enhance(noise(1, 100), 16000, **settings)
