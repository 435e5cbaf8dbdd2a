"""Streams equal the whole; their latency is what is stated."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn

from polyscore.audio import SpeechEnhancer
from polyscore.audio.codec import SpectrogramCodec
from polyscore.audio.denoiser import SpectrogramDenoiser
from polyscore.audio.networks.ncsnpp import NCSNpp
from polyscore.errors import InputError
from polyscore.processes import OUVE


class Smooth(nn.Module):
    """A moving average of 161 samples."""

    def forward(self, wave: Tensor) -> Tensor:
        return nn.functional.avg_pool1d(wave[:, None], 161, 1, 80, count_include_pad=True)[:, 0]


def diffusion() -> SpeechEnhancer:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = NCSNpp(nf=4, ch_mult=(1, 1), num_res_blocks=1, attn_resolutions=(), init_scale=0.1)
    denoiser = SpectrogramDenoiser(network, OUVE())
    codec = SpectrogramCodec(n_fft=62, hop=16)
    return SpeechEnhancer(denoiser, codec=codec, frame_multiple=4, window_seconds=0.2, context_seconds=0.05).eval()


def noise(channels: int, samples: int) -> Tensor:
    wave = 0.1 * torch.randn(channels, samples, generator=torch.Generator().manual_seed(samples))
    wave[:, 0] = 0.9  # the level is known from the first sample on
    return wave


def blocks(wave: Tensor, size: int) -> Iterator[Tensor]:
    for start in range(0, wave.shape[-1], size):
        yield wave[:, start : start + size]


@pytest.mark.parametrize("size", [160, 999, 5000])
@pytest.mark.parametrize("samples", [1, 3000, 16001])
def test_a_stream_is_the_whole_in_pieces(size: int, samples: int) -> None:
    enhancer, wave = SpeechEnhancer(Smooth(), window_seconds=0.25, context_seconds=0.05), noise(2, samples)
    out = torch.cat(list(enhancer.stream(blocks(wave, size))), dim=-1)
    assert out.shape == wave.shape
    assert torch.allclose(out, enhancer.enhance(wave, 16000), atol=1e-6)


def test_a_diffusion_model_draws_the_same_noise() -> None:
    enhancer, wave = diffusion(), noise(2, 9000)
    out = torch.cat(list(enhancer.stream(blocks(wave, 700), preset="fast", seed=5)), dim=-1)
    whole = enhancer.enhance(wave, 16000, preset="fast", seed=5)
    assert torch.allclose(out, whole, atol=1e-5 * float(whole.abs().max()))


@pytest.mark.parametrize("chunk", [0.1, 0.3])
def test_nothing_leaves_later_than_stated(chunk: float) -> None:
    enhancer, wave = SpeechEnhancer(Smooth(), context_seconds=0.04), noise(1, 16000)
    arrived, sent, waits = 0, 0, []

    def arriving() -> Iterator[Tensor]:
        nonlocal arrived
        for block in blocks(wave, 10):
            arrived += block.shape[-1]
            yield block

    for out in enhancer.stream(arriving(), chunk=chunk):
        if arrived < 16000:
            waits.append(arrived - sent)  # of the first sample that leaves now
        sent += out.shape[-1]
    latency = enhancer.latency(chunk) * 16000
    assert max(waits) <= latency + 10
    assert max(waits) > latency - 400  # the statement is not idle


@pytest.mark.parametrize("rate", [8000, 44100])
def test_other_rates_keep_length_and_place(rate: int) -> None:
    enhancer = SpeechEnhancer(Smooth(), window_seconds=0.25, context_seconds=0.05)
    t = torch.arange(rate) / rate
    wave = 0.5 * torch.sin(2 * torch.pi * 200 * t)[None]
    out = torch.cat(list(enhancer.stream(blocks(wave, 777), rate)), dim=-1)
    assert out.shape == wave.shape
    whole = enhancer.enhance(wave, rate, high_band="drop")
    inside = slice(rate // 10, -rate // 10)
    assert (out - whole)[:, inside].abs().max() < 2e-3


def test_silence_and_bad_blocks() -> None:
    enhancer = SpeechEnhancer(Smooth())
    assert not torch.cat(list(enhancer.stream([torch.zeros(2, 500)] * 3)), dim=-1).any()
    assert list(enhancer.stream([])) == []
    for bad in (torch.zeros(3), torch.zeros(2, 3, dtype=torch.int16), torch.full((1, 3), float("nan"))):
        with pytest.raises(InputError, match="stream: a block"):
            list(enhancer.stream([bad]))
    with pytest.raises(InputError, match="all of the same channels"):
        list(enhancer.stream([torch.zeros(1, 9), torch.zeros(2, 9)]))
