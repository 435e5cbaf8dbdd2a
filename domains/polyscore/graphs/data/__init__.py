"""Training data of graphs and molecules."""

from polyscore.graphs.data.facts import Facts
from polyscore.graphs.data.generic import communities, quantise, read_graphs
from polyscore.graphs.data.module import CommunityData, GraphData, GraphSet
from polyscore.graphs.data.smiles import Molecules, SmilesData, read_table

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
