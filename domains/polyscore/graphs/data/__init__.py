"""Training data of graphs and molecules."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from polyscore.graphs.data.community_small import CommunitySmall
    from polyscore.graphs.data.facts import Facts
    from polyscore.graphs.data.files import read_graphs, write_graphml, write_graphs
    from polyscore.graphs.data.generic import quantise
    from polyscore.graphs.data.module import GraphData, GraphSet
    from polyscore.graphs.data.pyg import LabelledData, PyGGraphs
    from polyscore.graphs.data.recipes import BlockModels, Communities, Grids, Lobsters, Planar, Recipe, Trees
    from polyscore.graphs.data.smiles import Molecules, SmilesData, read_table
    from polyscore.graphs.data.sources import EgoNetworks, Folder, Source, TUFolder

# Imported at first use: reading graphs needs no Lightning, which the data modules do, and no torch-geometric.
_PLACES = {
    "community_small": ("CommunitySmall",),
    "facts": ("Facts",),
    "files": ("read_graphs", "write_graphml", "write_graphs"),
    "generic": ("quantise",),
    "module": ("GraphData", "GraphSet"),
    "pyg": ("LabelledData", "PyGGraphs"),
    "recipes": ("BlockModels", "Communities", "Grids", "Lobsters", "Planar", "Recipe", "Trees"),
    "smiles": ("Molecules", "SmilesData", "read_table"),
    "sources": ("EgoNetworks", "Folder", "Source", "TUFolder"),
}

__all__ = [
    "BlockModels",
    "Communities",
    "CommunitySmall",
    "EgoNetworks",
    "Facts",
    "Folder",
    "GraphData",
    "GraphSet",
    "Grids",
    "LabelledData",
    "Lobsters",
    "Molecules",
    "Planar",
    "PyGGraphs",
    "Recipe",
    "SmilesData",
    "Source",
    "TUFolder",
    "Trees",
    "quantise",
    "read_graphs",
    "read_table",
    "write_graphml",
    "write_graphs",
]


def __getattr__(name: str) -> Any:
    for module, names in _PLACES.items():
        if name in names:
            return getattr(importlib.import_module(f"polyscore.graphs.data.{module}"), name)
    raise AttributeError(f"module 'polyscore.graphs.data' has no attribute '{name}'")
