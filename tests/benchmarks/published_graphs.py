"""The generic graphs that GDSS distributes as pickles of networkx graphs, read with nothing but the classes they need."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import networkx as nx
import numpy as np

from polyscore.graphs.data.generic import Adjacency

__all__ = ["published_graphs"]

_ALLOWED = {("networkx.classes.graph", "Graph"): nx.Graph, ("builtins", "dict"): dict}


class _Reader(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ALLOWED:
            raise pickle.UnpicklingError(f"names {module}.{name}; expected networkx graphs only")
        return _ALLOWED[module, name]


def published_graphs(path: Path) -> list[Adjacency]:
    """Adjacency matrices in the order of the file."""
    with path.open("rb") as file:
        graphs = _Reader(file).load()
    return [nx.to_numpy_array(graph, dtype=np.int64) for graph in graphs]
