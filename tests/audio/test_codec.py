"""The codec inverts itself, keeps phases, and takes waves of any length."""

import pytest
import torch

from polyscore.audio.codec import SpectrogramCodec, pad_frames
from polyscore.errors import InputError

CODECS = [
    SpectrogramCodec(),
    SpectrogramCodec(window="sqrthann"),
    SpectrogramCodec(transform="log"),
    SpectrogramCodec(transform="none"),
    SpectrogramCodec(exponent=1.0),
    SpectrogramCodec(1534, 384, exponent=0.667, factor=0.065),
]


def _noise(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(3))


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("length", [1, 2, 200, 255, 256, 509, 7800])
def test_decode_inverts_encode_at_any_length(codec: SpectrogramCodec, length: int) -> None:
    wave = 0.3 * _noise(2, 3, length)
    spec = codec.encode(wave)
    assert spec.shape == (2, 3, codec.bins, codec.frames(length))
    assert (codec.decode(spec, length) - wave).abs().max() < 1e-9


@pytest.mark.parametrize("codec", CODECS)
def test_padding_frames_do_not_change_the_wave(codec: SpectrogramCodec) -> None:
    wave = _noise(1, 5000)
    for mode in ("zeros", "reflect"):
        assert (codec.decode(pad_frames(codec.encode(wave), 64, mode), 5000) - wave).abs().max() < 1e-9


@pytest.mark.parametrize("codec", CODECS)
def test_transforms_keep_the_phase_and_invert(codec: SpectrogramCodec) -> None:
    spec = torch.view_as_complex(_noise(256, 20, 2))
    compressed = codec.forward_transform(spec)
    assert (torch.angle(compressed) - torch.angle(spec)).abs().max() < 1e-12
    assert (codec.back_transform(compressed) - spec).abs().max() < 1e-10


def test_closed_forms_of_the_magnitude() -> None:
    spec = torch.tensor([3.0 + 4.0j], dtype=torch.complex128)
    for codec, expected in (
        (SpectrogramCodec(), 0.15 * 5**0.5),
        (SpectrogramCodec(transform="log"), 0.15 * torch.tensor(6.0).log()),
    ):
        assert codec.forward_transform(spec).abs().item() == pytest.approx(float(expected), rel=1e-6)
    assert torch.equal(SpectrogramCodec(transform="none").forward_transform(spec), spec)


@pytest.mark.parametrize("codec", CODECS)
def test_silence_stays_silence_with_finite_gradients(codec: SpectrogramCodec) -> None:
    wave = torch.zeros(1, 4000, requires_grad=True)
    out = codec.decode(codec.encode(wave), 4000)
    assert not out.any()
    torch.autograd.backward(out.square().sum())
    assert wave.grad is not None
    assert torch.isfinite(wave.grad).all()


def test_reflection_mirrors_without_repeating_the_last_frame() -> None:
    frames = torch.arange(5.0)[None]
    assert pad_frames(frames, 8, "reflect").tolist() == [[0, 1, 2, 3, 4, 3, 2, 1]]
    assert pad_frames(frames[:, :2], 8, "reflect").tolist() == [[0, 1, 0, 1, 0, 1, 0, 1]]
    assert pad_frames(frames[:, :1], 4, "reflect").tolist() == [[0, 0, 0, 0]]
    assert pad_frames(frames, 8).tolist() == [[0, 1, 2, 3, 4, 0, 0, 0]]


def test_codec_is_a_value() -> None:
    first, second = SpectrogramCodec(), SpectrogramCodec()
    first.encode(torch.ones(600))
    assert first == second
    assert hash(first) == hash(second)


def test_errors_name_what_was_found() -> None:
    with pytest.raises(InputError, match="hop is 400"):
        SpectrogramCodec(510, 400)
    with pytest.raises(InputError, match="transform is 'cube'"):
        SpectrogramCodec(transform="cube")  # type: ignore[arg-type]
    with pytest.raises(InputError, match=r"torch.int16"):
        SpectrogramCodec().encode(torch.zeros(10, dtype=torch.int16))
