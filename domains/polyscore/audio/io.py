"""Sound files in and out, and exact changes of the sampling rate.

Files are read and written by libsndfile (wav, flac, ogg, mp3, aiff, ...), resampling is soxr's high-quality
band-limited interpolation, the one of the published speech systems. What is written keeps the format, the subtype
(16 bit, 24 bit, float, Vorbis, ...), the rate and the channels of what was read, and appears under its name only when
complete.

Waves are float32 tensors (C, L) with full scale 1; rates are in Hz.
"""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from polyscore.audio.chunks import sound_bytes
from polyscore.errors import InputError, MissingExtraError
from polyscore.hub.files import atomic_path

try:
    import soundfile
    import soxr
except ImportError as error:
    raise MissingExtraError(f"sound files need the package {error.name}: pip install 'polyscore[audio]'") from error

__all__ = ["SUFFIXES", "AudioFormat", "Reader", "decode", "encode", "format_for", "missing", "probe", "read", "resample", "write"]

_CONTAINERS = {
    ".wav": "WAV",
    ".flac": "FLAC",
    ".ogg": "OGG",
    ".opus": "OGG",
    ".mp3": "MP3",
    ".aiff": "AIFF",
    ".aif": "AIFF",
    ".aifc": "AIFF",
    ".au": "AU",
    ".w64": "W64",
    ".caf": "CAF",
    ".rf64": "RF64",
}

#: File name endings looked for in folders; a file named explicitly may have any.
SUFFIXES = frozenset(_CONTAINERS)

_BLOCK = 1 << 18  # frames read at once: what a header promises is never allocated


@dataclass(frozen=True)
class AudioFormat:
    """How a file stores its samples: what ``write`` needs to store others the same way.

    Attributes:
        rate: samples per second and channel (Hz).
        channels: number of channels.
        container: libsndfile's name of the file format ("WAV", "FLAC", "OGG", "MP3", ...).
        subtype: libsndfile's name of the sample encoding ("PCM_16", "PCM_24", "FLOAT", "VORBIS", ...).
    """

    rate: int
    channels: int
    container: str = "WAV"
    subtype: str = "PCM_16"


class Reader(soundfile.SoundFile):  # type: ignore[misc]
    """A file that is read on from where it was left, piece by piece, without a jump.

    `soundfile` jumps after every read, if only to where it is. An MP3 decoder that jumps has lost what its frames lean on, and
    gives up to 0.25 s of silence.
    """

    def seekable(self) -> bool:
        """False: `read` then leaves the position alone."""
        return False

    def skip(self, count: int) -> None:
        """Leave ``count`` samples out; those of an MP3 are decoded for what comes after them."""
        if self.format == "MP3":
            self.read(count, dtype="float32")
        else:
            self.seek(count, soundfile.SEEK_CUR)


def read(path: str | os.PathLike[str]) -> tuple[Tensor, AudioFormat]:
    """Read a whole file: the wave (C, L), float32, and how it was stored.

    Raises:
        InputError: no such file, not audio, damaged, or empty.
    """
    path = _existing(path)
    return _samples(path, path)


def probe(path: str | os.PathLike[str]) -> tuple[AudioFormat, int]:
    """How a file is stored and how many samples per channel its header promises; the samples are not read.

    Raises:
        InputError: no such file, not audio, or empty.
    """
    path = _existing(path)
    try:
        with soundfile.SoundFile(path) as file:
            form, frames = AudioFormat(file.samplerate, file.channels, file.format, file.subtype), file.frames
    except soundfile.LibsndfileError as error:
        raise _unreadable(path, path, error) from error
    if not frames:
        raise InputError(f"{path}: holds no samples; expected at least one")
    return form, frames


def missing(source: str | os.PathLike[str] | bytes, found: int) -> int:
    """Samples per channel that a file's header promises beyond the ``found`` ones that `read` or `decode` gave: it was cut off.

    0 where nothing lacks, and where the format does not say. MP3 counts in frames of 1152 samples; less than two are not counted.

    Raises:
        InputError: no such file.
    """
    stream = BytesIO(source) if isinstance(source, bytes) else _existing(source).open("rb")
    with stream:
        size = sound_bytes(stream)
        stream.seek(0)
        if size is not None:
            short = max(0, size.promised - size.there)
            return round(found * short / max(1, size.there)) if size.there else 0
        with soundfile.SoundFile(stream) as file:
            lacking: int = file.frames - found if file.format == "MP3" else 0
    return lacking if lacking > 2 * 1152 else 0


def _existing(path: str | os.PathLike[str]) -> Path:
    path = Path(path)
    if not path.exists():
        raise InputError(f"{path}: no such file")
    if path.is_dir():
        raise InputError(f"{path}: is a folder; expected an audio file")
    return path


def _unreadable(source: Path | BytesIO, name: Path | str, error: Exception) -> InputError:
    if isinstance(source, Path):
        try:  # of a forbidden file libsndfile says "System error"
            source.open("rb").close()
        except PermissionError:
            return InputError(f"{name}: no permission to read it")
        except OSError as reason:
            return InputError(f"{name}: cannot be read ({reason.strerror})")
    return InputError(f"{name}: cannot be read as audio ({_reason(error)}); expected wav, flac, ogg, mp3 or aiff")


def decode(data: bytes, name: str = "the input") -> tuple[Tensor, AudioFormat]:
    """The same of a file's bytes; ``name`` is what errors call it.

    Raises:
        InputError: not audio, damaged, or empty.
    """
    return _samples(BytesIO(data), name)


def _samples(source: Path | BytesIO, name: Path | str) -> tuple[Tensor, AudioFormat]:
    try:
        with Reader(source) as file:
            form = AudioFormat(file.samplerate, file.channels, file.format, file.subtype)
            promised = file.frames
            blocks = []
            while len(block := file.read(_BLOCK, dtype="float32", always_2d=True)):
                blocks.append(block)
    except soundfile.LibsndfileError as error:
        raise _unreadable(source, name, error) from error
    found = sum(len(block) for block in blocks)
    if not found:
        raise InputError(f"{name}: holds no samples; expected at least one")
    # Lossless files know their length; in compressed streams the count is an estimate.
    if form.container == "FLAC" and found < promised:
        raise InputError(f"{name}: ends after {found} of {promised} samples: the file is damaged or incomplete")
    return torch.from_numpy(np.ascontiguousarray(np.concatenate(blocks).T)), form


def write(path: str | os.PathLike[str], wave: Tensor, form: AudioFormat) -> None:
    """Write ``wave`` (C, L) as ``form`` says; integer formats clip at full scale.

    The file appears complete or not at all.

    Raises:
        InputError: the wave has other channels than ``form``, or the format cannot hold that subtype, rate or number of
            channels.
        PolyscoreError: the place cannot be written.
    """
    # Encoded in memory: of a full disk libsndfile says "System error" at best, and nothing if it fills while an encoder closes.
    encoded = encode(wave, form, path)
    with atomic_path(path) as name:
        name.write_bytes(encoded)


def encode(wave: Tensor, form: AudioFormat, path: str | os.PathLike[str] = "the output") -> memoryview:
    """The bytes of the file that `write` writes; ``path`` is what errors call it.

    Raises:
        InputError: as `write`.
    """
    if wave.dim() != 2 or wave.shape[0] != form.channels:
        raise InputError(f"{path}: the wave has shape {tuple(wave.shape)}; expected ({form.channels}, samples)")
    samples = wave.detach().to("cpu", torch.float32).T.contiguous().numpy()
    encoded = BytesIO()
    try:
        soundfile.write(encoded, samples, form.rate, subtype=form.subtype, format=form.container)
    except (soundfile.LibsndfileError, ValueError) as error:
        raise InputError(
            f"{path}: cannot be written as {form.container} {form.subtype} with {form.channels} channels at "
            f"{form.rate} Hz ({_reason(error)}); choose another format, wav for instance"
        ) from error
    return encoded.getbuffer()


def format_for(path: str | os.PathLike[str], form: AudioFormat) -> AudioFormat:
    """``form`` with the container that the ending of ``path`` asks for, and the nearest subtype that one can hold.

    Raises:
        InputError: an ending that names no audio format.
    """
    suffix = Path(path).suffix.lower()
    container = _CONTAINERS.get(suffix)
    if container is None:
        raise InputError(f"{path}: '{suffix}' names no audio format; expected {', '.join(sorted(_CONTAINERS))}")
    if form.container == container or (container == "WAV" and form.container in ("WAVEX", "RF64")):
        return form
    subtype = "OPUS" if suffix == ".opus" else form.subtype
    if not soundfile.check_format(container, subtype):
        subtype = soundfile.default_subtype(container)
    return AudioFormat(form.rate, form.channels, container, subtype)


def resample(wave: Tensor, rate: int, target: int, *, length: int | None = None) -> Tensor:
    """Band-limited change of the sampling rate of ``wave`` (C, L) from ``rate`` to ``target`` Hz.

    The result has ``length`` samples, or ceil(L target / rate), at least one; resampling there and back with
    ``length=L`` keeps every sample in its place. Equal rates return the wave itself.

    Raises:
        InputError: a rate that is not positive.
    """
    if rate <= 0 or target <= 0:
        raise InputError(f"resample: rates {rate} and {target} Hz; expected positive numbers")
    if length is None:
        length = max(1, math.ceil(wave.shape[-1] * target / rate))
    if rate != target:
        changed = soxr.resample(wave.detach().cpu().T.contiguous().numpy(), rate, target, quality="HQ")
        wave = torch.from_numpy(np.ascontiguousarray(changed.T)).to(wave)
    missing = length - wave.shape[-1]
    if missing > 0:  # soxr rounds the length its own way, by a sample at most
        wave = torch.nn.functional.pad(wave, (0, missing))
    return wave[..., :length]


def _reason(error: Exception) -> str:
    text = getattr(error, "error_string", None) or str(error)
    return str(text).strip().rstrip(".").splitlines()[0]
