"""An object as JSON, and back: ``{"class_path": "polyscore.x.Y", "init_args": {...}}``, nested.

The convention is scikit-learn's: a class keeps every argument of its constructor as an attribute of the same name
(frozen dataclasses do so by nature, a module writes ``self.width = width``). Then ``config_of(obj)`` reads the
arguments back and ``build(config_of(obj))`` is an equal object. An argument is None, a bool, a number, a text, a
sequence or a mapping with text keys of such values, or another object by the same convention. Sequences come back as
tuples.

A configuration can come from anywhere, so ``build`` calls nothing but classes *defined* in ``polyscore`` (or under
prefixes the caller allows): no function, no class that merely can be reached through a module of ours.
"""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import sys
from collections.abc import Mapping, Sequence
from typing import Any, cast

from torch import nn

from polyscore.errors import ConfigError, InputError, MissingExtraError

__all__ = ["config_of", "build", "class_path"]

_KEYS = {"class_path", "init_args"}
# What a constructor raises on a value it cannot use; MissingExtraError, which is an ImportError, passes.
_REFUSALS = (InputError, TypeError, ValueError, ArithmeticError, LookupError, AttributeError, RuntimeError, MemoryError)
_VARIADIC = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


def config_of(obj: object) -> dict[str, Any]:
    """The nested ``class_path``/``init_args`` of an object; defaults are written out too, so they may change later.

    Raises:
        ConfigError: an argument is not kept as an attribute, or is of a type JSON cannot hold.
    """
    return _describe(obj, "")


def build(config: Mapping[str, Any], *, allow: Sequence[str] = ()) -> Any:
    """The object a configuration describes.

    ``allow`` names further packages whose classes may be built: ``("mylab.nets",)``.

    Raises:
        ConfigError: not a configuration, a class path that is not allowed or not there, a wrong argument name, or a
            value the constructor refuses; the message names class and argument.
        MissingExtraError: the class needs a package that is not installed.
    """
    try:
        return _make(config, ("polyscore", *allow), "")
    except RecursionError:
        raise ConfigError("the configuration is nested too deeply to be one of ours") from None


def class_path(cls: type) -> str:
    """The shortest public name of a class: ``polyscore.audio.SpeechEnhancer`` even if a deeper module defines it.

    Saved files name what a package exports, so that moving a class between the package's files breaks none of them.

    Raises:
        ConfigError: the class was made inside a function or another class, so no import finds it.
    """
    if "." in cls.__qualname__:
        raise ConfigError(f"{cls.__module__}.{cls.__qualname__} is defined inside a function or class; move it to a module")
    parts = cls.__module__.split(".")
    for count in range(1, len(parts)):
        package = ".".join(parts[:count])
        if getattr(sys.modules.get(package), cls.__name__, None) is cls:
            return f"{package}.{cls.__name__}"
    return f"{cls.__module__}.{cls.__name__}"


def _describe(obj: object, place: str) -> dict[str, Any]:
    cls = type(obj)
    path = class_path(cls)
    arguments: dict[str, Any] = {}
    for name, kind in _arguments(cls):
        where = f"{place}{cls.__name__}.{name}"
        if not hasattr(obj, name):
            raise ConfigError(f"{where}: {path} takes the argument '{name}' but keeps no attribute of that name")
        value = _plain(getattr(obj, name), where)
        if kind is inspect.Parameter.VAR_KEYWORD:
            arguments.update(value)
        else:
            arguments[name] = value
    return {"class_path": path, "init_args": arguments}


def _arguments(cls: type) -> list[tuple[str, Any]]:
    """Names and kinds of what describes an object: a dataclass's fields, else the arguments of the constructor."""
    if dataclasses.is_dataclass(cls):
        return [(field.name, None) for field in dataclasses.fields(cls) if field.init]
    try:
        return [(name, parameter.kind) for name, parameter in inspect.signature(cls).parameters.items()]
    except ValueError as error:
        raise ConfigError(f"{cls.__module__}.{cls.__qualname__} does not tell its arguments") from error


def _plain(value: object, where: str) -> Any:
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, (nn.ModuleDict, Mapping)) and type(value).__module__.partition(".")[0] != "polyscore":
        wrong = [key for key in value if not isinstance(key, str) or key in _KEYS]
        if wrong:
            raise ConfigError(f"{where}: the key {wrong[0]!r} cannot be saved; expected a text (but not 'class_path')")
        return {key: _plain(part, f"{where}.{key}") for key, part in value.items()}
    if isinstance(value, nn.ModuleList) or type(value) in (list, tuple):
        parts = cast("Sequence[object]", value)
        return [_plain(part, f"{where}[{index}]") for index, part in enumerate(parts)]
    if type(value).__module__.partition(".")[0] in ("torch", "numpy", "builtins", "functools", "pathlib", "_io"):
        raise ConfigError(
            f"{where} is a {type(value).__qualname__}, which a configuration cannot hold; expected None, a number, a "
            "text, a sequence or mapping of them, or an object whose constructor takes these"
        )
    return _describe(value, f"{where} -> ")


def _make(value: Any, prefixes: tuple[str, ...], place: str) -> Any:
    if not isinstance(value, Mapping) or "class_path" not in value or not set(value) <= _KEYS:
        found = list(value) if isinstance(value, Mapping) else value
        raise ConfigError(f"{place}not a configuration: expected the keys class_path and init_args, found {_shown(found)}")
    path, arguments = value["class_path"], value.get("init_args", {})
    if not isinstance(arguments, Mapping) or not all(isinstance(key, str) for key in arguments):
        raise ConfigError(f"{place}init_args of {path!r}: expected a mapping of argument names, found {_shown(arguments)}")
    cls = _resolve(path, prefixes, place)
    values = {name: _value(part, prefixes, f"{place}{path}.{name} -> ") for name, part in arguments.items()}
    positional, named = _bind(cls, path, values)
    try:
        return cls(*positional, **named)
    except _REFUSALS as error:
        raise ConfigError(f"{place}cannot build {path}: {error}") from error


def _value(value: Any, prefixes: tuple[str, ...], place: str) -> Any:
    if isinstance(value, Mapping):
        if "class_path" in value:
            return _make(value, prefixes, place)
        return {key: _value(part, prefixes, place) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return tuple(_value(part, prefixes, place) for part in value)
    return value


def _resolve(path: object, prefixes: tuple[str, ...], place: str) -> type:
    parts = path.split(".") if isinstance(path, str) else [""]
    if not isinstance(path, str) or not all(part.isidentifier() and part[0] != "_" for part in parts):
        raise ConfigError(f"{place}class_path {_shown(path)} is no dotted name of a public class")
    _allowed(path, prefixes, place)
    module_name, _, name = path.rpartition(".")
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        missing = error.name or ""
        if f"{module_name}.".startswith(f"{missing}.") or missing.split(".")[0] == parts[0]:
            raise ConfigError(f"{place}class_path {path}: there is no module {missing}") from None
        raise MissingExtraError(f"{place}{path} needs the package {missing}, which is not installed") from error
    found = getattr(module, name, None)
    if not isinstance(found, type):
        raise ConfigError(f"{place}class_path {path}: {module_name} has no class '{name}'")
    _allowed(f"{found.__module__}.{found.__qualname__}", prefixes, f"{place}class_path {path} is really ")
    return found


def _allowed(path: str, prefixes: tuple[str, ...], place: str) -> None:
    if not any(path.startswith(f"{prefix}.") for prefix in prefixes):
        raise ConfigError(f"{place}{path}, which is outside {', '.join(prefixes)}; if you trust it, pass its package in `allow`")


def _bind(cls: type, path: str, given: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    parameters = inspect.signature(cls).parameters
    named = {name for name, p in parameters.items() if p.kind not in _VARIADIC}
    many = next((name for name, p in parameters.items() if p.kind is inspect.Parameter.VAR_POSITIONAL), None)
    takes_any = any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters.values())
    unknown = sorted(name for name in given if name not in named and name != many and not takes_any)
    if unknown:
        raise ConfigError(f"{path} has no argument '{unknown[0]}'; it takes {', '.join(parameters) or 'none'}")
    missing = [name for name in named if parameters[name].default is inspect.Parameter.empty and name not in given]
    if missing:
        raise ConfigError(f"{path} needs the argument '{sorted(missing)[0]}', which the configuration lacks")
    if many is None:
        return (), given
    # *args can only follow arguments that are given by position
    usual = inspect.Parameter.POSITIONAL_OR_KEYWORD
    before = [name for name, p in parameters.items() if p.kind is usual and name in given]
    return (*(given.pop(name) for name in before), *given.pop(many, ())), given


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
