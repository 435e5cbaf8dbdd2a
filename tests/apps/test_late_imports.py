"""What a verb does not need is not loaded: Lightning and sympy take seconds, and only training needs them."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

_CODE = """
import importlib, sys

class Refusing:
    def find_spec(self, name, path=None, target=None):
        if name in ("lightning", "sympy"):
            raise ImportError(f"refused: {name}")

sys.meta_path.insert(0, Refusing())
for line in sys.stdin.read().split():
    verb, place, name = line.split(":")
    try:
        found = importlib.import_module(place)
        if not hasattr(found, name):
            importlib.import_module(f"{place}.{name}")
    except ImportError as error:  # an optional package may be absent
        if "refused" in str(error):
            print(verb, place)
"""


def test_only_training_loads_lightning(repository: Path) -> None:
    asked = []
    for file in sorted((repository / "apps/polyscore/cli").glob("*.py")):
        if file.stem in ("fit", "progress"):
            continue
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("polyscore."):
                asked += [f"{file.stem}:{node.module}:{alias.name}" for alias in node.names]
    assert len(asked) > 200
    roots = os.pathsep.join(str(repository / part) for part in ("core", "domains", "apps"))
    answer = subprocess.run(
        [sys.executable, "-c", _CODE],
        input="\n".join(asked),
        env={**os.environ, "PYTHONPATH": roots},
        capture_output=True,
        text=True,
        check=True,
    )
    loading = {tuple(line.split()) for line in answer.stdout.splitlines()}
    assert loading == {("drawing", "polyscore.training")}, loading  # `sample --devices N`, where the trainer starts processes
