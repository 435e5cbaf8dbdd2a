"""Recordings that are none, to every verb that reads sound: one sentence each, and the others are done."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from tests.robustness.hostile import Case, Shelf, attack, cases
from tests.robustness.hostile_files import ABSENT, BINARY, DANGLING, FOLDER, LOOP, cut, object_npy, pickled
from tests.robustness.hostile_shelf import wav

soundfile = pytest.importorskip("soundfile")
pytest.importorskip("soxr")


def header(
    *, channels: int = 1, rate: int = 16000, bits: int = 16, align: int = 2, code: int = 1, data: bytes = bytes(400)
) -> bytes:
    """A WAV whose header says what it likes."""
    form = struct.pack("<HHIIHH", code, channels, rate, rate * align % 2**32, align, bits)
    body = b"WAVEfmt " + struct.pack("<I", len(form)) + form + b"data" + struct.pack("<I", len(data)) + data
    return b"RIFF" + struct.pack("<I", len(body)) + body


def sound(*values: float) -> Callable[[Path], None]:
    return lambda path: soundfile.write(path, np.array(values), 16000, subtype="FLOAT")


def flac(path: Path) -> None:
    wav(path.with_suffix(".wav"), 20000)
    data, rate = soundfile.read(path.with_suffix(".wav"))
    path.with_suffix(".wav").unlink()
    soundfile.write(path, data, rate)


UNREADABLE = r"cannot be read as audio \(.*\); expected wav, flac, ogg, mp3 or aiff"
ROWS = [
    ("empty.wav", b"", UNREADABLE),
    ("empty.mp3", b"", UNREADABLE),
    ("text.flac", "no sound at all\n" * 50, UNREADABLE),
    ("binary.wav", BINARY, UNREADABLE),
    ("pickle.wav", pickled(), UNREADABLE),
    ("array.wav", object_npy(), UNREADABLE),
    ("only-a-header.wav", header()[:20], UNREADABLE),
    ("no-data.wav", header(data=b""), "holds no samples; expected at least one"),
    ("65535-channels.wav", header(channels=65535, align=2), UNREADABLE),
    ("no-channels.wav", header(channels=0), UNREADABLE),
    ("no-rate.wav", header(rate=0), "0 Hz|" + UNREADABLE),
    ("4-GHz.wav", header(rate=2**32 - 1), "Hz|" + UNREADABLE),
    ("no-bits.wav", header(bits=0, align=0), UNREADABLE),
    ("unknown-code.wav", header(code=0x4242), UNREADABLE),
    ("cut.flac", cut(flac, 0.4), "ends after|" + UNREADABLE),
    ("nan.wav", sound(0.1, float("nan")), "NaN"),
    ("infinite.wav", sound(0.1, float("inf")), "NaN or infinite"),
    ("folder.wav", FOLDER, "holds no audio files"),
    ("dangling.wav", DANGLING, "no such file"),
    ("loop.wav", LOOP, "loop|symbolic links"),
    ("\u97f3\u697d \u202e\U0001f3b5.wav", b"RIFF", UNREADABLE),
    ("a" * 300 + ".wav", ABSENT, "too long"),
    ("good.txt/below.wav", lambda path: path.parent.write_text("a file"), "no such file"),
]
ENHANCE = "enhance {bad} {wav} -o {out} --model {enhancer} --preset fast --device cpu --quiet"
SPEECH = "evaluate speech --clean {speech} --enhanced {in} --metrics si_sdr --quiet"


@pytest.mark.parametrize("case", cases(ENHANCE, ROWS, kept=["good.wav"]))
def test_enhance(case: Case, shelf: Shelf, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    attack(case, shelf, tmp_path, capfd)


SCORED = [
    ("good.wav", b"", UNREADABLE),
    ("good.flac", cut(flac, 0.4), "ends after|" + UNREADABLE),
    ("good.wav", header(channels=0), UNREADABLE),
    ("good.wav", header(rate=0), "0 Hz|" + UNREADABLE),
    ("good.wav", sound(0.1, float("nan")), "NaN"),
]


@pytest.mark.parametrize("case", cases(SPEECH, SCORED))
def test_evaluate(case: Case, shelf: Shelf, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    attack(case, shelf, tmp_path, capfd)
