"""Nothing is destroyed: every kind of recording through `polyscore enhance`, each with its expected result."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import soundfile
import torch
from torch import Tensor

from polyscore import hub
from polyscore.audio import SpeechEnhancer
from polyscore.audio.codec import SpectrogramCodec
from polyscore.audio.denoiser import SpectrogramDenoiser
from polyscore.audio.io import AudioFormat, read, write
from polyscore.audio.networks.ncsnpp import NCSNpp
from polyscore.cli.main import main
from polyscore.processes import OUVE

WAV = AudioFormat(16000, 1, "WAV", "PCM_16")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A saved diffusion enhancer, tiny and untrained."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = NCSNpp(nf=4, ch_mult=(1, 1), num_res_blocks=1, attn_resolutions=(), init_scale=0.1)
    denoiser = SpectrogramDenoiser(network, OUVE(), predicts="score")
    enhancer = SpeechEnhancer(denoiser, codec=SpectrogramCodec(n_fft=62, hop=16), frame_multiple=4)
    return hub.save(tmp_path_factory.mktemp("models") / "tiny", enhancer)


def sound(form: AudioFormat, samples: int | None = None, level: float = 0.1) -> Callable[[Path], None]:
    """Writes noise in a format: a tenth of a second, or so many samples."""
    count = form.rate // 10 if samples is None else samples
    wave = level * torch.randn(form.channels, count, generator=torch.Generator().manual_seed(1))
    return lambda path: write(path, wave, form)


def silent(clean: Tensor) -> bool:
    return not clean.any()


def heard(clean: Tensor) -> bool:
    return bool(torch.isfinite(clean).all()) and bool(clean.flatten(1).any(dim=1).all())


Check = Callable[[Tensor], bool]
GOOD: list[tuple[str, AudioFormat, int | None, float, Check]] = [
    ("silence.wav", WAV, None, 0.0, silent),
    ("silent-stereo-48k.flac", AudioFormat(48000, 2, "FLAC", "PCM_24"), None, 0.0, silent),
    ("1-sample.wav", WAV, 1, 0.1, heard),
    ("2-samples-48k.wav", replace(WAV, rate=48000), 2, 0.1, heard),
    ("0.1-s.wav", WAV, None, 0.1, heard),
    ("stereo.wav", replace(WAV, channels=2), None, 0.1, heard),
    ("8-channels.wav", replace(WAV, channels=8), None, 0.1, heard),
    *((f"{rate}-Hz.wav", replace(WAV, rate=rate), None, 0.1, heard) for rate in (8000, 11025, 44100, 48000, 96000, 192000)),
    ("24-bit.wav", replace(WAV, subtype="PCM_24"), None, 0.1, heard),
    ("float.wav", replace(WAV, subtype="FLOAT"), None, 0.1, heard),
    ("float-over-full-scale.wav", replace(WAV, subtype="FLOAT"), None, 3.0, heard),
    ("music.mp3", AudioFormat(44100, 2, "MP3", "MPEG_LAYER_III"), None, 0.1, heard),
    ("sound.ogg", AudioFormat(44100, 1, "OGG", "VORBIS"), None, 0.1, heard),
    ("sound.flac", AudioFormat(96000, 1, "FLAC", "PCM_24"), None, 0.1, heard),
    ("sound.aiff", AudioFormat(44100, 2, "AIFF", "PCM_16"), None, 0.1, heard),
]


@pytest.mark.parametrize(("name", "form", "samples", "level", "expected"), GOOD, ids=[row[0] for row in GOOD])
def test_recordings_come_back_as_they_were_stored(
    model: Path, tmp_path: Path, name: str, form: AudioFormat, samples: int | None, level: float, expected: Check
) -> None:
    source = tmp_path / "in" / name
    sound(form, samples, level)(source)
    noisy, stored = read(source)
    assert enhance(source, tmp_path, model) == 0
    clean, found = read(tmp_path / "out" / name)
    assert found == stored
    assert clean.shape == noisy.shape or form.container == "MP3"  # an encoder pads to its frames
    assert expected(clean)


def empty_folder(path: Path) -> None:
    (path / "sub").mkdir(parents=True)


def truncated(path: Path) -> None:
    sound(AudioFormat(16000, 1, "FLAC", "PCM_16"), 20000)(path)
    path.write_bytes(path.read_bytes()[:9000])


def locked(path: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("nothing is forbidden to root")
    sound(WAV)(path)
    path.chmod(0)


BAD: list[tuple[str, Callable[[Path], object], str]] = [
    ("corrupt.wav", lambda path: path.write_bytes(b"RIFF\0\0and nothing more"), "cannot be read as audio"),
    ("cut.flac", truncated, "cannot be read as audio|ends after"),
    ("empty.wav", lambda path: path.write_bytes(b""), "cannot be read as audio"),
    ("header.wav", lambda path: soundfile.write(path, [], 16000), "holds no samples"),
    ("text.mp3", lambda path: path.write_text("no sound at all\n" * 50), "cannot be read as audio"),
    ("nan.wav", lambda path: soundfile.write(path, [0.1, math.nan], 16000, subtype="FLOAT"), "1 of the wave's 2 samples are NaN"),
    ("folder", empty_folder, "the folder holds no audio files"),
    ("folder.wav", empty_folder, "the folder holds no audio files"),
    ("locked.wav", locked, "no permission to read it"),
    ("absent.wav", lambda path: None, "no such file"),
]


@pytest.mark.parametrize(("name", "make", "text"), BAD, ids=[row[0] for row in BAD])
def test_what_cannot_be_read_is_named_and_the_rest_is_done(
    model: Path, tmp_path: Path, name: str, make: Callable[[Path], object], text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "in").mkdir()
    source, good = tmp_path / "in" / name, tmp_path / "in" / "good.wav"
    make(source)
    sound(WAV)(good)
    assert enhance(source, tmp_path, model, good) == 1
    error = capsys.readouterr().err.strip()
    assert re.search(text, error)
    assert name in error
    assert len(error.splitlines()) == 1
    assert [path.name for path in (tmp_path / "out").rglob("*")] == ["good.wav"]


def enhance(source: Path, folder: Path, model: Path, *more: Path) -> int:
    words = [str(source), *map(str, more), "-o", str(folder / "out"), "--model", str(model)]
    return main(["enhance", *words, "--preset", "fast", "--quiet", "--device", "cpu"])
