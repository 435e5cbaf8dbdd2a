"""Turns the parser's report on a configuration into one sentence: where, what is wrong, what was expected.

jsonargparse describes an error as an indented tree of `Parser key "x":`, `Problem with given class_path 'C':` and the errors of
every alternative of a type. The first branch is the one the user meant; its keys make the place, its first other line is the
reason.
"""

from __future__ import annotations

import difflib
import inspect
import os
import re
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

__all__ = ["explain"]

_KEY = re.compile(r'^Parser key "(.+)":$')
_CLASS = re.compile(r"^Problem with given class_path '(.+)':$")
_UNKNOWN = re.compile(r"^(?:Group '(?P<group>.+)' does not accept option|Option) '(?P<name>.+?)'(?: is not accepted)?$")
_EXPECTED = re.compile(r"^Expected (?:a|an) (.+?)(?:\. Got value: (.*))?$")
_FRAME = ("Does not validate against any of the Union subtypes", "Subtypes:", "Errors:")


def explain(report: str, configs: Sequence[str | os.PathLike[str]] = (), overrides: Sequence[str] = ()) -> str:
    """One sentence: `digits.yaml: trainer.max_epoch is not known; did you mean max_epochs?`."""
    raw = [
        line.replace("- ", "  ", 1) if line.lstrip().startswith("- ") else line for line in report.splitlines() if line.strip()
    ]
    lines = [line.strip() for line in raw]
    place: list[str] = []
    owner = ""
    reason, rest = "", raw
    for i, line in enumerate(lines):
        if found := _KEY.match(line):
            place += (["init_args"] if owner else []) + [found[1]]
            owner = ""
        elif found := _CLASS.match(line):
            owner = found[1]
        elif not line.startswith(_FRAME):
            reason, rest = line, raw[i:]
            break
    if unknown := _UNKNOWN.match(reason):
        place += [unknown["group"]] if unknown["group"] else ["init_args"] if owner else []
        key = ".".join([*place, unknown["name"]])
        text = f"{key} is not known{_suggestion(unknown['name'], owner or unknown['group'] or '')}"
    else:
        key = ".".join(place)
        text = f"{key}: {_reason(reason, rest)}" if key else _reason(reason, rest)
        if owner:
            text += f" (in {owner})"
    return f"{_source(key.split('.')[-1], configs, overrides)}{text}"


def _reason(line: str, rest: Sequence[str]) -> str:
    if not _EXPECTED.match(line):
        return line[:1].lower() + line[1:] if line.startswith(("Import ", "Not ", "Does ")) else line
    expected: list[str] = []
    found = next((part.strip().removeprefix("Given value: ") for part in rest if part.strip().startswith("Given value: ")), "")
    depth = len(rest[0]) - len(rest[0].lstrip())
    for part in rest:  # the alternatives of one type follow each other
        match = _EXPECTED.match(part.strip())
        if match is None or len(part) - len(part.lstrip()) != depth:
            break
        expected.append(_type_name(match[1]))
        found = match[2] or found
    return f"found {found}, expected {' or '.join(dict.fromkeys(expected))}"


def _type_name(text: str) -> str:
    text = re.sub(r"<class '(?:.+\.)?(\w+)'>", r"\1", text).replace("typing.Literal[", "one of ").rstrip("]")
    return "null" if text == "NoneType" else text


def _suggestion(name: str, owner: str) -> str:
    """`; did you mean max_epochs?`, or what the class takes."""
    path = "lightning.pytorch.Trainer" if owner == "trainer" else owner
    module, _, cls = path.rpartition(".")
    try:
        takes = [key for key in inspect.signature(getattr(import_module(module), cls)).parameters if key != "self"]
    except (ImportError, AttributeError, ValueError, TypeError):
        takes = ["model", "data", "trainer", "seed_everything"]
    close = difflib.get_close_matches(name, takes, 1)
    if close:
        return f"; did you mean {close[0]}?"
    return f"; expected one of {', '.join(takes)}" if len(takes) < 20 else ""


def _source(key: str, configs: Sequence[str | os.PathLike[str]], overrides: Sequence[str]) -> str:
    """The option or the file that names the key (the last one wins, as it does in parsing)."""
    for word in reversed(overrides):
        if key and word.lstrip("-").split("=")[0].endswith(key):
            return f"{word}: "
    named = [path for path in configs if key and re.search(rf"\b{re.escape(key)}\b\s*:", _text(path))]
    files = [os.fspath(path) for path in (named[-1:] or configs)]
    return f"{', '.join(files)}: " if files else ""


def _text(path: str | os.PathLike[str]) -> str:
    try:
        return Path(path).read_text(encoding="utf-8")
    except (OSError, ValueError):
        return ""
