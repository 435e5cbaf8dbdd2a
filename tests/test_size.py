"""Small is a goal with numbers: a process in 15 lines, a linear sampler in 40, all samplers in 1,500."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

PROCESS_LINES = 15
SOLVER_LINES = 40
SAMPLER_FILES_LINES = 1500


def code_lines(node: ast.ClassDef, *, only: str = "") -> int:
    """Lines of a class that hold code: no docstrings, blank lines or comments (unparse drops the latter two).

    With `only`, of the methods that one alone counts: what a class must write, without the conveniences it may add.
    """
    (bare,) = ast.parse(ast.unparse(node)).body
    assert isinstance(bare, ast.ClassDef)
    bare.body = [part for part in bare.body if not isinstance(part, ast.FunctionDef) or only in {"", part.name}]
    for inner in ast.walk(bare):
        if isinstance(inner, ast.ClassDef | ast.FunctionDef) and ast.get_docstring(inner) is not None:
            inner.body = inner.body[1:] or [ast.Pass()]
    return len([line for line in ast.unparse(bare).splitlines() if line.strip()])


def classes_with(folder: Path, method: str, argument: str) -> Iterator[tuple[str, ast.ClassDef]]:
    """Concrete classes in a folder that write `method(argument, ...)`: what one adds to add a process or a solver."""
    for path in sorted(folder.glob("*.py")):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ClassDef) and not {"Protocol", "ABC"} & {ast.unparse(base) for base in node.bases}:
                methods = [part for part in node.body if isinstance(part, ast.FunctionDef) and part.name == method]
                if any(argument in {arg.arg for arg in found.args.args} for found in methods):
                    yield f"{path.name}:{node.name}", node


def test_a_process_is_short(repository: Path) -> None:
    found = classes_with(repository / "core" / "polyscore" / "processes", "coefs", "t")
    sizes = {name: code_lines(node, only="coefs") for name, node in found}
    assert len(sizes) > 15
    assert {name: size for name, size in sizes.items() if size > PROCESS_LINES} == {}


def test_a_solver_is_short(repository: Path) -> None:
    found = classes_with(repository / "core" / "polyscore" / "samplers", "plan", "times")
    sizes = {name: code_lines(node) for name, node in found}
    assert len(sizes) > 8
    assert {name: size for name, size in sizes.items() if size > SOLVER_LINES} == {}


def test_all_samplers_are_short(repository: Path) -> None:
    """Files that hold samplers; what runs them (plan, builder, loop) is written once and not counted."""
    folder = repository / "core" / "polyscore" / "samplers"
    files = {name.partition(":")[0] for name, _ in classes_with(folder, "plan", "times")}
    files |= {name.partition(":")[0] for name, _ in classes_with(folder, "step", "run")}
    lines = {name: len((folder / name).read_text(encoding="utf-8").splitlines()) for name in sorted(files)}
    assert len(lines) > 5
    assert sum(lines.values()) <= SAMPLER_FILES_LINES, lines
