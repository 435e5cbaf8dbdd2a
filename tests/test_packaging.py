"""The shape of the house: one namespace in three roots, a core that needs three packages, no copied code."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
import subprocess
import sys
import tomllib
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

ROOTS = ("core", "domains", "apps")
CORE_NEEDS = {"torch", "numpy", "safetensors", "polyscore"}
# `polyscore.training` is the one place of the core where the engine may be named; the hub's push and pull import late.
ALLOWED_BELOW = {"training": {"lightning", "jsonargparse", "yaml"}}
ALLOWED_LATE = {"films": {"av", "PIL"}, "hub": {"huggingface_hub"}, "interchange": {"diffusers"}}


def sources(repository: Path, *roots: str) -> list[Path]:
    files = [path for root in roots for path in sorted((repository / root).rglob("*.py"))]
    assert files
    return files


def subpackages(repository: Path, root: str) -> list[Path]:
    return [path for path in sorted((repository / root / "polyscore").iterdir()) if any(path.glob("*.py"))]


def imported(tree: ast.AST) -> Iterator[str]:
    """Top-level names of the packages that the statements below `tree` import."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield node.module.split(".")[0]


def imported_late(tree: ast.Module) -> set[str]:
    """Packages that are imported inside functions only."""
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    inside = [name for function in functions for name in imported(function)]
    everywhere = list(imported(tree))
    return {name for name in set(inside) if inside.count(name) >= everywhere.count(name)}


# ----------------------------------------------------------------------------------------------- namespace
@pytest.mark.parametrize("root", ROOTS)
def test_no_root_claims_the_namespace(repository: Path, root: str) -> None:
    # A stray polyscore/__init__.py in one root makes the other two vanish.
    assert not (repository / root / "polyscore" / "__init__.py").exists()
    assert not (repository / root / "__init__.py").exists()


def test_no_name_lives_in_two_roots(repository: Path) -> None:
    owners: dict[str, list[str]] = defaultdict(list)
    for root in ROOTS:
        for path in (repository / root / "polyscore").iterdir():
            if path.name not in {"__pycache__", "py.typed"}:
                owners[path.stem].append(root)
    assert {name: roots for name, roots in owners.items() if len(roots) > 1} == {}


@pytest.mark.parametrize("root", ROOTS)
def test_subpackages_are_typed_and_regular(repository: Path, root: str) -> None:
    for package in subpackages(repository, root):
        assert (package / "py.typed").is_file(), f"{package} has no py.typed"
        for folder in {path.parent for path in package.rglob("*.py")}:
            assert (folder / "__init__.py").is_file(), f"{folder} holds modules and no __init__.py"


def test_the_namespace_spans_the_roots() -> None:
    # __path__ entries that end in core, domains and apps: no root hides another.
    namespace = importlib.import_module("polyscore")
    assert getattr(namespace, "__file__", None) is None
    assert {Path(entry).parent.name for entry in namespace.__path__} >= set(ROOTS)


# ----------------------------------------------------------------------------------------------- dependencies
def test_the_core_imports_torch_numpy_safetensors_alone(repository: Path) -> None:
    stray: dict[str, set[str]] = {}
    for path in sources(repository, "core"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        part = path.relative_to(repository / "core" / "polyscore").parts[0].removesuffix(".py")
        allowed = CORE_NEEDS | ALLOWED_BELOW.get(part, set()) | (ALLOWED_LATE.get(part, set()) & imported_late(tree))
        names = set(imported(tree)) - allowed - set(sys.stdlib_module_names)
        if names:
            stray[str(path.relative_to(repository))] = names
    assert stray == {}


def test_importing_the_core_pulls_nothing_heavy() -> None:
    # `import torch` is the yardstick: it may bring what it likes (sympy, networkx when present).
    parts = ", ".join(f"polyscore.{part}" for part in ("samplers", "processes", "denoisers", "noise", "hub.folder"))
    heavy = {"scipy", "lightning", "pytorch_lightning", "diffusers", "jsonargparse", "matplotlib", "sklearn", "rich"}
    code = (
        f"import sys, torch, numpy, safetensors; before = set(sys.modules); import {parts}; "
        f"print(sorted({heavy} & (set(sys.modules) - before)))"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"


def test_the_command_line_answers_without_torch() -> None:
    code = (
        "import sys, contextlib, io\n"
        "from polyscore.cli.main import main\n"
        "with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):\n"
        "    main(['--help'])\n"
        "print(sorted({'torch', 'numpy', 'lightning', 'rich', 'soundfile'} & set(sys.modules)))"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_every_requirement_is_pinned(repository: Path) -> None:
    lines = [line for line in (repository / "constraints.txt").read_text(encoding="utf-8").splitlines() if line[:1] != "#"]
    assert [line for line in lines if not re.fullmatch(r"[\w.-]+==[\w.!]+", line)] == []
    pinned = {canonical(line.partition("==")[0]) for line in lines}
    project = tomllib.loads((repository / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = [*project["dependencies"], *(need for extra in project["optional-dependencies"].values() for need in extra)]
    names = {canonical(re.match(r"[\w.-]+", need)[0]) for need in wanted}  # type: ignore[index]
    assert names - pinned - {"polyscore"} == set()
    assert len(pinned) == len(lines)


def test_torch_is_new_enough_to_load_safely(repository: Path) -> None:
    # weights_only loaders before 2.10 can be made to corrupt memory: GHSA-63cw-57p8-fm3p.
    project = tomllib.loads((repository / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert "torch>=2.10" in project["dependencies"]


# ----------------------------------------------------------------------------------------------- no copied code
class _Normalised(ast.NodeTransformer):
    """Names of arguments and local variables become their order of appearance; annotations and docstrings go."""

    def __init__(self, local: set[str]) -> None:
        self.local, self.order = local, dict[str, str]()

    def rename(self, name: str) -> str:
        return self.order.setdefault(name, f"v{len(self.order)}") if name in self.local else name

    def visit_Name(self, node: ast.Name) -> ast.Name:
        return ast.Name(id=self.rename(node.id), ctx=node.ctx)

    def visit_arg(self, node: ast.arg) -> ast.arg:
        return ast.arg(arg=self.rename(node.arg))


def fingerprint(function: ast.FunctionDef) -> tuple[str, int]:
    """The body with names normalised, and how many statements it has."""
    body = function.body[1:] if ast.get_docstring(function) is not None else function.body
    names = {node.arg for node in ast.walk(function) if isinstance(node, ast.arg)}
    names |= {node.id for node in ast.walk(function) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    statements = sum(isinstance(node, ast.stmt) for statement in body for node in ast.walk(statement))
    module = ast.parse(ast.unparse(ast.Module(body=body, type_ignores=[]))) if body else ast.Module([], [])
    return ast.dump(_Normalised(names).visit(module)), statements


def duplicates(files: list[Path], *, more_than: int) -> list[list[str]]:
    seen: dict[str, list[str]] = defaultdict(list)
    for path in files:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef):
                key, statements = fingerprint(node)
                if statements > more_than:
                    seen[key].append(f"{path.name}:{node.lineno} {node.name}")
    return [places for places in seen.values() if len(places) > 1]


def test_no_function_body_is_written_twice(repository: Path) -> None:
    assert duplicates(sources(repository, *ROOTS), more_than=3) == []


def test_the_duplicate_check_sees_through_names(tmp_path: Path) -> None:
    twin = "def {f}({x}):\n    '''{f}.'''\n    {y} = {x} + 1\n    {y} = {y} * 2\n    {y} -= {x}\n    return {y}\n"
    (tmp_path / "a.py").write_text(twin.format(f="f", x="x", y="y") + twin.format(f="g", x="a", y="b"))
    (tmp_path / "b.py").write_text(twin.format(f="h", x="x", y="y").replace("* 2", "* 3"))
    assert duplicates(sorted(tmp_path.glob("*.py")), more_than=3) == [["a.py:1 f", "a.py:7 g"]]


# ----------------------------------------------------------------------------------------------- documentation
def modules_of(repository: Path, root: str, *, without: tuple[str, ...] = ()) -> list[str]:
    base = repository / root
    names = []
    for path in sources(repository, root):
        parts = list(path.relative_to(base).with_suffix("").parts)
        if parts[1] not in without:
            names.append(".".join(parts[:-1] if parts[-1] == "__init__" else parts))
    return names


def role_methods(modules: list[ModuleType]) -> set[str]:
    """Methods that a protocol of the core describes: their meaning is written there, once."""
    roles = [thing for module in modules for thing in vars(module).values() if getattr(thing, "_is_protocol", False)]
    return {key for role in roles for key, value in vars(role).items() if inspect.isfunction(value)}


def test_every_public_object_of_the_core_is_documented(repository: Path) -> None:
    missing = []
    modules = [importlib.import_module(name) for name in modules_of(repository, "core", without=("training",))]
    described = role_methods(modules)
    for module in modules:
        name = module.__name__
        if not inspect.getdoc(module):
            missing.append(name)
        for public in getattr(module, "__all__", ()):
            thing = getattr(module, public)
            if not (inspect.isclass(thing) or inspect.isfunction(thing)):
                continue
            if not thing.__doc__ or thing.__doc__.startswith(f"{public}("):  # the doc that dataclass writes by itself
                missing.append(f"{name}.{public}")
            if inspect.isclass(thing):
                # getdoc follows the bases: an override may leave its docstring to the method it overrides.
                own = [key for key, value in vars(thing).items() if inspect.isfunction(value) and key[0] != "_"]
                own = [key for key in own if key not in described and not inspect.getdoc(getattr(thing, key))]
                missing += [f"{name}.{public}.{key}" for key in own]
    assert missing == []


def test_every_module_says_what_it_exports(repository: Path) -> None:
    silent = []
    for path in sources(repository, "core", "domains"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        names = {
            target.id
            for node in tree.body
            if isinstance(node, ast.Assign | ast.AnnAssign)
            for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
            if isinstance(target, ast.Name)
        }
        says_something = any(not isinstance(node, ast.Expr) for node in tree.body)
        if says_something and "__all__" not in names and path.name != "__main__.py":
            silent.append(str(path.relative_to(repository)))
    assert silent == []
