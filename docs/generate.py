"""Fills the generated parts of the documentation from the code.

    python docs/generate.py            # rewrite what is out of date
    python docs/generate.py --check    # exit code 1 and the names of the pages if something is

A generated part of a page lies between `<!-- generated: NAME -->` and `<!-- end -->`.
"""

from __future__ import annotations

import argparse
import dataclasses
import inspect
import re
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from types import ModuleType

HERE = Path(__file__).resolve().parent
PART = re.compile(r"(<!-- generated: ([\w. -]+) -->\n).*?(<!-- end -->)", re.DOTALL)
AUTHOR = r"[A-Z][\w' -]+(?: et al\.)?,? (?:19|20)\d\d"
CITED = re.compile(AUTHOR + r"(?: \([^()]*arXiv [^()]*\))?(?:, [^,.;()]*arXiv \d{4}\.\d{4,5})?")


def table(header: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A Markdown table."""
    head = list(header)
    body = ([cell.replace("|", "\\|").replace("\n", " ") for cell in row] for row in rows)
    lines = [head, ["---"] * len(head), *body]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def public(module: ModuleType) -> list[type]:
    """The classes that a module exports and that can be made: no protocols, no abstract bases."""
    things = [getattr(module, name) for name in module.__all__]
    return [thing for thing in things if inspect.isclass(thing) and not (inspect.isabstract(thing) or is_role(thing))]


def is_role(thing: type) -> bool:
    return bool(getattr(thing, "_is_protocol", False))


def summary(thing: object) -> str:
    """The first sentence of a docstring, references taken out."""
    text = inspect.cleandoc(thing.__doc__ or "").split("\n\n")[0].replace("\n", " ")
    return re.sub(r"\s*\([^()]*(?:et al|arXiv|\d{4})[^()]*\)", "", text).rstrip(".")


def reference(thing: type) -> str:
    """The paper that the docstring names."""
    found = CITED.finditer(inspect.cleandoc(thing.__doc__ or ""))
    return "; ".join(dict.fromkeys(match.group().strip() for match in found))


def arguments(thing: type) -> str:
    """Constructor arguments with their defaults, without the noise law that every process has."""
    if not dataclasses.is_dataclass(thing):
        return ""
    shown = []
    for field in dataclasses.fields(thing):
        if not field.init or field.name == "law":
            continue
        plain = field.default is not dataclasses.MISSING
        shown.append(f"{field.name}={field.default!r}" if plain else field.name)
    return f"`{', '.join(shown)}`" if shown else ""


# ------------------------------------------------------------------------------------------------ command line
def options(verb: str) -> str:
    """The flags of one verb as a table, from its own parser."""
    import importlib

    module = importlib.import_module(f"polyscore.cli.{verb}")
    parser = argparse.ArgumentParser(prog=f"polyscore {verb}", add_help=False)
    module.add_arguments(parser)
    rows = []
    for action in parser._actions:
        value = action.metavar or ("" if action.nargs == 0 else action.dest.upper())
        name = ", ".join(f"`{option}`" for option in action.option_strings) or f"`{value}`"
        shown = f" `{value}`" if value and action.option_strings else ""
        rows.append((name + shown, (action.help or "").replace("%%", "%")))
    head = f"{module.HELP[0].upper()}{module.HELP[1:].rstrip('.')}."
    return head + "\n\n" + table(("argument", "meaning"), rows)


PARTS: dict[str, Callable[[], str]] = {}


def fill(text: str) -> str:
    """The page with every generated part made anew."""

    def part(match: re.Match[str]) -> str:
        name, _, argument = match[2].partition(" ")
        body = options(argument) if name == "options" else PARTS[name]()
        return f"{match[1]}\n{body}\n\n{match[3]}"

    return PART.sub(part, text)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="fill the generated parts of the documentation")
    parser.add_argument("--check", action="store_true", help="change nothing; exit with 1 if a page is out of date")
    args = parser.parse_args(argv)
    stale = []
    for page in sorted(HERE.rglob("*.md")):
        old = page.read_text(encoding="utf-8")
        new = fill(old)
        if new != old:
            stale.append(page.relative_to(HERE))
            if not args.check:
                page.write_text(new, encoding="utf-8")
    for name in stale:
        print(f"docs/{name} {'is out of date: run `make docs`' if args.check else 'was brought up to date'}")
    return int(bool(stale) and args.check)


if __name__ == "__main__":
    sys.exit(main())
