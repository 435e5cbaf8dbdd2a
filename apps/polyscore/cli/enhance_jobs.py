"""Which files ``polyscore enhance`` reads, and where each result goes."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from polyscore.errors import InputError
from polyscore.hub.files import path_error

__all__ = ["PIPE", "Job", "jobs_of"]

PIPE = Path("-")  # standard input or output


@dataclass(frozen=True)
class Job:
    """One file to enhance; ``error`` is why it cannot be."""

    source: Path
    target: Path | None
    error: str | None = None


def jobs_of(inputs: Iterable[str], out: Path) -> list[Job]:
    """What to read and where to write it: sub-folders are kept, no output has the name of an input or of another output.

    Raises:
        InputError: an output would overwrite an input.
    """
    from polyscore.audio.io import SUFFIXES

    inputs = list(inputs)
    if str(PIPE) in inputs or out == PIPE:
        return [_piped(inputs, out, SUFFIXES)]
    found = list(_found(inputs, out, SUFFIXES))
    only = found[0][0] if len(found) == 1 and found[0][2] is None else None
    one_file = only is not None and out.suffix.lower() in SUFFIXES and not out.is_dir() and only.is_file()
    sources = {os.path.realpath(source) for source, _, error in found if error is None}
    jobs: list[Job] = []
    taken: dict[str, Path] = {}
    for source, relative, error in found:
        target = out if one_file else out / relative
        place = os.path.realpath(target)
        if place in sources:
            raise InputError(f"the output {target} would overwrite an input; choose another folder with --out")
        if error is None and place in taken:
            error = f"{source}: would be written to {target}, as {taken[place]}; give a folder that holds both"
        if error is None:
            taken[place] = source
        jobs.append(Job(source, target if error is None else None, error))
    return jobs


def _piped(inputs: list[str], out: Path, suffixes: frozenset[str]) -> Job:
    """The one job of a run that reads standard input or writes standard output."""
    if len(inputs) != 1 or glob.has_magic(inputs[0]) or Path(inputs[0]).is_dir():
        raise InputError(f"with '-' there is one input and one output; found {len(inputs)} inputs or a folder of them")
    if out != PIPE and (out.is_dir() or out.suffix.lower() not in suffixes):
        raise InputError(f"standard input has no name: --out must be an audio file or '-', not the folder {out}")
    return Job(Path(inputs[0]), out)


def _found(inputs: Iterable[str], out: Path, suffixes: frozenset[str]) -> Iterator[tuple[Path, Path, str | None]]:
    """(file, its place below the output folder, why it cannot be read)."""
    seen: set[str] = set()
    for text in inputs:
        path = Path(text)
        try:
            is_folder = path.is_dir()
        except OSError as reason:  # a name that is too long, for instance
            yield path, Path("none"), str(path_error(reason) or reason)
            continue
        if is_folder:
            root, files = path, sorted(file for file in path.rglob("*") if file.suffix.lower() in suffixes)
            earlier = out.resolve() if path.resolve() in out.resolve().parents else None  # what a run before this one wrote
            files = [file for file in files if file.is_file() and earlier not in file.resolve().parents]
            if not files:
                yield path, Path(path.name), f"{path}: the folder holds no audio files ({', '.join(sorted(suffixes))})"
        elif path.exists() or not glob.has_magic(text):
            root, files = path.parent, [path]
        else:
            files = sorted(Path(name) for name in glob.glob(text, recursive=True))  # noqa: PTH207 - Path.glob takes no absolute pattern
            files = [file for file in files if file.is_file()]
            root = Path(*_fixed_parts(path))
            if not files:
                yield path, Path("none"), f"{text}: the pattern matches no file"
        for file in files:
            place = os.path.realpath(file)  # Path.resolve ends at a link that leads round in a circle
            if place not in seen:
                seen.add(place)
                yield file, file.relative_to(root), None


def _fixed_parts(pattern: Path) -> Iterator[str]:
    """The folders of a pattern before its first wildcard."""
    for part in pattern.parts[:-1]:
        if glob.has_magic(part):
            return
        yield part
