"""The report of a run: one JSON schema for every verb (docs/report.md).

``with Report("enhance", args) as report`` measures the run and writes ``--report`` at the end, whole or not at all,
also after Ctrl-C and when inputs failed. ``with report.item(source, target) as item`` measures one input; an error
inside is written down, shown, and the next input goes on. Numbers that are estimates carry their uncertainty:
:func:`share` for counts, :func:`mean` for averages.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from polyscore.cli.intervals import mean, share
from polyscore.cli.schema import validate
from polyscore.errors import PolyscoreError

__all__ = ["Report", "Item", "share", "mean", "validate", "version"]


class Item(dict[str, Any]):
    """The record of one input: ``item["sample_rate"] = 16000`` adds a field of the verb's own."""

    @classmethod
    def of(
        cls,
        source: str | os.PathLike[str] | None,
        target: str | os.PathLike[str] | None = None,
        *,
        status: str = "done",
        error: str | None = None,
        seconds: float = 0.0,
        **fields: object,
    ) -> Self:
        """The fields that every item has, then the verb's own."""
        return cls(input=_text(source), output=_text(target), status=status, error=error, seconds=seconds, **fields)

    def skip(self, reason: str) -> None:
        """Nothing had to be done, and why (the output is there already, say)."""
        self.update(status="skipped", error=reason)


class Report:
    """Collects what a verb did.

    Attributes ``model``, ``seed``, ``device``, ``threads``, ``nfe`` start from the flags and may be set to what was
    really used; ``metrics`` is a dict to fill.

    ``nfe`` is the number of network evaluations spent on one item (None where the verb runs no network).

    ``stored`` gives finished items that are kept elsewhere (in a file, where they are many) and come before ``items``; it
    is called when the report is written, which holds one of them at a time.
    """

    def __init__(self, command: str, args: argparse.Namespace) -> None:
        self.command = command
        self.model: str | None = getattr(args, "model", None)
        self.seed: int | None = getattr(args, "seed", None)
        self.device: str | None = getattr(args, "device", None)
        self.threads: int | None = getattr(args, "threads", None)
        self.nfe: float | None = None
        self.metrics: dict[str, Any] = {}
        self.items: list[Item] = []
        self.stored: Callable[[], Iterable[Item]] = tuple
        self._path: Path | None = getattr(args, "report", None)
        self._debug = bool(getattr(args, "debug", False))
        self._wall, self._cpu = time.perf_counter(), _cpu_seconds()

    def __enter__(self) -> Self:
        if self._path is not None:
            from polyscore.hub.files import check_writable

            check_writable(self._path)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if error is not None and not (self.items and self.items[-1]["status"] == "failed"):
            # a run that ended early must not read as one that had nothing more to do
            self.add(None, None, status="failed", error=_sentence(error))
        if self._path is not None:
            self.write(self._path)

    @contextlib.contextmanager
    def item(self, source: str | os.PathLike[str] | None, target: str | os.PathLike[str] | None = None) -> Iterator[Item]:
        """Measure the work on one input.

        Errors are recorded and shown, then swallowed, so the next input goes on; Ctrl-C is recorded and goes up.
        With ``--debug`` an error that is not a :class:`~polyscore.errors.PolyscoreError` (a bug, then) goes up too.
        """
        item = self.add(source, target)
        started = time.perf_counter()
        try:
            yield item
        except BrokenPipeError as error:  # whoever read the output has gone: not this input's fault
            item.update(status="failed", error=_sentence(error))
            raise
        except Exception as error:
            item.update(status="failed", error=_sentence(error))
            if self._debug and not isinstance(error, PolyscoreError):
                raise
            self._show(item)
        except BaseException as error:
            item.update(status="failed", error=_sentence(error))
            raise
        finally:
            item["seconds"] = round(time.perf_counter() - started, 6)

    def add(
        self, source: str | os.PathLike[str] | None, target: str | os.PathLike[str] | None = None, **fields: Any
    ) -> Item:
        """Add the record of an input whose work was measured elsewhere (in a batch with others, say); see :meth:`Item.of`."""
        item = Item.of(source, target, **fields)
        self.items.append(item)
        return item

    @property
    def exit_code(self) -> int:
        """0 if all is done, 1 if an input failed."""
        return int(any(item["status"] == "failed" for item in self.items))

    def head(self) -> dict[str, Any]:
        """The report without its items, as JSON values; numbers that JSON cannot hold (infinite, undefined) become null."""
        values = {
            "command": self.command,
            "polyscore": version("polyscore"),
            "torch": version("torch"),
            "model": self.model,
            "seed": self.seed,
            "device": self.device,
            "threads": self.threads,
            "seconds": round(time.perf_counter() - self._wall, 6),
            "cpu_seconds": round(_cpu_seconds() - self._cpu, 6),
            "nfe": self.nfe,
            "metrics": self.metrics,
        }
        return {key: _json(value) for key, value in values.items()}

    def as_dict(self) -> dict[str, Any]:
        """The report as JSON values."""
        values = self.head()
        metrics = values.pop("metrics")
        return {**values, "items": [_json(item) for item in self._all()], "metrics": metrics}

    def write(self, path: Path) -> None:
        """Write the report, whole or not at all."""
        from polyscore.hub.files import atomic_path

        with atomic_path(path) as name, name.open("w", encoding="utf-8") as file:
            file.writelines(self._lines())

    def _all(self) -> Iterator[Item]:
        yield from self.stored()
        yield from self.items

    def _lines(self) -> Iterator[str]:
        """The text of :meth:`as_dict` with an indent of 2, an item at a time."""
        values = self.head()
        metrics = values.pop("metrics")
        yield "{\n" + "".join(f'  "{key}": {_dumped(value)},\n' for key, value in values.items()) + '  "items": ['
        mark = ""
        for item in self._all():
            yield f"{mark}\n    {_dumped(_json(item), 4)}"
            mark = ","
        yield f'{mark and chr(10) + "  "}],\n  "metrics": {_dumped(metrics)}\n}}\n'

    def _show(self, item: Item) -> None:
        source, error = item["input"], item["error"]
        text = error if source is None or source in error else f"{source}: {error}"
        print(f"polyscore {self.command}: {text}", file=sys.stderr)


def version(package: str) -> str | None:
    """The installed version of a package, without importing it; None where it is not installed."""
    from importlib import metadata  # slow to import

    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _cpu_seconds() -> float:
    times = os.times()  # worker processes count once they have ended
    return times.user + times.system + times.children_user + times.children_system


def _sentence(error: BaseException) -> str:
    if isinstance(error, KeyboardInterrupt):
        return "interrupted"
    if isinstance(error, PolyscoreError):
        return str(error)
    if isinstance(error, OSError):
        from polyscore.hub.files import path_error

        if (known := path_error(error)) is not None:
            return str(known)
    if isinstance(error, ModuleNotFoundError):
        from polyscore.cli import extras

        if (absent := extras.sentence(error)) is not None:
            return absent
    return f"internal error ({type(error).__name__}: {error})"


def _text(path: str | os.PathLike[str] | None) -> str | None:
    return None if path is None else os.fspath(path)


def _dumped(value: Any, indent: int = 2) -> str:
    return json.dumps(value, indent=2, allow_nan=False).replace("\n", "\n" + " " * indent)


def _json(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _json(part) for key, part in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_json(part) for part in value]
    if isinstance(value, (str, bool, int)) or value is None:
        return value
    if hasattr(value, "tolist"):  # numpy and torch numbers and arrays
        return _json(value.tolist())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return str(value)
