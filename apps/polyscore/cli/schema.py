"""The schema of a report (docs/report.md): its keys, their types, and a check that names every place that breaks it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from polyscore.errors import InputError

__all__ = ["validate", "KEYS", "ITEM_KEYS", "STATUS"]

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
