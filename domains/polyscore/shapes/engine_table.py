"""The engines by name, without loading any: what a command line offers, and the object behind a name.

A new engine is a class `polyscore.shapes.engines.base.Engine` and a line of `ENGINES`.
"""

from __future__ import annotations

import importlib
from dataclasses import fields
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from polyscore.errors import InputError

if TYPE_CHECKING:
    from polyscore.shapes.engines.base import Engine

__all__ = ["DEFAULT", "ENGINES", "engine"]

ENGINES = MappingProxyType(
    {
        "vecset": "polyscore.shapes.engines.vecset.VecSetEngine",
        "consistent": "polyscore.shapes.engines.consistent.Consistent",
        "distill": "polyscore.shapes.engines.distill.Distill",
        "points": "polyscore.shapes.engines.points.Points",
        "diffusers": "polyscore.shapes.engines.guided.Guided",
    }
)
"""Name to class path."""

DEFAULT = "vecset"


def engine(name: str, **settings: Any) -> Engine[Any, Any]:
    """The engine of a name; settings are arguments of its class.

    Raises:
        InputError: no such engine, or a setting it does not have.
    """
    if name not in ENGINES:
        raise InputError(f"engine {name!r}: unknown; expected one of {', '.join(ENGINES)}")
    module, _, attribute = ENGINES[name].rpartition(".")
    kind = getattr(importlib.import_module(module), attribute)
    known = [field.name for field in fields(kind)]
    for setting in settings:
        if setting not in known:
            raise InputError(f"engine {name}: it has no setting {setting!r}; it has {', '.join(known)}")
    made: Engine[Any, Any] = kind(**settings)
    return made
