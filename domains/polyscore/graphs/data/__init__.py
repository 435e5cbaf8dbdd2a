"""Training data of graphs and molecules."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from polyscore.graphs.data.facts import Facts
    from polyscore.graphs.data.generic import communities, quantise, read_graphs
    from polyscore.graphs.data.module import CommunityData, GraphData, GraphSet
    from polyscore.graphs.data.smiles import Molecules, SmilesData, read_table

# Imported at first use: reading graphs needs no Lightning, which the data modules do.
_PLACES = {
    "facts": ("Facts",),
    "generic": ("communities", "quantise", "read_graphs"),
    "module": ("CommunityData", "GraphData", "GraphSet"),
    "smiles": ("Molecules", "SmilesData", "read_table"),
}

__all__ = [
    "CommunityData",
    "Facts",
    "GraphData",
    "GraphSet",
    "Molecules",
    "SmilesData",
    "communities",
    "quantise",
    "read_graphs",
    "read_table",
]


def __getattr__(name: str) -> Any:
    for module, names in _PLACES.items():
        if name in names:
            return getattr(importlib.import_module(f"polyscore.graphs.data.{module}"), name)
    raise AttributeError(f"module 'polyscore.graphs.data' has no attribute '{name}'")
