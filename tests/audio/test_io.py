"""Sound files: what is written is what was read, damaged files give one sentence, resampling keeps samples in place."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from torch import Tensor

from polyscore.audio.io import AudioFormat, Reader, format_for, read, resample, write
from polyscore.errors import InputError, PolyscoreError


def tones(rate: int, seconds: float = 0.5, channels: int = 2) -> Tensor:
    """A different tone in each channel, far below half of the rate."""
    t = torch.arange(round(rate * seconds)) / rate
    return torch.stack([0.3 * torch.sin(2 * math.pi * (300 + 200 * c) * t) for c in range(channels)])


@pytest.mark.parametrize(
    ("name", "form", "error"),
    [
        ("a.wav", AudioFormat(16000, 1, "WAV", "PCM_16"), 2**-15),
        ("a.wav", AudioFormat(44100, 2, "WAV", "PCM_24"), 2**-23),
        ("a.wav", AudioFormat(48000, 8, "WAVEX", "FLOAT"), 0.0),
        ("a.wav", AudioFormat(8000, 1, "WAV", "ULAW"), 0.02),
        ("a.flac", AudioFormat(192000, 2, "FLAC", "PCM_24"), 2**-23),
        ("a.aiff", AudioFormat(22050, 3, "AIFF", "PCM_16"), 2**-15),
        ("a.ogg", AudioFormat(44100, 2, "OGG", "VORBIS"), 0.05),
        ("a.opus", AudioFormat(48000, 1, "OGG", "OPUS"), 0.05),
        ("a.mp3", AudioFormat(44100, 2, "MP3", "MPEG_LAYER_III"), 0.05),
    ],
    ids=lambda value: value.subtype if isinstance(value, AudioFormat) else None,
)
def test_a_file_comes_back_in_the_format_it_had(tmp_path: Path, name: str, form: AudioFormat, error: float) -> None:
    wave = tones(form.rate, channels=form.channels)
    write(tmp_path / name, wave, form)
    again, found = read(tmp_path / name)
    assert found == form
    assert again.shape == wave.shape
    inside = slice(form.rate // 20, -form.rate // 20)  # lossy codecs ring at the ends
    assert (again - wave)[:, inside].abs().max() <= error
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_integer_formats_clip_and_float_formats_do_not(tmp_path: Path) -> None:
    loud = torch.tensor([[0.5, 1.5, -1.5]])
    write(tmp_path / "i.wav", loud, AudioFormat(16000, 1, "WAV", "PCM_16"))
    write(tmp_path / "f.wav", loud, AudioFormat(16000, 1, "WAV", "FLOAT"))
    assert torch.allclose(read(tmp_path / "i.wav")[0], torch.tensor([[0.5, 1.0, -1.0]]), atol=1e-4)
    assert torch.equal(read(tmp_path / "f.wav")[0], loud)


def test_what_cannot_be_read_is_said_in_one_sentence(tmp_path: Path) -> None:
    write(tmp_path / "good.flac", torch.rand(1, 16000) - 0.5, AudioFormat(16000, 1, "FLAC", "PCM_16"))
    half = (tmp_path / "good.flac").read_bytes()
    (tmp_path / "cut.flac").write_bytes(half[: len(half) // 2])
    (tmp_path / "text.wav").write_text("not audio at all " * 50)
    (tmp_path / "empty.wav").write_bytes(b"")
    soundfile.write(tmp_path / "nothing.wav", np.zeros((0, 1)), 16000)
    expected = {
        "cut.flac": "damaged|cannot be read",
        "text.wav": "cannot be read as audio",
        "empty.wav": "cannot be read as audio",
        "nothing.wav": "holds no samples",
        "absent.wav": "no such file",
        ".": "is a folder",
    }
    for name, text in expected.items():
        with pytest.raises(InputError, match=text) as caught:
            read(tmp_path / name)
        assert str(tmp_path) in str(caught.value)
        assert "\n" not in str(caught.value)


def test_a_header_that_promises_too_much_is_not_believed(tmp_path: Path) -> None:
    write(tmp_path / "a.wav", tones(16000, channels=1), AudioFormat(16000, 1))
    data = bytearray((tmp_path / "a.wav").read_bytes())
    data[40:44] = (0x7FFFFFFE).to_bytes(4, "little")  # the size of the data chunk: 2 GB
    (tmp_path / "a.wav").write_bytes(data)
    assert read(tmp_path / "a.wav")[0].shape == (1, 8000)


def test_what_a_format_cannot_hold_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be written as MP3"):
        write(tmp_path / "a.mp3", torch.zeros(1, 96000), AudioFormat(96000, 1, "MP3", "MPEG_LAYER_III"))
    with pytest.raises(InputError, match=r"expected \(2, samples\)"):
        write(tmp_path / "a.wav", torch.zeros(1, 10), AudioFormat(16000, 2))
    (tmp_path / "folder.wav").mkdir()
    with pytest.raises(PolyscoreError, match="folder"):
        write(tmp_path / "folder.wav", torch.zeros(1, 10), AudioFormat(16000, 1))
    assert [path.name for path in tmp_path.iterdir()] == ["folder.wav"]


def test_another_ending_asks_for_another_format() -> None:
    form = AudioFormat(44100, 2, "WAV", "PCM_24")
    assert format_for("x.flac", form) == AudioFormat(44100, 2, "FLAC", "PCM_24")
    assert format_for("x.mp3", form).subtype == "MPEG_LAYER_III"
    assert format_for("x.wav", AudioFormat(44100, 2, "WAVEX", "FLOAT")).container == "WAVEX"
    with pytest.raises(InputError, match="names no audio format"):
        format_for("x.txt", form)


@pytest.mark.parametrize("rate", [8000, 11025, 22050, 44100, 48000, 192000])
@pytest.mark.parametrize("length", [1, 2, 3, 1000, 7919])
def test_there_and_back_keeps_the_length(rate: int, length: int) -> None:
    wave = torch.linspace(-1, 1, length)[None]
    low = resample(wave, rate, 16000)
    assert low.shape[-1] == max(1, math.ceil(length * 16000 / rate))
    assert resample(low, 16000, rate, length=length).shape == wave.shape


@pytest.mark.parametrize("rate", [22050, 44100, 48000, 192000])
def test_there_and_back_keeps_every_sample_in_its_place(rate: int) -> None:
    wave = tones(rate)
    again = resample(resample(wave, rate, 16000), 16000, rate, length=wave.shape[-1])
    inside = slice(rate // 50, -rate // 50)
    assert (again - wave)[:, inside].abs().max() < 1e-3  # one sample of delay would be 2e-2 and more


def test_a_long_mp3_has_no_gap(tmp_path: Path) -> None:
    """Files are read in blocks, and an MP3 decoder that is made to jump to where it is begins anew, with silence."""
    path = tmp_path / "a.mp3"
    soundfile.write(path, tones(16000, 40.0)[0].numpy(), 16000)
    whole = torch.from_numpy(soundfile.read(path, dtype="float32")[0])  # in one piece
    assert (read(path)[0][0] - whole).abs().max() < 1e-5
    with Reader(path) as file:
        file.skip(20000)
        part = torch.from_numpy(file.read(5000, dtype="float32"))
    assert (part - whole[20000:25000]).abs().max() < 1e-5


def test_equal_rates_change_nothing_and_rates_must_be_positive() -> None:
    wave = tones(16000)
    assert resample(wave, 16000, 16000) is not None
    assert torch.equal(resample(wave, 16000, 16000), wave)
    with pytest.raises(InputError, match="expected positive numbers"):
        resample(wave, 0, 16000)
