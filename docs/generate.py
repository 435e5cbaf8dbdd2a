"""Fills the generated parts of the documentation from the code.

    python docs/generate.py            # rewrite what is out of date
    python docs/generate.py --check    # exit code 1 and the names of the pages if something is

A generated part of a page lies between `<!-- generated: NAME -->` and `<!-- end -->`.
"""

from __future__ import annotations

import argparse
import ast
import dataclasses
import importlib
import inspect
import pkgutil
import re
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

import numpy as np

HERE = Path(__file__).resolve().parent
PART = re.compile(r"(<!-- generated: ([\w. -]+) -->\n).*?(<!-- end -->)", re.DOTALL)
AUTHOR = r"[A-Z][\w'-]+(?:,? (?:and )?[A-Z][\w'-]+)*(?: et al\.)?,? (?:19|20)\d\d"
CITED = re.compile(rf"({AUTHOR})(?: \([^()]*arXiv [^()]*\))?(?:,? (?:[^,.;()]* )?arXiv \d{{4}}\.\d{{4,5}})?")


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


def is_role(thing: object) -> bool:
    return bool(getattr(thing, "_is_protocol", False))


def summary(thing: object) -> str:
    """The first sentence of a docstring, references taken out."""
    return without_references(inspect.cleandoc(thing.__doc__ or "").split("\n\n")[0].replace("\n", " ")).rstrip(".")


def without_references(text: str) -> str:
    return re.sub(r"\s*\([^()]*(?:et al|arXiv|\d{4})[^()]*\)", "", text)


def citations(thing: object) -> dict[str, str]:
    """Author and year -> the whole citation, as a docstring names them."""
    text = inspect.cleandoc(thing.__doc__ or "").replace("\n", " ")
    return {match[1]: match.group() for match in CITED.finditer(text)}


def reference(thing: type | FunctionType) -> str:
    """The papers of a class: those its docstring names, else those of its file that name it, else those of its file.

    A file names a paper in full once; a class may then say only who and when.
    """
    module = sys.modules[thing.__module__]
    own, family = citations(thing), citations(module)
    if inspect.cleandoc(module.__doc__ or "").startswith(f"{thing.__name__}:"):  # the file is about this class alone
        own = family
    if own:
        return "; ".join(max(text, family.get(who, ""), key=len) for who, text in own.items())
    names = [thing.__name__, *re.findall(r"\b[A-Z][\w-]*[A-Z]\w*", inspect.cleandoc(thing.__doc__ or ""))]
    named = [text for text in family.values() if any(squeezed(name) in squeezed(text) for name in names)]
    return "; ".join(named or family.values())


def squeezed(text: str) -> str:
    """Letters and digits alone, so that IR-SDE is IRSDE."""
    return re.sub(r"[^a-z0-9]", "", text.lower())


def shown(name: str, value: object) -> str:
    """An argument with its default, where the default is short to write."""
    if isinstance(value, float):
        return f"{name}={value:.6g}"
    if isinstance(value, FunctionType):
        return f"{name}={value.__name__}"
    return f"{name}={value!r}" if value is None or isinstance(value, str | int) else name


def arguments(thing: object) -> str:
    """Constructor arguments with their defaults, without the noise law that every process has."""
    if not dataclasses.is_dataclass(thing):
        return ""
    fields = [field for field in dataclasses.fields(thing) if field.init and field.name != "law"]
    return f"`{', '.join(shown(field.name, field.default) for field in fields)}`" if fields else ""


# ------------------------------------------------------------------------------------------------ command line
def options(verb: str) -> str:
    """The flags of one verb as a table, from its own parser."""
    module = importlib.import_module(f"polyscore.cli.{verb}")
    parser = argparse.ArgumentParser(prog=f"polyscore {verb}", add_help=False)
    module.add_arguments(parser)
    rows = []
    for action in parser._actions:
        values = "|".join(map(str, action.choices)) if action.choices else action.dest.upper()
        value = "" if action.nargs == 0 else str(action.metavar or values)
        name = ", ".join(f"`{option}`" for option in action.option_strings) or f"`{value}`"
        shown = f" `{value}`" if value and action.option_strings else ""
        rows.append((name + shown, (action.help or "").replace("%%", "%")))
    head = f"{module.HELP[0].upper()}{module.HELP[1:].rstrip('.')}."
    return head + "\n\n" + table(("argument", "meaning"), rows)


# ------------------------------------------------------------------------------------------------ shipped models
def card(name: str) -> str:
    """The card of a shipped model, its headings two levels down."""
    from polyscore.hub.shipped import find

    folder = find(name)
    if folder is None:
        return f"This version ships no model `{name}`; `polyscore models` lists what is there."
    text = (folder / "card.md").read_text(encoding="utf-8")
    body = text.split("---\n", 2)[-1] if text.startswith("---\n") else text
    parts = re.split(r"(^```.*?^```$)", body.strip(), flags=re.MULTILINE | re.DOTALL)  # a comment in code is no heading
    return "".join(p if p.startswith("```") else re.sub(r"^(#+) ", r"##\1 ", p, flags=re.MULTILINE) for p in parts)


# ------------------------------------------------------------------------------------------------ tables of the core
PROBE_STEPS = 20


def title(module: ModuleType) -> str:
    """The first sentence of a module's docstring."""
    first = re.split(r"(?<=[a-z)])(?<!et al)[.:](?:\s|$)", inspect.cleandoc(module.__doc__ or "").replace("\n", " "))[0]
    return without_references(first)


def modules(package: ModuleType) -> list[ModuleType]:
    """The modules of a package, by name."""
    names = sorted(info.name for info in pkgutil.iter_modules(package.__path__))
    return [importlib.import_module(f"{package.__name__}.{name}") for name in names]


def processes() -> str:
    """One row per forward process, with the formula of its docstring."""
    import polyscore.processes as package

    rows = [
        (f"`{thing.__name__}`", arguments(thing), summary(thing), reference(thing))
        for thing in public(package)
        if hasattr(thing, "coefs") or hasattr(thing, "transition")
    ]
    return table(("process", "arguments", "what it is", "source"), rows)


def grids() -> str:
    """One row per time grid."""
    from polyscore.processes import grids as module

    things = [getattr(module, name) for name in module.__all__ if name != "Grid"]
    rows = [(f"`{thing.__name__}`", arguments(thing), summary(thing)) for thing in things]
    return table(("grid", "arguments", "times"), rows)


def sampler(thing: Any) -> tuple[str, ...] | None:
    """The row of one sampler; None if the object is not one that can be made without arguments."""
    from polyscore.processes import VP

    made: Any = thing() if takes_nothing(thing) else None
    process = VP()
    order = str(getattr(made, "order", ""))
    source = reference(thing)
    name, inside = f"`{thing.__name__}`", arguments(thing)
    if hasattr(made, "plan"):
        with np.errstate(all="ignore"):  # one table is of interest for its shape here, and infinite at the data
            plan = made.plan(process, process.default_grid(PROBE_STEPS).tolist())
        noise = "yes" if plan.draws else "no"
        return name, inside, "plan", order, str(plan.nfe), noise, source
    if hasattr(thing, "step") and hasattr(thing, "init"):
        return name, inside, "stepper", order, "", "", source
    return None


def takes_nothing(thing: Any) -> bool:
    parameters = inspect.signature(thing).parameters.values()
    empty = inspect.Parameter.empty
    return all(p.default is not empty or p.kind in {p.VAR_POSITIONAL, p.VAR_KEYWORD} for p in parameters)


def samplers() -> str:
    """One table per file of `polyscore.samplers`: the file is the family."""
    import polyscore.samplers as package

    header = ("sampler", "arguments", "runs as", "order", f"calls in {PROBE_STEPS} steps", "fresh noise", "source")
    parts = []
    for module in modules(package):
        things = [getattr(module, name) for name in getattr(module, "__all__", ())]
        made_here = [thing for thing in things if (inspect.isclass(thing) or inspect.isfunction(thing)) and not is_role(thing)]
        rows = [row for thing in made_here if (row := sampler(thing)) is not None]
        if rows:
            parts += [f"### {title(module)}", f"`{module.__name__}`", table(header, rows)]
    return "\n\n".join(parts)


# ------------------------------------------------------------------------------------------------ who imports whom
def imports() -> str:
    """One row per package: what it imports of the others, and how many import it."""
    known: dict[str, set[str]] = {}
    for root in ("core", "domains", "apps"):
        for entry in sorted((HERE.parent / root / "polyscore").iterdir()):
            if files := sorted(entry.rglob("*.py")) if entry.is_dir() else [entry] * (entry.suffix == ".py"):
                known[entry.stem] = {name for file in files for name in imported(file.read_text(encoding="utf-8"))}
    rows = []
    for name in sorted(known, key=lambda name: (len(reached(name, known)), name)):
        theirs = sorted(known[name] & set(known) - {name})
        users = sum(name in found for other, found in known.items() if other != name)
        rows.append((f"`{name}`", ", ".join(theirs) or "nothing", str(users)))
    return table(("package", "imports", "imported by"), rows)


def imported(text: str) -> set[str]:
    """The names below `polyscore` that a source text imports, late imports included."""
    found = set()
    for node in ast.walk(ast.parse(text)):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom):
            names = [f"polyscore.{alias.name}" for alias in node.names] if node.module == "polyscore" else [node.module or ""]
        found |= {name.split(".")[1] for name in names if name.startswith("polyscore.")}
    return found


def reached(name: str, known: Mapping[str, set[str]]) -> set[str]:
    """Everything that a package imports, directly or not."""
    found: set[str] = set()
    new = {name}
    while new:
        found |= new
        new = {other for inner in new for other in known.get(inner, ())} - found
    return found


PARTS: dict[str, Callable[[], str]] = {"processes": processes, "grids": grids, "samplers": samplers, "imports": imports}
PARTS_OF: dict[str, Callable[[str], str]] = {"options": options, "card": card}


def fill(text: str) -> str:
    """The page with every generated part made anew."""

    def part(match: re.Match[str]) -> str:
        name, _, argument = match[2].partition(" ")
        body = PARTS_OF[name](argument) if argument else PARTS[name]()
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
