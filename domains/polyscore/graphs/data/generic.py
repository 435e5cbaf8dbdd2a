r"""Graphs without a chemistry: files, a recipe, and the way back from real-valued matrices to graphs.

A graph is its adjacency matrix, (n, n) int64 of 0 and 1. Files of a folder are one graph each (GraphML: one per `<graph>`):

    *.graphml                nodes and edges; directions and weights are not read
    *.txt *.edges *.csv      an edge a line, two names of nodes; further words are not read, # begins a comment

Loops and repeated edges count for nothing. From a sample (Jo et al. 2022, arXiv 2202.02514): A >= 1/2 is an edge, nodes without
an edge are dropped, and of an empty graph one node is left.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TypeAlias
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray

from polyscore.errors import InputError
from polyscore.graphs.batch import Graphs

__all__ = ["Adjacency", "communities", "quantise", "read_graphs"]

Adjacency: TypeAlias = NDArray[np.int64]

_LISTS = (".txt", ".edges", ".edgelist", ".csv")


def communities(
    count: int, *, seed: int = 0, sizes: Sequence[int] = (12, 14, 16, 18, 20), inside: float = 0.7, between: float = 0.05
) -> list[Adjacency]:
    """Two random graphs of equal size with a few edges between them: "community-small" (Niu et al. 2020, arXiv 2003.00638).

    Args:
        count: how many graphs.
        seed: of all draws.
        sizes: numbers of nodes, even, all as likely.
        inside: probability of an edge within a half.
        between: edges between the halves as a share of the nodes, at least one edge.

    Raises:
        InputError: sizes that are odd or less than 2, or probabilities outside [0, 1].
    """
    if not sizes or any(n < 2 or n % 2 for n in sizes) or not 0 <= inside <= 1 or not 0 <= between <= 1:
        raise InputError(
            f"communities: sizes {tuple(sizes)}, inside {inside}, between {between}; expected even sizes and shares in [0, 1]"
        )
    random, made = np.random.default_rng(seed), []
    for _ in range(count):
        n = int(random.choice(np.asarray(sizes)))
        half = n // 2
        upper = np.triu(random.random((n, n)) < inside, 1)
        upper[:half, half:] = False
        crossing = random.choice(half * half, size=max(1, round(between * n)), replace=False)
        upper[crossing // half, half + crossing % half] = True
        made.append((upper | upper.T).astype(np.int64))
    return made


def read_graphs(path: str | Path) -> list[Adjacency]:
    """The graphs of a file, or of all files of a folder that are of a kind named above, by name.

    Raises:
        InputError: nothing there, or a file that is no graph; the message names it.
    """
    place = Path(path)
    files = sorted(file for file in place.iterdir() if file.suffix in (".graphml", *_LISTS)) if place.is_dir() else [place]
    graphs = [graph for file in files for graph in _read(file)]
    if not graphs:
        raise InputError(f"{path}: holds no graphs; expected files .graphml, {', '.join(_LISTS)}")
    return graphs


def quantise(graphs: Graphs) -> list[Adjacency]:
    """Graphs of a sample's real-valued matrices."""
    found = []
    for graph in graphs:
        n = graph.sizes[0]
        adj = (graph.adj[0, :n, :n] >= 0.5).cpu().numpy().astype(np.int64)
        np.fill_diagonal(adj, 0)
        kept = np.flatnonzero(adj.any(1))
        found.append(adj[np.ix_(kept, kept)] if len(kept) else np.zeros((1, 1), np.int64))
    return found


def _read(file: Path) -> Iterator[Adjacency]:
    try:
        if file.suffix == ".graphml":
            root = ElementTree.parse(file).getroot()
            for graph in root.iterfind("{*}graph"):
                names = [node.attrib["id"] for node in graph.iterfind("{*}node")]
                yield _matrix(names, ((edge.attrib["source"], edge.attrib["target"]) for edge in graph.iterfind("{*}edge")))
            return
        lines = [line.split("#")[0].replace(",", " ").split() for line in file.read_text(encoding="utf-8").splitlines()]
        yield _matrix([], [(line[0], line[1]) for line in lines if line])
    except (OSError, ElementTree.ParseError, KeyError, IndexError, UnicodeDecodeError) as error:
        raise InputError(f"{file}: cannot be read as a graph ({type(error).__name__}: {error})") from error


def _matrix(names: Iterable[str], edges: Iterable[tuple[str, str]]) -> Adjacency:
    place = {name: i for i, name in enumerate(names)}
    ends = [(place.setdefault(a, len(place)), place.setdefault(b, len(place))) for a, b in edges]
    adj = np.zeros((len(place), len(place)), np.int64)
    for i, j in ends:
        adj[i, j] = adj[j, i] = int(i != j)
    return adj
