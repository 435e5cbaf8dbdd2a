"""MIDI through fluidsynth, where the program and a sound font are on this computer. Nothing is ever downloaded."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

from polyscore.errors import MissingExtraError, PolyscoreError
from polyscore.hub.files import atomic_path

__all__ = ["Fluidsynth", "find_fluidsynth", "render_fluidsynth"]

_FONTS = ("/usr/share/sounds/sf2", "/usr/share/sounds/sf3", "/usr/share/soundfonts", "/usr/local/share/soundfonts")


class Fluidsynth(NamedTuple):
    """The program and the font."""

    program: str
    font: Path


def find_fluidsynth(font: str | os.PathLike[str] | None = None) -> Fluidsynth | None:
    """The program on the PATH with `font`, the environment's SOUNDFONT, or the first font of the system; None without."""
    program = shutil.which("fluidsynth")
    named = font or os.environ.get("SOUNDFONT")
    fonts = [Path(named)] if named else [file for place in _FONTS for file in sorted(Path(place).glob("*.sf[23]"))]
    found = next((file for file in fonts if file.is_file()), None)
    return Fluidsynth(program, found) if program and found else None


def render_fluidsynth(
    midi: str | os.PathLike[str], wav: str | os.PathLike[str], *, rate: int = 44100, font: str | os.PathLike[str] | None = None
) -> None:
    """Write the sound of a MIDI file as WAV.

    Raises:
        MissingExtraError: no fluidsynth, or no font.
        PolyscoreError: it failed, or took longer than ten minutes.
    """
    found = find_fluidsynth(font)
    if found is None:
        raise MissingExtraError("fluidsynth: the program or a sound font (.sf2) is not on this computer; set SOUNDFONT to a font")
    with atomic_path(wav) as name:
        words = [found.program, "-ni", "-q", "-r", str(rate), "-F", os.fspath(name), os.fspath(found.font), os.fspath(midi)]
        try:
            subprocess.run(words, check=True, capture_output=True, timeout=600)
        except (subprocess.SubprocessError, OSError) as error:
            raise PolyscoreError(f"fluidsynth could not render {os.fspath(midi)}: {error}") from error
