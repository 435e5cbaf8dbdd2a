"""Any stretch of a recording at another rate, without reading the rest.

With both rates divided by their greatest common divisor, r of the file and R wanted, sample kR of the result and sample kr of
the file are of one moment. A stretch is read from such a moment on, `MARGIN` seconds too early and too late, so that what is
returned equals the same stretch of the whole file resampled, but for what the filter still hears beyond the margin. Only MP3
must be decoded from its beginning.
"""

from __future__ import annotations

import math
from pathlib import Path

import soundfile
import torch
from torch import Tensor

from polyscore.audio.data.speech import resample
from polyscore.audio.io import Reader, probe
from polyscore.errors import InputError

__all__ = ["Source"]

MARGIN = 0.05  # s


class Source:
    """The first channel of a file at `rate` Hz.

    Attributes:
        stored: the file's own rate (Hz).
        length: samples it has at `rate`.

    Raises:
        InputError: no such file, not audio, empty or damaged.
    """

    def __init__(self, path: Path, rate: int) -> None:
        form, self._frames = probe(path)
        self.path, self.rate, self.stored = path, rate, form.rate
        self._exact = form.container not in ("MP3", "OGG")  # of these streams the header's length is an estimate
        divisor = math.gcd(form.rate, rate)
        self._from, self._to = form.rate // divisor, rate // divisor
        self.length = math.ceil(self._frames * self._to / self._from)

    def read(self, start: int, count: int) -> Tensor:
        """Samples `start` to `start + count`, (count,), float32.

        Raises:
            InputError: the file ends early or holds values that are no numbers.
        """
        margin = math.ceil(MARGIN * self.rate) if self.stored != self.rate else 0
        first = max(start - margin, 0) // self._to
        last = math.ceil((start + count + margin) / self._to)
        begin, end = first * self._from, min(last * self._from, self._frames)
        try:
            with Reader(self.path) as file:
                file.skip(begin)
                block = file.read(end - begin, dtype="float32", always_2d=True)[:, 0]
        except (soundfile.LibsndfileError, RuntimeError) as error:
            raise InputError(f"{self.path}: cannot be read as audio ({error}); it is damaged, take it out") from error
        if len(block) < end - begin and self._exact:
            found = begin + len(block)
            raise InputError(f"{self.path}: ends after {found} of {self._frames} samples; it is damaged, take it out")
        wave = torch.from_numpy(resample(block, self.stored, self.rate))
        if not torch.isfinite(wave).all():
            raise InputError(f"{self.path}: holds values that are no numbers (NaN or infinite); take it out")
        offset = start - first * self._to
        part = wave[offset : offset + count]
        return torch.nn.functional.pad(part, (0, count - len(part)))
