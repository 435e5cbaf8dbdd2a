"""Where training graphs come from: a file or folder, a part of a large graph; recipes are in `polyscore.graphs.data.recipes`.

| source | what it is | source of the set |
|---|---|---|
| `Folder` | files of graphs (`polyscore.graphs.data.files`) | |
| `EgoNetworks` | neighbourhoods of the nodes of a large graph: "ego-small" of Citeseer | You et al. 2018, arXiv 1802.08773 |
| `TUFolder` | a folder of the TU collection: ENZYMES, 587 graphs of 10 to 125 nodes | Morris et al. 2020, arXiv 2007.08663 |

Nothing is downloaded.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from polyscore.errors import InputError
from polyscore.graphs.data.generic import Adjacency

__all__ = ["EgoNetworks", "Folder", "Source", "TUFolder"]


class Source(ABC):
    """Graphs in an order that does not matter: the first share of them can be the test part."""

    @abstractmethod
    def graphs(self, seed: int) -> list[Adjacency]:
        """All graphs; the same for the same seed.

        Raises:
            InputError: files that cannot be read, or no graphs.
        """


@dataclass(frozen=True)
class Folder(Source):
    """The graphs of a file, or of the files of a folder.

    Attributes:
        path: the file or folder.
        shuffle: in a random order; else by name, as they lie in the files.
    """

    path: str
    shuffle: bool = True

    def graphs(self, seed: int) -> list[Adjacency]:
        from polyscore.graphs.data.files import read_graphs

        found = read_graphs(self.path, strict=False)
        return shuffled(found, seed) if self.shuffle else found


@dataclass(frozen=True)
class EgoNetworks(Source):
    """Neighbourhoods in the largest component of one large graph, as GraphRNN cut them from Citeseer.

    The file is the large graph: any of `polyscore.graphs.data.files`, or `citeseer.cites`.

    Attributes:
        path: the file.
        radius: steps from the node in the middle.
        smallest: fewest nodes.
        largest: most nodes.
        count: how many, in a random order; fewer if there are no more.

    The defaults give "ego-small"; radius 3 with 50 to 399 nodes gives "ego".

    Raises:
        InputError: the file is no graph, or no neighbourhood has such a size.
    """

    path: str
    radius: int = 1
    smallest: int = 4
    largest: int = 18
    count: int = 200

    def graphs(self, seed: int) -> list[Adjacency]:
        import networkx as nx

        from polyscore.graphs.data.files import read_graphs

        found = read_graphs(self.path)
        if len(found) != 1:
            raise InputError(f"{self.path}: holds {len(found)} graphs; expected the one whose parts are wanted")
        graph = nx.from_numpy_array(found[0])
        whole = graph.subgraph(max(nx.connected_components(graph), key=len))
        parts = [nx.ego_graph(whole, node, radius=self.radius) for node in sorted(whole)]
        kept = [nx.to_numpy_array(part, dtype=np.int64) for part in parts if self.smallest <= len(part) <= self.largest]
        if not kept:
            raise InputError(f"{self.path}: no neighbourhood has {self.smallest} to {self.largest} nodes; expected other bounds")
        return shuffled(kept, seed)[: self.count]


@dataclass(frozen=True)
class TUFolder(Source):
    """A set of the TU collection as it is unpacked: `ENZYMES_A.txt` and `ENZYMES_graph_indicator.txt`, in a random order.

    Attributes:
        path: the folder.
        smallest: fewest nodes; 10 is what GraphRNN and GDSS keep of ENZYMES.
    """

    path: str
    smallest: int = 10

    def graphs(self, seed: int) -> list[Adjacency]:
        from polyscore.graphs.data.files import read_tu

        found = read_tu(self.path, smallest=self.smallest)
        if not found:
            raise InputError(f"{self.path}: no graph has {self.smallest} nodes or more; expected other bounds")
        return shuffled(found, seed)


def shuffled(graphs: Sequence[Adjacency], seed: int) -> list[Adjacency]:
    """The graphs in a random order."""
    return [graphs[i] for i in np.random.default_rng(seed).permutation(len(graphs))]
