r"""Files of graphs.

In a folder every file of a kind below is read, by name:

    *.graphml                nodes and edges, one graph per `<graph>`; directions and weights are not read
    *.txt *.edges *.edgelist *.cites *.csv   one graph: an edge a line, two names of nodes; further words are not read, # begins a
                             comment
    *.g6 *.graph6            one graph a line, in the text form of nauty (McKay)
    *.json                   networkx's node-link form (`nodes` with `id`, and `edges` or `links`), one graph or a list of them

Loops and repeated edges count for nothing. A folder that holds `NAME_A.txt` and `NAME_graph_indicator.txt` is a set of the TU
collection (Morris et al. 2020, arXiv 2007.08663): all graphs are in these two files, nodes without an edge are left out.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Hashable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import networkx as nx
import numpy as np

from polyscore.errors import InputError
from polyscore.graphs.data.generic import Adjacency, matrix_of
from polyscore.hub import atomic_path

__all__ = ["read_graphs", "read_tu", "write_graphml", "write_graphs"]

_LISTS = (".txt", ".edges", ".edgelist", ".csv", ".cites")
_LINES = (".g6", ".graph6")
_KINDS = (".graphml", ".json", *_LINES, *_LISTS)
_LARGEST = 10_000  # nodes: the matrix of more does not fit in memory, and a file can claim any number


def read_graphs(path: str | Path, *, strict: bool = True) -> list[Adjacency]:
    """The graphs of a file, or of all files of a folder that are of a kind named above, by name.

    With `strict` false, a file of a folder that cannot be read is left out with a warning.

    Raises:
        InputError: nothing there, or a file that is no graph; the message names it.
    """
    place = Path(path)
    if place.is_dir() and any(place.glob("*_graph_indicator.txt")):
        return read_tu(place)
    files = sorted(file for file in place.iterdir() if file.suffix.lower() in _KINDS) if place.is_dir() else [place]
    graphs: list[Adjacency] = []
    for file in files:
        try:
            graphs += _read(file)
        except InputError as error:
            if strict or not place.is_dir():
                raise
            warnings.warn(f"{error}; it is left out", stacklevel=2)
    if not graphs:
        raise InputError(f"{path}: holds no graphs; expected files {', '.join(_KINDS)}")
    return graphs


def read_tu(folder: str | Path, *, smallest: int = 1) -> list[Adjacency]:
    """The graphs of a folder of the TU collection, those with at least `smallest` nodes, in its order.

    Raises:
        InputError: not such a folder, or files that contradict each other.
    """
    place = Path(folder)
    found = sorted(place.glob("*_graph_indicator.txt"))
    if len(found) != 1:
        raise InputError(f"{folder}: holds {len(found)} files *_graph_indicator.txt; expected one, beside its *_A.txt")
    name = found[0].name.removesuffix("_graph_indicator.txt")
    try:
        with warnings.catch_warnings(action="ignore"):  # of files without numbers, of which more is said below
            owner = np.loadtxt(found[0], dtype=np.int64, ndmin=1)
            edges = np.loadtxt(place / f"{name}_A.txt", dtype=np.int64, delimiter=",", ndmin=2) - 1
    except (OSError, ValueError) as error:
        raise InputError(f"{folder}: cannot be read as the TU set {name} ({error})") from error
    known = edges.size > 0 and edges.shape[1] == 2 and edges.min() >= 0 and edges.max() < len(owner)
    if not known or np.diff(owner).min(initial=0) < 0:
        raise InputError(f"{folder}: the edges of {name}_A.txt and the {len(owner)} nodes do not fit together")
    first, last = np.searchsorted(owner, np.unique(owner)), np.searchsorted(owner, np.unique(owner), side="right")
    if (owner[edges[:, 0]] != owner[edges[:, 1]]).any():
        raise InputError(f"{folder}: {name}_A.txt has edges between graphs")
    edges = edges[np.argsort(edges[:, 0], kind="stable")]
    graphs = []
    for start, end in zip(first.tolist(), last.tolist(), strict=True):
        low, high = np.searchsorted(edges[:, 0], (start, end))
        adj = matrix_of(_allowed(end - start, found[0]), (edges[low:high] - start).tolist())
        kept = np.flatnonzero(adj.any(1))
        if len(kept) >= max(smallest, 1):
            graphs.append(adj[np.ix_(kept, kept)])
    return graphs


def write_graphs(path: Path, graphs: Sequence[Adjacency]) -> None:
    """One graph a line, as graph6; networkx, igraph, SageMath and nauty read it."""
    lines = [nx.to_graph6_bytes(nx.from_numpy_array(adj), header=False) for adj in graphs]
    with atomic_path(path) as temporary:
        temporary.write_bytes(b"".join(lines))


def write_graphml(path: Path, adj: Adjacency) -> None:
    """One graph as GraphML; Gephi, Cytoscape and yEd read it."""
    plain = nx.Graph()
    plain.add_nodes_from(range(len(adj)))
    plain.add_edges_from(np.argwhere(np.triu(adj)).tolist())
    with atomic_path(path) as temporary:
        nx.write_graphml_xml(plain, temporary)


# ---------------------------------------------------------------------- one file


def _read(file: Path) -> Iterable[Adjacency]:
    """All graphs of a file.

    Raises:
        InputError: it cannot be read as what its name says; the message names it.
    """
    kind = file.suffix.lower()
    reader = {".graphml": _graphml, ".json": _node_link, **dict.fromkeys(_LINES, _graph6)}.get(kind, _edge_list)
    try:
        return list(reader(file))
    except InputError:
        raise
    except RecursionError:
        raise InputError(f"{file}: cannot be read as a graph (it is nested too deeply)") from None
    except (OSError, ElementTree.ParseError, nx.NetworkXException, LookupError, ValueError, TypeError, AttributeError) as error:
        raise InputError(f"{file}: cannot be read as a graph ({type(error).__name__}: {error})") from error


def _graphml(file: Path) -> Iterator[Adjacency]:
    for graph in ElementTree.parse(file).getroot().iterfind("{*}graph"):
        names = [node.attrib["id"] for node in graph.iterfind("{*}node")]
        yield _named(names, ((edge.attrib["source"], edge.attrib["target"]) for edge in graph.iterfind("{*}edge")), file)


def _edge_list(file: Path) -> Iterator[Adjacency]:
    lines = [line.split("#")[0].replace(",", " ").split() for line in file.read_text(encoding="utf-8").splitlines()]
    edges = [(line[0], line[1]) for line in lines if line]
    if not edges:
        raise ValueError("no edges")
    yield _named([], edges, file)


def _graph6(file: Path) -> Iterator[Adjacency]:
    for line in file.read_bytes().split(b"\n"):
        text = line.strip().removeprefix(b">>graph6<<")
        if text:
            if text.startswith(b"~"):  # the size is written first: look at it before memory is asked for
                _allowed(_large(text), file)
            graph = nx.from_graph6_bytes(text)
            yield matrix_of(len(graph), graph.edges())


def _large(text: bytes) -> int:
    digits = text[2:8] if text.startswith(b"~~") else text[1:4]
    size = 0
    for digit in digits:
        size = 64 * size + digit - 63
    return size


def _node_link(file: Path) -> Iterator[Adjacency]:
    content: Any = json.loads(file.read_text(encoding="utf-8"))
    for graph in content if isinstance(content, list) else [content]:
        links = graph["edges"] if "edges" in graph else graph["links"]
        yield _named([node["id"] for node in graph["nodes"]], ((link["source"], link["target"]) for link in links), file)


def _named(names: Iterable[Hashable], edges: Iterable[tuple[Hashable, Hashable]], file: Path) -> Adjacency:
    place = {name: i for i, name in enumerate(dict.fromkeys(names))}
    ends = [(place.setdefault(a, len(place)), place.setdefault(b, len(place))) for a, b in edges]
    return matrix_of(_allowed(len(place), file), ends)


def _allowed(nodes: int, file: Path) -> int:
    if nodes > _LARGEST:
        raise InputError(f"{file}: cannot be read as a graph ({nodes} nodes, expected at most {_LARGEST})")
    return nodes
