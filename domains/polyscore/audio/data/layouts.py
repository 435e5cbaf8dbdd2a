"""The published folder layouts of paired speech, and who belongs to whom in them.

| layout | folders | published as |
|---|---|---|
| `sgmse` | `{train,valid,test}/{clean,noisy}` | SGMSE+: VB-DMD, WSJ0-CHiME3; EARS-WHAM; DNS in StoRM's form |
| `sgmse-reverb` | `{train,valid,test}/{anechoic,reverb}` | SGMSE+: WSJ0-REVERB |
| `ears-reverb` | `{train,valid,test}/{clean,reverberant}` | EARS-Reverb |
| `storm` | `{tr,cv,tt}/{clean,noisy}` | StoRM: WSJ0, VCTK, TIMIT |
| `storm-reverb` | `{tr,cv,tt}/{anechoic,reverb}` | StoRM: WSJ0+REVERB |
| `voicebank` | `{clean,noisy}_trainset_28spk_wav`, `{clean,noisy}_testset_wav` | VoiceBank-DEMAND (Valentini-Botinhao 2017) |
| `voicebank-56` | the same with `56spk` | the same |
| `pairs` | `clean`, `noisy` | DNS challenge's synthesizer; any folder of pairs |

Files are paired by their path below the two folders without the ending, never by their order. A noisy name may go on after
the clean one and an underscore (`p002/00003_-1.9dB` of EARS belongs to `p002/00003`), and names with `fileid_N` (DNS) go by N.

Where a layout has no folder for validation, it is taken from the training files: two speakers of VoiceBank (p226 and p287, as
SGMSE+ does), of others the files that a hash of their name chooses, so that it does not depend on which other files there are.
"""

from __future__ import annotations

import os
import re
import zlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from polyscore.audio.io import SUFFIXES
from polyscore.errors import InputError

__all__ = ["LAYOUTS", "Layout", "Pair", "Parts", "find_pairs"]

_FILE_ID = re.compile(r"(?:^|_)fileid_(\d+)")


@dataclass(frozen=True)
class Pair:
    """Two files of one recording; `name` is the noisy one's path below its folder, without the ending."""

    name: str
    clean: Path
    noisy: Path


@dataclass(frozen=True)
class Parts:
    """The pairs of a data set, each part sorted by name; `test` may be empty."""

    layout: str
    train: tuple[Pair, ...]
    valid: tuple[Pair, ...]
    test: tuple[Pair, ...]


@dataclass(frozen=True)
class Layout:
    """Folders (clean, noisy) below the root, part by part; `held_out` are training names that start so."""

    train: tuple[str, str]
    valid: tuple[str, str] | None = None
    test: tuple[str, str] | None = None
    held_out: tuple[str, ...] = ()


def _split(parts: tuple[str, str, str], clean: str, noisy: str) -> Layout:
    train, valid, test = ((f"{part}/{clean}", f"{part}/{noisy}") for part in parts)
    return Layout(train, valid, test)


def _voicebank(speakers: str, held_out: tuple[str, ...]) -> Layout:
    train = (f"clean_trainset_{speakers}_wav", f"noisy_trainset_{speakers}_wav")
    return Layout(train, None, ("clean_testset_wav", "noisy_testset_wav"), held_out)


LAYOUTS: Mapping[str, Layout] = MappingProxyType(
    {
        "sgmse": _split(("train", "valid", "test"), "clean", "noisy"),
        "sgmse-reverb": _split(("train", "valid", "test"), "anechoic", "reverb"),
        "ears-reverb": _split(("train", "valid", "test"), "clean", "reverberant"),
        "storm": _split(("tr", "cv", "tt"), "clean", "noisy"),
        "storm-reverb": _split(("tr", "cv", "tt"), "anechoic", "reverb"),
        "voicebank": _voicebank("28spk", ("p226_", "p287_")),
        "voicebank-56": _voicebank("56spk", ()),
        "pairs": Layout(("clean", "noisy")),
    }
)


def find_pairs(path: str | os.PathLike[str], layout: str = "auto", *, held_out: float = 0.02) -> Parts:
    """Every pair below `path`, or below its folder `audio` (WSJ0-REVERB, TIMIT).

    Args:
        path: the data set's folder.
        layout: of `LAYOUTS`; `auto` takes the first whose training folders are there.
        held_out: share of the training files for validation where the layout has no folder for it.

    Raises:
        InputError: no folder, a layout that is none or not there (what was found is named), files without partner, a folder
            without audio, or no permission.
    """
    root = Path(path)
    if not root.is_dir():
        raise InputError(f"speech pairs: {root} is no folder; expected one that holds pairs of clean and noisy speech")
    if layout != "auto" and layout not in LAYOUTS:
        raise InputError(f"speech pairs: layout {layout!r}; expected auto or one of {', '.join(LAYOUTS)}")
    if not 0 < held_out < 1:
        raise InputError(f"speech pairs: held_out is {held_out}; expected a share between 0 and 1")
    for top in (root, root / "audio"):
        for name in LAYOUTS if layout == "auto" else (layout,):
            if all((top / folder).is_dir() for folder in LAYOUTS[name].train):
                return _parts(top, name, held_out)
    raise InputError(f"speech pairs: {root} holds {_content(root)}; expected {_wanted(layout)}")


def _parts(root: Path, name: str, held_out: float) -> Parts:
    layout = LAYOUTS[name]

    def pairs(folders: tuple[str, str] | None) -> tuple[Pair, ...]:
        there = folders is not None and all((root / folder).is_dir() for folder in folders)
        return _pair(root / folders[0], root / folders[1]) if folders is not None and there else ()

    train, valid, test = pairs(layout.train), pairs(layout.valid), pairs(layout.test)
    if not valid:
        train, valid = _divided(train, lambda pair: pair.name.startswith(layout.held_out) if layout.held_out else False)
    if not valid:
        modulus = max(2, round(1 / held_out))
        train, valid = _divided(train, lambda pair: zlib.crc32(pair.name.encode()) % modulus == 0)
    # a handful of files may all fall on one side
    return Parts(name, train or valid, valid or train[:1], test)


def _divided(pairs: Iterable[Pair], chosen: Callable[[Pair], bool]) -> tuple[tuple[Pair, ...], tuple[Pair, ...]]:
    pairs = tuple(pairs)
    return tuple(pair for pair in pairs if not chosen(pair)), tuple(pair for pair in pairs if chosen(pair))


def _pair(clean: Path, noisy: Path) -> tuple[Pair, ...]:
    targets, sources = _files(clean), _files(noisy)
    by_id = {key: name for name in targets if (key := _file_id(name)) is not None}
    pairs, alone = [], []
    for name, file in sources.items():
        partner = _partner(name, targets, by_id)
        if partner is None:
            alone.append(file)
        else:
            pairs.append(Pair(name, targets[partner], file))
    alone += sorted(set(targets.values()) - {pair.clean for pair in pairs})
    if alone:
        shown = ", ".join(str(file) for file in alone[:3]) + (", ..." if len(alone) > 3 else "")
        raise InputError(
            f"speech pairs: {clean} has {len(targets)} files, {noisy} {len(sources)}; without a partner of their name in the "
            f"other folder are {len(alone)}: {shown}"
        )
    return tuple(pairs)


def _partner(name: str, targets: Mapping[str, Path], by_id: Mapping[str, str]) -> str | None:
    key = _file_id(name)
    if key is not None and key in by_id:
        return by_id[key]
    while name not in targets:
        head, mark, tail = name.rpartition("_")
        if not mark or "/" in tail:
            return None
        name = head
    return name


def _file_id(name: str) -> str | None:
    folder, _, stem = name.rpartition("/")
    found = _FILE_ID.search(stem)
    return None if found is None else f"{folder}/{found[1]}"


def _files(folder: Path) -> dict[str, Path]:
    if not os.access(folder, os.R_OK | os.X_OK):
        raise InputError(f"speech pairs: {folder}: no permission to read it")
    found: dict[str, Path] = {}
    for file in sorted(folder.rglob("*")):
        if file.suffix.lower() not in SUFFIXES or file.name.startswith(".") or not file.is_file():
            continue
        name = file.relative_to(folder).with_suffix("").as_posix()
        if name in found:
            raise InputError(f"speech pairs: {found[name]} and {file} have one name; files are paired by name without ending")
        found[name] = file
    if not found:
        raise InputError(f"speech pairs: {folder} holds no audio file; expected {', '.join(sorted(SUFFIXES))}")
    return found


def _content(root: Path) -> str:
    try:
        folders = sorted(entry.name for entry in root.iterdir() if entry.is_dir())
    except PermissionError:
        return "what may not be read (no permission)"
    return "the folders " + ", ".join(folders[:8]) + (", ..." if len(folders) > 8 else "") if folders else "no folder"


def _wanted(layout: str) -> str:
    names = LAYOUTS if layout == "auto" else (layout,)
    return "; or ".join(f"{' and '.join(LAYOUTS[name].train)} ({name})" for name in names)
