"""The report of a run: one JSON schema for every verb (docs/report.md).

``with Report("enhance", args) as report`` measures the run and writes ``--report`` at the end, whole or not at all,
also after Ctrl-C and when inputs failed. ``with report.item(source, target) as item`` measures one input; an error
inside is written down, shown, and the next input goes on. Numbers that are estimates carry their uncertainty:
:func:`share` for counts, :func:`mean` for averages.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.metadata
import json
import math
import os
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from polyscore.errors import InputError, PolyscoreError

__all__ = ["Report", "Item", "share", "mean", "validate", "version"]

_NULL = type(None)
KEYS: Mapping[str, tuple[type, ...]] = {
    "command": (str,),
    "polyscore": (str, _NULL),
    "torch": (str, _NULL),
    "model": (str, _NULL),
    "seed": (int, _NULL),
    "device": (str, _NULL),
    "threads": (int, _NULL),
    "seconds": (int, float),
    "cpu_seconds": (int, float),
    "nfe": (int, float, _NULL),
    "items": (list,),
    "metrics": (dict,),
}
ITEM_KEYS = ("input", "output", "status", "error", "seconds")
STATUS = ("done", "skipped", "failed")


class Item(dict[str, Any]):
    """The record of one input: ``item["sample_rate"] = 16000`` adds a field of the verb's own."""

    def skip(self, reason: str) -> None:
        """Nothing had to be done, and why (the output is there already, say)."""
        self.update(status="skipped", error=reason)


class Report:
    """Collects what a verb did.

    Attributes ``model``, ``seed``, ``device``, ``threads``, ``nfe`` start from the flags and may be set to what was
    really used; ``metrics`` is a dict to fill.

    ``nfe`` is the number of network evaluations spent on one item (None where the verb runs no network).
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
        self,
        source: str | os.PathLike[str] | None,
        target: str | os.PathLike[str] | None = None,
        *,
        status: str = "done",
        error: str | None = None,
        seconds: float = 0.0,
        **fields: object,
    ) -> Item:
        """Add the record of an input whose work was measured elsewhere (in a batch with others, say)."""
        item = Item(input=_text(source), output=_text(target), status=status, error=error, seconds=seconds, **fields)
        self.items.append(item)
        return item

    @property
    def exit_code(self) -> int:
        """0 if all is done, 1 if an input failed."""
        return int(any(item["status"] == "failed" for item in self.items))

    def as_dict(self) -> dict[str, Any]:
        """The report as JSON values; numbers that JSON cannot hold (infinite, undefined) become null."""
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
            "items": self.items,
            "metrics": self.metrics,
        }
        return {key: _json(value) for key, value in values.items()}

    def write(self, path: Path) -> None:
        """Write the report, whole or not at all."""
        from polyscore.hub.files import atomic_path

        with atomic_path(path) as name:
            name.write_text(json.dumps(self.as_dict(), indent=2, allow_nan=False) + "\n", encoding="utf-8")

    def _show(self, item: Item) -> None:
        source, error = item["input"], item["error"]
        text = error if source is None or source in error else f"{source}: {error}"
        print(f"polyscore {self.command}: {text}", file=sys.stderr)


def share(count: int, n: int) -> dict[str, Any]:
    """``{"share": count / n, "n": n, "ci95": [low, high]}`` with Wilson's score interval.

    With p = count / n and z = 1.959964: ``(p + z^2 / 2n -+ z sqrt(p (1 - p) / n + z^2 / 4n^2)) / (1 + z^2 / n)``; it
    stays inside [0, 1] and is honest at 0 and at n. Source: E. B. Wilson, J. Am. Stat. Assoc. 22 (1927), 209-212.

    Raises:
        InputError: not 0 <= count <= n, or n = 0.
    """
    if not 0 <= count <= n or n == 0:
        raise InputError(f"share: {count} of {n}; expected 0 <= count <= n and n > 0")
    p, z = count / n, 1.959963984540054
    middle, half = p + z * z / (2 * n), z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    low, high = (middle - half) / (1 + z * z / n), (middle + half) / (1 + z * z / n)
    return {"share": p, "n": n, "ci95": [max(0.0, min(p, low)), min(1.0, max(p, high))]}


def mean(values: Sequence[float], *, seed: int = 0, resamples: int = 2000) -> dict[str, Any]:
    """``{"mean", "std", "n", "ci95"}`` of the finite values; std has n - 1 below; ci95 is the percentile bootstrap.

    The bootstrap draws n of the n values with replacement ``resamples`` times and takes the 2.5 % and 97.5 % quantiles
    of the means. Source: B. Efron, Ann. Statist. 7 (1979), 1-26. Undefined numbers (n < 1, or std and ci95 at n < 2)
    are None.
    """
    import numpy as np

    x = np.asarray([value for value in values if math.isfinite(value)], dtype=np.float64)
    n = len(x)
    if n < 2:
        return {"mean": float(x[0]) if n else None, "std": None, "n": n, "ci95": None}
    generator = np.random.default_rng(seed)
    means = np.array([x[generator.integers(0, n, n)].mean() for _ in range(resamples)])
    low, high = np.quantile(means, [0.025, 0.975])
    return {"mean": float(x.mean()), "std": float(x.std(ddof=1)), "n": n, "ci95": [float(low), float(high)]}


def validate(report: Mapping[str, Any]) -> None:
    """Check a report against the schema of docs/report.md.

    Raises:
        InputError: names every place that breaks it.
    """
    wrong = [f"missing '{key}'" for key in KEYS if key not in report]
    wrong += [f"unknown '{key}'" for key in report if key not in KEYS]
    for key, kinds in KEYS.items():
        if key in report and (not isinstance(report[key], kinds) or isinstance(report[key], bool)):
            expected = " or ".join("null" if kind is _NULL else kind.__name__ for kind in kinds)
            wrong.append(f"'{key}' is {report[key]!r}, expected {expected}")
    items = report.get("items")
    for index, item in enumerate(items if isinstance(items, list) else []):
        wrong += [f"items[{index}]: {problem}" for problem in _item_problems(item)]
    wrong += _share_problems("", report)
    if wrong:
        raise InputError(f"not a polyscore report: {'; '.join(wrong)}")


def _item_problems(item: Mapping[str, Any]) -> Iterator[str]:
    missing = [key for key in ITEM_KEYS if key not in item]
    if missing:
        yield f"missing {', '.join(missing)}"
        return
    for key in ("input", "output", "error"):
        if item[key] is not None and not isinstance(item[key], str):
            yield f"'{key}' is {item[key]!r}, expected a text or null"
    if item["status"] not in STATUS:
        yield f"status is {item['status']!r}, expected one of {', '.join(STATUS)}"
    if item["status"] == "failed" and not item["error"]:
        yield "failed without an error"
    if not isinstance(item["seconds"], (int, float)) or item["seconds"] < 0:
        yield f"seconds is {item['seconds']!r}, expected a number >= 0"


def _share_problems(place: str, value: object) -> Iterator[str]:
    if isinstance(value, Mapping):
        if "share" in value:
            low, high = value.get("ci95") or (math.nan, math.nan)
            if not (isinstance(value.get("n"), int) and 0 <= low <= value["share"] <= high <= 1):
                yield f"{place}: a share needs n and ci95 with 0 <= low <= share <= high <= 1"
        for key, part in value.items():
            yield from _share_problems(f"{place}.{key}" if place else str(key), part)
    elif isinstance(value, (list, tuple)):
        for index, part in enumerate(value):
            yield from _share_problems(f"{place}[{index}]", part)


def version(package: str) -> str | None:
    """The installed version of a package, without importing it; None where it is not installed."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _cpu_seconds() -> float:
    times = os.times()  # worker processes count once they have ended
    return times.user + times.system + times.children_user + times.children_system


def _sentence(error: BaseException) -> str:
    if isinstance(error, KeyboardInterrupt):
        return "interrupted"
    if isinstance(error, PolyscoreError):
        return str(error)
    return f"internal error ({type(error).__name__}: {error})"


def _text(path: str | os.PathLike[str] | None) -> str | None:
    return None if path is None else os.fspath(path)


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
