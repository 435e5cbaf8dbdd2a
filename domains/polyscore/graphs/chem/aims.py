r"""What is wanted of molecules: a property to raise (or to lower), or the value of a regressor.

An aim is a number of a finished molecule, r(m). Selection while molecules are drawn (`polyscore.steering`) asks for the
same of what the model expects of noise, r(x0): the molecule that x0 decodes to, or the regressor at x0 itself.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from rdkit import Chem
from torch import Tensor

from polyscore.errors import InputError
from polyscore.graphs.batch import Graphs
from polyscore.graphs.chem.decode import decode, outcome
from polyscore.graphs.chem.encode import encode
from polyscore.graphs.chem.properties import PROPERTIES, measure
from polyscore.graphs.pipeline import GraphGenerator
from polyscore.graphs.steering import Steering
from polyscore.state import Given

__all__ = ["Aim", "PropertyAim", "RegressorAim", "parse_aim"]


class Aim(ABC):
    """A number that should be large."""

    @abstractmethod
    def of(self, mol: Chem.Mol) -> float:
        """Of a finished molecule."""

    @abstractmethod
    def reward(self, x0: Any, given: Given) -> Tensor:
        """Of what the model expects: x0 {"x": (B, N, F), "adj": (B, N, N)} to (B,)."""


@dataclass(frozen=True)
class PropertyAim(Aim):
    """A property of `polyscore.graphs.chem.properties`, or its negative.

    Attributes:
        name: of the property.
        atoms: those of the model.
        sign: 1, or -1 to lower it.

    Raises:
        InputError: an unknown property.
    """

    name: str
    atoms: Sequence[int]
    sign: int = 1

    def __post_init__(self) -> None:
        if self.name not in PROPERTIES:
            raise InputError(f"property '{self.name}' is unknown; expected one of {', '.join(PROPERTIES)}")

    def of(self, mol: Chem.Mol) -> float:
        return self.sign * measure(mol, self.name)

    def reward(self, x0: Any, given: Given) -> Tensor:
        """Of the largest fragments after correction; where there is none, what is least wanted among the others."""
        assert given.mask is not None
        found = [outcome(graph).fragment for graph in decode(Graphs.of(x0, given.mask), self.atoms)]
        values = [None if mol is None else self.of(mol) for mol in found]
        least = min((value for value in values if value is not None), default=0.0)
        return torch.tensor([least if value is None else value for value in values], dtype=torch.float64)


@dataclass(frozen=True, eq=False)
class RegressorAim(Aim):
    """The value of a regressor."""

    steering: Steering

    def of(self, mol: Chem.Mol) -> float:
        one = encode([mol], self.steering.model.atoms)
        return self.steering.predict(one.x, one.adj, one.mask)[0]

    def reward(self, x0: Any, given: Given) -> Tensor:
        assert given.mask is not None
        return torch.tensor(self.steering.predict(x0["x"], x0["adj"], given.mask), dtype=torch.float64)


def parse_aim(text: str, model: GraphGenerator) -> Aim:
    """`qed` raises a property, `low-sa` lowers one, and a path is that of a regressor.

    Raises:
        InputError: neither a property nor a path.
        CheckpointError: what lies there is no regressor.
    """
    name = text.removeprefix("low-")
    if name in PROPERTIES:
        return PropertyAim(name, model.atoms, -1 if text != name else 1)
    if Path(text).exists():
        return RegressorAim(Steering.load(text, model))
    known = ", ".join(PROPERTIES)
    raise InputError(f"'{text}' is no property and no file; expected one of {known}, low- before it, or a regressor")
