"""Graphs and molecules: score-based generation of node features and adjacency as one system."""

from __future__ import annotations

from polyscore.graphs.batch import Graphs
from polyscore.graphs.categorical import CategoricalDenoiser
from polyscore.graphs.denoiser import GraphDenoiser, ScoreNetworks
from polyscore.graphs.methods import Method, Settings
from polyscore.graphs.networks import GraphTransformer, PropertyRegressor, ScoreNetworkA, ScoreNetworkX, ScoreNetworkXGMH
from polyscore.graphs.pipeline import GraphGenerator
from polyscore.graphs.processes import graph_process
from polyscore.graphs.s4 import S4

__all__ = [
    "S4",
    "CategoricalDenoiser",
    "GraphDenoiser",
    "GraphGenerator",
    "GraphTransformer",
    "Graphs",
    "Method",
    "PropertyRegressor",
    "ScoreNetworkA",
    "ScoreNetworkX",
    "ScoreNetworkXGMH",
    "ScoreNetworks",
    "Settings",
    "graph_process",
]
