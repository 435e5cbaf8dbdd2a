"""Configurations by path or by name, and a first look at what is in them.

`images/digits` is the shipped `configs/images/digits.yaml`, from the source tree or from the wheel. The first look refuses what
is no YAML mapping, and files whose aliases would unfold into millions of values, before any of it is interpreted.
"""

from __future__ import annotations

import os
from pathlib import Path

from polyscore.errors import ConfigError

__all__ = ["check", "find", "shipped"]

_LARGEST_FILE = 1_000_000  # bytes
_LARGEST_TREE = 100_000  # values


def shipped() -> dict[str, Path]:
    """The configurations that come with polyscore: name -> file."""
    import polyscore

    # The source tree first: an editable install also holds a copy in _configs, which goes stale.
    places = [Path(entry) for entry in polyscore.__path__]
    roots = [place.parents[1] / "configs" for place in places] + [place / "_configs" for place in places]
    folder = next((root for root in roots if root.is_dir()), None)
    files = sorted(folder.rglob("*.yaml")) if folder else []
    return {str(file.relative_to(folder).with_suffix("")): file for file in files if folder}


def find(name: str | os.PathLike[str]) -> Path:
    """The file of a path or of a shipped name; a file of that name here comes first.

    Raises:
        ConfigError: there is neither.
    """
    path, text = Path(name), os.fspath(name)
    if path.is_file():
        return path
    known = shipped()
    found = known.get(text.removesuffix(".yaml").removeprefix("configs/"))
    if found is None:
        raise ConfigError(f"--config {text}: there is no such file, and no shipped configuration; those are {', '.join(known)}")
    return found


def check(path: Path) -> None:
    """Read a configuration without interpreting it.

    Raises:
        ConfigError: it cannot be read, is no YAML, is no mapping, or unfolds into too much.
    """
    import yaml

    try:
        if path.stat().st_size > _LARGEST_FILE:
            raise ConfigError(f"{path}: {path.stat().st_size} bytes, expected a configuration below {_LARGEST_FILE}")
        node = yaml.compose(path.read_text(encoding="utf-8"), Loader=yaml.SafeLoader)
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read: {error}") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{path} is not valid YAML: {' '.join(str(error).split())}") from error
    except RecursionError:
        raise ConfigError(f"{path} is nested too deeply to be a configuration") from None
    if not isinstance(node, yaml.MappingNode):
        kind = "empty" if node is None else f"a {'list' if isinstance(node, yaml.SequenceNode) else 'single value'}"
        raise ConfigError(f"{path} is {kind}, expected a mapping with model, data and trainer")
    if _values(node, {}) > _LARGEST_TREE:
        raise ConfigError(f"{path} unfolds into more than {_LARGEST_TREE} values; expected a configuration")


def _values(node: object, known: dict[int, float]) -> float:
    """How many values a node stands for when every alias is written out (infinite for one that contains itself)."""
    import yaml

    if not isinstance(node, yaml.CollectionNode):
        return 1
    if id(node) not in known:
        known[id(node)] = float("inf")  # until it is counted: whoever meets it before is inside it
        parts = [part for pair in node.value for part in (pair if isinstance(pair, tuple) else (pair,))]
        known[id(node)] = 1 + sum(_values(part, known) for part in parts)
    return known[id(node)]
