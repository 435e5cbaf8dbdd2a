"""Nothing is destroyed: every kind of recording through `polyscore enhance`, each with its expected result."""

from __future__ import annotations

import math
import os
import re
import shutil
import tempfile
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


def cut(form: AudioFormat, keep: float = 0.5) -> Callable[[Path], None]:
    """Writes a second of sound and cuts the file off."""

    def make(path: Path) -> None:
        sound(form, form.rate)(path)
        data = path.read_bytes()
        path.write_bytes(data[: round(keep * len(data))])

    return make


@pytest.mark.parametrize(
    ("name", "form"),
    [
        ("cut.wav", AudioFormat(16000, 2, "WAV", "PCM_24")),
        ("cut.aiff", AudioFormat(44100, 1, "AIFF", "PCM_16")),
        ("cut.mp3", AudioFormat(44100, 1, "MP3", "MPEG_LAYER_III")),
    ],
)
def test_a_file_that_was_cut_off_is_done_as_far_as_it_goes_and_that_is_said(
    model: Path, tmp_path: Path, name: str, form: AudioFormat, capfd: pytest.CaptureFixture[str]
) -> None:
    source = tmp_path / "in" / name
    cut(form)(source)
    there = read(source)[0].shape[-1]
    capfd.readouterr()  # what libmpg123 says to the lines above
    assert enhance(source, tmp_path, model) == 0
    error = capfd.readouterr().err
    assert re.fullmatch(rf"polyscore enhance: .*{name}: ends after {there} of \d+ samples, .* incomplete; what is .*\n", error)
    promised = int(error.split(" of ")[1].split()[0])
    assert promised == pytest.approx(form.rate, abs=2000 if form.container == "MP3" else 1)  # an encoder pads to its frames
    assert read(tmp_path / "out" / name)[0].shape[-1] == pytest.approx(there, abs=0 if form.container != "MP3" else 2000)


@pytest.mark.parametrize("size", [0, 0x7FFFFFFF, 0xFFFFFFFF])
def test_headers_of_programs_that_wrote_into_a_pipe_promise_nothing(
    model: Path, tmp_path: Path, size: int, capfd: pytest.CaptureFixture[str]
) -> None:
    source = tmp_path / "in" / "piped.wav"
    sound(WAV)(source)
    data = bytearray(source.read_bytes())
    place = data.index(b"data") + 4
    data[place : place + 4] = size.to_bytes(4, "little")
    source.write_bytes(data)
    code = enhance(source, tmp_path, model)
    assert "ends after" not in capfd.readouterr().err
    if size:
        assert code == 0
        assert read(tmp_path / "out" / "piped.wav")[0].shape[-1] == 1600


def false_mp3(path: Path) -> None:
    """Begins like one, and goes on as noise: libmpg123 comments on every byte that it skips."""
    generator = torch.Generator().manual_seed(0)
    noise = torch.randint(0, 256, (20000,), generator=generator, dtype=torch.uint8)
    path.write_bytes(b"ID3\x04\x00\x00\x00\x00\x02\x00" + bytes(noise.tolist()))


def text_mp3(path: Path) -> None:
    path.write_text("no sound at all\n" * 50)


@pytest.mark.parametrize("make", [false_mp3, text_mp3])
@pytest.mark.parametrize("dry", [False, True])
def test_what_c_libraries_print_does_not_reach_the_terminal(
    model: Path, tmp_path: Path, make: Callable[[Path], None], dry: bool, capfd: pytest.CaptureFixture[str]
) -> None:
    make(tmp_path / "false.mp3")
    words = ["enhance", str(tmp_path / "false.mp3"), "-o", str(tmp_path / "out"), "--model", str(model), "--device", "cpu"]
    assert main([*words, "--quiet", *(["--dry-run"] if dry else [])]) == 1
    error = capfd.readouterr().err
    assert error.count("\n") == 1
    assert "false.mp3: cannot be read as audio" in error


@pytest.mark.skipif(not hasattr(os, "seteuid") or os.geteuid() != 0, reason="only root can be another user")
def test_a_file_that_another_user_may_not_read(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        shutil.copytree(model, folder / "model")
        sound(WAV)(folder / "locked.wav")
        (folder / "locked.wav").chmod(0)
        for path in (folder, folder / "model", *(folder / "model").iterdir()):
            path.chmod(0o777)
        os.seteuid(65534)
        try:
            assert enhance(folder / "locked.wav", folder, folder / "model") == 1
        finally:
            os.seteuid(0)
    assert "locked.wav: no permission to read it" in capsys.readouterr().err


def enhance(source: Path, folder: Path, model: Path, *more: Path) -> int:
    words = [str(source), *map(str, more), "-o", str(folder / "out"), "--model", str(model)]
    return main(["enhance", *words, "--preset", "fast", "--quiet", "--device", "cpu"])
