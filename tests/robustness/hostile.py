"""Runs one hostile case through the command line, in this process, and checks everything that must hold of all of them.

A case is data: what the command is (`{bad}` stands for the thing that is wrong, `{out}` for a place to write to, `{wav}` and
others for sound things of the `Shelf`), how the thing is made, and the words that the answer must hold. Of every case `attack`
asserts

* the exit code is not 0, and there is one sentence on standard error, of which one part names the thing;
* no traceback, no "internal error", no "out of memory", and nothing that a library printed or logged;
* nothing is left of the output but reports, no temporary names anywhere, and the inputs are as they were;
* no payload ran: a payload writes `executed` (see `hostile_files.payload`);
* no more address space than `SPACE` beyond what the process had, no more CPU time than `SECONDS`.
"""

from __future__ import annotations

import contextlib
import logging
import re
import resource
import shlex
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from polyscore.cli.main import main

__all__ = ["SPACE", "Case", "Shelf", "attack", "bounded", "cases", "contents", "logged", "place"]

SPACE = 1_500_000_000  # bytes; the files are a few MB at most, and importing what reads them takes up to 450 MB
SECONDS = 20
_REPORTS = {"report.json"}

Make = bytes | str | Callable[[Path], object]


@dataclass(frozen=True)
class Case:
    """One row.

    Attributes:
        words: the command.
        name: of the thing, below the folder `in`.
        make: its bytes, its text, or what makes it at a path.
        says: patterns that the sentence holds.
        kept: files below the output that a run with a failed item leaves, as the rest is done.
    """

    words: str
    name: str
    make: Make
    says: tuple[str, ...]
    kept: frozenset[str] = field(default=frozenset())


def cases(words: str, rows: Sequence[tuple[Any, ...]], *, kept: Sequence[str] = ()) -> list[Any]:
    """Rows `(name, make, pattern, ...)` of one command, as parameters of a test."""
    command = " ".join(word for word in words.split()[:3] if word.isalpha())
    made = [Case(words, name, make, tuple(says), frozenset(kept)) for name, make, *says in rows]
    return [pytest.param(case, id=f"{command}-{ascii(case.name)[1:-1][:24]}") for case in made]


class Shelf(Mapping[str, Path]):
    """Sound things by name, each made when it is first asked for."""

    def __init__(self, folder: Path, makers: Mapping[str, tuple[str, Callable[[Path], object]]]) -> None:
        self.folder, self.makers = folder, makers

    def __getitem__(self, name: str) -> Path:
        file, make = self.makers[name]
        path = self.folder / name / file
        if not path.exists():
            path.parent.mkdir()
            make(path)
        return path

    def __iter__(self) -> Iterator[str]:
        return iter(self.makers)

    def __len__(self) -> int:
        return len(self.makers)


def attack(case: Case, shelf: Shelf, folder: Path, capfd: pytest.CaptureFixture[str], *, sentences: int = 1) -> str:
    """Run a case in a folder, and check what must hold; what it said, in at most so many sentences."""
    (folder / "in").mkdir()
    bad, out = folder / "in" / case.name, folder / "out"
    with contextlib.chdir(folder):
        place(case.make, bad)
        before = contents(folder)
        words = [_filled(word, shelf, {"bad": bad, "out": out, "in": folder / "in"}) for word in shlex.split(case.words)]
        capfd.readouterr()
        with bounded(), logged() as records:
            code = main(words)
    error = capfd.readouterr().err
    assert not records, [record.getMessage() for record in records]  # without a handler they are printed
    assert code in (1, 2), error
    for poison in ("Traceback", "internal error", "out of memory", "polyscore.cli"):
        assert poison not in error, error
    assert all(line.startswith(f"polyscore {words[0]}: ") for line in error.splitlines()), error
    assert 1 <= error.count("\n") <= sentences, error
    for pattern in (_name(case), *case.says):
        assert re.search(pattern, error), f"{pattern!r} is not in: {error}"
    assert not (folder / "executed").exists(), "the payload ran"
    after = contents(folder)
    assert {name: after.get(name) for name in before} == before, "an input was changed"
    new = {name.removeprefix("out/") for name in after.keys() - before.keys()}
    assert new - _REPORTS == case.kept, new
    return error


def place(make: Make, path: Path) -> None:
    """Make a thing at a path."""
    if callable(make):
        make(path)
    else:
        path.write_bytes(make.encode() if isinstance(make, str) else make)


def contents(folder: Path) -> dict[str, bytes]:
    """Every regular file below a folder, hidden ones too."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@contextlib.contextmanager
def logged() -> Iterator[list[logging.LogRecord]]:
    """What libraries log as a warning or worse, which Python prints where nobody listens."""
    handler = _Kept(logging.WARNING)
    logging.getLogger().addHandler(handler)
    try:
        yield handler.records
    finally:
        logging.getLogger().removeHandler(handler)


@contextlib.contextmanager
def bounded() -> Iterator[None]:
    """End what asks for more memory or computes for longer than any of the cases may."""
    pages = int(Path("/proc/self/statm").read_text().split()[0]) if Path("/proc/self/statm").exists() else None
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    if pages is not None:
        resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + SPACE, hard))
    handler = signal.signal(signal.SIGPROF, _too_long)
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, handler)
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


class _Kept(logging.Handler):
    def __init__(self, level: int) -> None:
        super().__init__(level)
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep it."""
        self.records.append(record)


class _TooLong(BaseException):
    """No error that a program could take for one of its own."""


def _too_long(number: int, frame: object) -> None:
    raise _TooLong(f"more than {SECONDS} seconds of CPU time")


def _filled(word: str, shelf: Shelf, more: Mapping[str, Path]) -> str:
    return re.sub(r"\{(\w+)\}", lambda found: str(more.get(found[1]) or shelf[found[1]]), word)


def _name(case: Case) -> str:
    """What the sentence calls the thing: its name, or the output where that is what cannot be used."""
    return re.escape(case.name) if "{bad}" in case.words else ""
