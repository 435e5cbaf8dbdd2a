"""Pictures of graphs: networkx says where the nodes lie, the same for the same graph.

Each component is laid out by itself: one of up to 64 nodes by Kamada and Kawai 1989, where the distance on paper follows the
distance in the graph, a larger one by springs (Fruchterman and Reingold 1991) from a fixed start. Components stand in the cells
of a square, the largest first.
"""

from __future__ import annotations

from pathlib import Path

import networkx as nx
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from polyscore.graphs.data.generic import Adjacency
from polyscore.pictures import grid, write_png

__all__ = ["draw_graph", "write_pictures"]

_FINE = 3  # drawn so many times larger, then shrunk, for smooth lines
_SMALL = 64
_LINE, _NODE = (120, 130, 145), (40, 95, 170)


def draw_graph(adj: Adjacency, *, size: int = 160) -> NDArray[np.uint8]:
    """(size, size, 3), white behind."""
    page = Image.new("RGB", (size * _FINE, size * _FINE), "white")
    pen, n = ImageDraw.Draw(page), len(adj)
    places = _layout(adj)
    low, high = places.min(0, initial=0.0), places.max(0, initial=0.0)
    scale = 0.86 * size * _FINE / max(float((high - low).max()), 1e-9)
    points = (places - (low + high) / 2) * scale + size * _FINE / 2
    for i, j in np.argwhere(np.triu(adj)):
        pen.line([*points[i], *points[j]], fill=_LINE, width=_FINE)
    radius = _FINE * min(4.5, 20 / max(n, 1) ** 0.5)
    for x, y in points:
        pen.ellipse([x - radius, y - radius, x + radius, y + radius], fill=_NODE)
    return np.asarray(page.resize((size, size), Image.Resampling.LANCZOS))


def write_pictures(path: Path, graphs: list[Adjacency], *, size: int = 160) -> None:
    """A square of pictures, row by row."""
    pictures = np.stack([draw_graph(adj, size=size) for adj in graphs])
    write_png(path, grid(pictures, columns=max(1, round(len(graphs) ** 0.5))))


def _layout(adj: Adjacency) -> NDArray[np.float64]:
    """(n, 2)."""
    graph, places = nx.from_numpy_array(adj), np.zeros((len(adj), 2))
    parts = sorted((sorted(part) for part in nx.connected_components(graph)), key=lambda part: (-len(part), part))
    columns = max(1, int(np.ceil(len(parts) ** 0.5)))
    for cell, part in enumerate(parts):
        if len(part) == 1:
            found = np.zeros((1, 2))
        else:
            way = graph.subgraph(part)
            named = nx.kamada_kawai_layout(way) if len(part) <= _SMALL else nx.spring_layout(way, seed=0, iterations=100)
            found = np.array([named[node] for node in part])
        low, high = found.min(0), found.max(0)
        width = 0.9 * (len(part) / len(parts[0])) ** 0.5  # of the cell
        places[part] = (found - (low + high) / 2) * width / max(float((high - low).max()), 1e-9)
        places[part] += (cell % columns, cell // columns)
    return places
