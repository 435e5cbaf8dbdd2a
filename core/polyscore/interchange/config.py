"""Reading a diffusers scheduler_config.json: the fields of a class, their defaults, and errors that name the field.

A configuration is complete or not at all: a value this package does not reproduce is refused, a field no scheduler knows is
refused, and a field that belongs to *another* scheduler is ignored, as diffusers ignores it (files are handed from class to
class there).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeAlias

from polyscore.errors import ConfigError
from polyscore.interchange.defaults import FIELDS, FOREIGN

__all__ = ["ConfigSource", "SchedulerConfig", "read_config"]

ConfigSource: TypeAlias = "Mapping[str, Any] | str | Path | HasConfig"


class HasConfig(Protocol):
    """A live scheduler object."""

    @property
    def config(self) -> Any: ...


@dataclass(frozen=True)
class SchedulerConfig:
    """A scheduler class's name and the value of each of its fields (defaults filled in).

    Attributes:
        name: diffusers' class name, such as "DDIMScheduler".
        fields: every argument of its constructor.
        sigma_range: `sigma_min` and `sigma_max` of the file, which diffusers' sigma schedules read even where they are no
            arguments of the class.
    """

    name: str
    fields: Mapping[str, Any]
    sigma_range: tuple[float | None, float | None] = (None, None)

    def __getitem__(self, field: str) -> Any:
        return self.fields[field]

    def get(self, field: str, default: Any = None) -> Any:
        """The field's value, or `default` where the class has no such field."""
        return self.fields.get(field, default)

    def one_of(self, field: str, *allowed: Any) -> Any:
        """The field's value, which must be one of `allowed`."""
        value = self[field]
        if value not in allowed:
            expected = ", ".join(str(a) for a in allowed)
            raise ConfigError(f"{self.name}: {field} = {value!r} is not covered; expected one of {expected}")
        return value

    def number(self, field: str, *, low: float = -float("inf"), high: float = float("inf")) -> float:
        """The field's value, which must be a number in [low, high]."""
        value = self[field]
        if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
            raise ConfigError(f"{self.name}: {field} = {value!r}, expected a number in [{low:g}, {high:g}]")
        return float(value)

    def count(self, field: str, *, low: int = 1, high: int = 1_000_000) -> int:
        """The field's value, which must be an integer in [low, high]."""
        value = self.number(field, low=low, high=high)
        if value != int(value):
            raise ConfigError(f"{self.name}: {field} = {value!r}, expected an integer")
        return int(value)

    def refuse(self, field: str, reason: str) -> ConfigError:
        """The error for a value that is not reproduced."""
        return ConfigError(f"{self.name}: {field} = {self.get(field)!r} is not covered: {reason}")


def read_config(config: ConfigSource) -> SchedulerConfig:
    """Read a dictionary, a scheduler_config.json, its folder (or a pipeline's, with it in `scheduler`), or a live scheduler.

    Raises:
        ConfigError: no such file, no JSON object, no or an unknown `_class_name`, or a field that no scheduler knows.
    """
    raw = _raw(config)
    name = raw.get("_class_name")
    if not isinstance(name, str) or name not in FIELDS:
        hint = "" if "_class_name" in raw else " (the `config` of a live scheduler does not name its class: pass the scheduler)"
        raise ConfigError(f"scheduler config: _class_name = {name!r}{hint}, expected one of {', '.join(sorted(FIELDS))}")
    own = FIELDS[name]
    unset = set(raw.get("_use_default_values", ()))
    given = {key: value for key, value in raw.items() if not key.startswith("_") and key not in unset}
    for key in given:
        if key not in own and key not in FOREIGN:
            raise ConfigError(
                f"{name}: {key} = {given[key]!r} is a field no scheduler is known to have; remove it if it has no effect"
            )
    low, high = given.get("sigma_min"), given.get("sigma_max")
    return SchedulerConfig(name, {**own, **{k: v for k, v in given.items() if k in own}}, (low, high))


def _raw(config: ConfigSource) -> dict[str, Any]:
    if isinstance(config, Mapping):
        return dict(config)
    if isinstance(config, str | Path):
        return _load(Path(config))
    live = {key: value for key, value in dict(config.config).items() if not key.startswith("_")}
    return {**live, "_class_name": type(config).__name__}


def _load(path: Path) -> dict[str, Any]:
    candidates = [path, path / "scheduler_config.json", path / "scheduler" / "scheduler_config.json"]
    file = next((p for p in candidates if p.is_file()), None)
    if file is None:
        raise ConfigError(f"{path}: no scheduler_config.json there; give the file, its folder, or a dictionary")
    try:
        raw = json.loads(file.read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        raise ConfigError(f"{file}: cannot be read as JSON ({error})") from error
    if not isinstance(raw, dict):
        raise ConfigError(f"{file}: holds a {type(raw).__name__}, expected a JSON object")
    return raw
