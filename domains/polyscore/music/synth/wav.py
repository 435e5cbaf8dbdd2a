"""Sound to a WAV file (RIFF, 16-bit PCM) with the standard library."""

from __future__ import annotations

import os
import wave
from typing import Any

import numpy as np
from numpy.typing import NDArray

from polyscore.errors import InputError
from polyscore.hub.files import atomic_path

__all__ = ["write_wav"]


def write_wav(path: str | os.PathLike[str], waveform: NDArray[Any], rate: int) -> None:
    """Write samples (T,) or (T, channels) in [-1, 1], whole or not at all.

    Raises:
        InputError: another shape, no finite number, or samples beyond [-1, 1] (they would clip).
        PolyscoreError: the place cannot be written.
    """
    samples = np.asarray(waveform, dtype=np.float64)
    top = float(np.abs(samples).max(initial=0.0))
    if samples.ndim not in (1, 2) or not top <= 1:
        raise InputError(f"write_wav: samples {samples.shape} with peak {top:.4g}; expected (T,) or (T, channels) within [-1, 1]")
    with atomic_path(path) as name, wave.open(os.fspath(name), "wb") as file:
        file.setnchannels(1 if samples.ndim == 1 else samples.shape[1])
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(np.rint(samples * 32767).astype("<i2").tobytes())
