"""How many bytes of sound the header of a WAV or AIFF file promises, and how many are there.

Both formats are sequences of chunks (name, size, content), sizes little-endian in RIFF, big-endian in FORM. Of a file that was
cut off libsndfile reads what is there without a word. Programs that write into a pipe do not know the size and leave one of no
meaning (0, or close to the largest): such a file promises nothing.
"""

from __future__ import annotations

from typing import BinaryIO, NamedTuple

__all__ = ["SoundBytes", "sound_bytes"]

_FORMS = {b"RIFF": ("little", b"data", 0), b"FORM": ("big", b"SSND", 8)}  # order, chunk, bytes in it before the sound
_UNKNOWN = 0x7FFFF000  # sizes from here on are what streaming programs write


class SoundBytes(NamedTuple):
    """Bytes of sound that the header promises, and bytes that follow it."""

    promised: int
    there: int


def sound_bytes(file: BinaryIO) -> SoundBytes | None:
    """Of an open file at its start; None for other formats, and where the header promises nothing."""
    end = file.seek(0, 2)
    file.seek(0)
    name, _ = file.read(4), file.read(8)
    if name not in _FORMS:
        return None
    order, wanted, before = _FORMS[name]
    while len(head := file.read(8)) == 8:
        size = int.from_bytes(head[4:], "little" if order == "little" else "big")
        if head[:4] == wanted:
            return None if size <= before or size >= _UNKNOWN else SoundBytes(size - before, max(0, end - file.tell() - before))
        file.seek(size + size % 2, 1)
    return None
