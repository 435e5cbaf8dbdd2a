"""Conditions on properties, as texts: `qed>0.6, ring<=7`."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from polyscore.errors import InputError
from polyscore.graphs.chem.properties import PROPERTIES

__all__ = ["Condition", "parse_conditions"]

_SIGNS: Mapping[str, Callable[[float, float], bool]] = MappingProxyType(
    {">=": operator.ge, "<=": operator.le, ">": operator.gt, "<": operator.lt}
)
_ALIASES = {"ring": "largest_ring"}


@dataclass(frozen=True)
class Condition:
    """`name sign bound`, on the values of `polyscore.graphs.chem.properties`."""

    name: str
    sign: str
    bound: float

    def __call__(self, values: Mapping[str, float]) -> bool:
        return _SIGNS[self.sign](values[self.name], self.bound)

    def __str__(self) -> str:
        return f"{self.name}{self.sign}{self.bound:g}"


def parse_conditions(text: str) -> tuple[Condition, ...]:
    """Conditions that must all hold, separated by commas.

    Raises:
        InputError: not such a list, or an unknown property.
    """
    found = []
    for part in text.split(","):
        match = re.fullmatch(r"\s*([a-z_]+)\s*(>=|<=|>|<)\s*(-?\d+(?:\.\d+)?)\s*", part)
        name = _ALIASES.get(match[1], match[1]) if match else ""
        if match is None or name not in PROPERTIES:
            known = ", ".join(PROPERTIES)
            raise InputError(f"condition '{part.strip()}': expected one of {known}, one of {' '.join(_SIGNS)}, and a number")
        found.append(Condition(name, match[2], float(match[3])))
    return tuple(found)
