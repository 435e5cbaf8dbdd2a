r"""The generic sets of the papers, by their recipes; every graph is a fresh draw, so any part of a set is like the whole.

| recipe | what it is | source |
|---|---|---|
| `Communities` | two halves with edge probability .7, .05 n edges between, n = 12 ... 20 | Niu et al. 2020, arXiv 2003.00638 |
| `Grids` | grids of r x c, both from 10 to 19 | You et al. 2018 (GraphRNN), arXiv 1802.08773; sides drawn as in GDSS's file |
| `Planar` | Delaunay triangulation of 64 uniform points in the unit square | Martinkus et al. 2022 (SPECTRE), arXiv 2204.01613 |
| `BlockModels` | 2 to 5 blocks of 20 to 40 nodes, edge probabilities .3 within and .005 between them, connected | the same |
| `Trees` | trees on 64 labelled nodes, all as likely | Bergmeister et al. 2024, arXiv 2312.11529 |
| `Lobsters` | paths with legs, and legs of legs; 10 to 100 nodes | Liao et al. 2019 (GRAN), arXiv 1910.00760 |

The published file of community-small is less varied than its recipe: see `polyscore.graphs.data.community_small`.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import networkx as nx
import numpy as np
from scipy.spatial import Delaunay

from polyscore.errors import InputError
from polyscore.graphs.data.generic import Adjacency, matrix_of
from polyscore.graphs.data.sources import Source

__all__ = ["BlockModels", "Communities", "Grids", "Lobsters", "Planar", "Recipe", "Trees"]


@dataclass(frozen=True)
class Recipe(Source):
    """Graphs drawn one by one.

    Attributes:
        count: how many.
    """

    count: int = 100

    def graphs(self, seed: int) -> list[Adjacency]:
        random = np.random.default_rng(seed)
        return [self.draw(random) for _ in range(self.count)]

    @abstractmethod
    def draw(self, random: np.random.Generator) -> Adjacency:
        """One graph."""


@dataclass(frozen=True)
class Communities(Recipe):
    """Two random graphs of equal size with a few edges between them, "community-small".

    Attributes:
        sizes: numbers of nodes, even, all as likely.
        inside: probability of an edge within a half.
        between: edges between the halves as a share of the nodes, at least one edge.

    Raises:
        InputError: sizes that are odd or less than 2, or shares outside [0, 1].
    """

    sizes: Sequence[int] = (12, 14, 16, 18, 20)
    inside: float = 0.7
    between: float = 0.05

    def __post_init__(self) -> None:
        if not self.sizes or any(n < 2 or n % 2 for n in self.sizes) or not 0 <= self.inside <= 1 or not 0 <= self.between <= 1:
            raise InputError(
                f"Communities: sizes {tuple(self.sizes)}, inside {self.inside}, between {self.between}; "
                "expected even sizes and shares in [0, 1]"
            )

    def draw(self, random: np.random.Generator) -> Adjacency:
        n = int(random.choice(np.asarray(self.sizes)))
        half = n // 2
        upper = np.triu(random.random((n, n)) < self.inside, 1)
        upper[:half, half:] = False
        crossing = random.choice(half * half, size=max(1, round(self.between * n)), replace=False)
        upper[crossing // half, half + crossing % half] = True
        return (upper | upper.T).astype(np.int64)


@dataclass(frozen=True)
class Grids(Recipe):
    """Grids whose two sides are drawn from `low` to `high`.

    Raises:
        InputError: not 1 <= low <= high.
    """

    low: int = 10
    high: int = 19

    def __post_init__(self) -> None:
        if not 1 <= self.low <= self.high:
            raise InputError(f"Grids: sides from {self.low} to {self.high}; expected 1 or more, in this order")

    def draw(self, random: np.random.Generator) -> Adjacency:
        rows, columns = (int(side) for side in random.integers(self.low, self.high + 1, 2))
        number = np.arange(rows * columns).reshape(rows, columns)
        across, down = (number[:, :-1], number[:, 1:]), (number[:-1], number[1:])
        edges = [np.stack((a.ravel(), b.ravel()), 1) for a, b in (across, down)]
        return matrix_of(rows * columns, np.concatenate(edges).tolist())


def _check_nodes(recipe: Recipe, nodes: int) -> None:
    if nodes < 3:
        raise InputError(f"{type(recipe).__name__}: {nodes} nodes; expected at least 3")


@dataclass(frozen=True)
class Planar(Recipe):
    """Delaunay triangulations: 3 n - 3 - h edges, h of the n points on the convex hull.

    Raises:
        InputError: less than 3 nodes.
    """

    count: int = 200
    nodes: int = 64

    def __post_init__(self) -> None:
        _check_nodes(self, self.nodes)

    def draw(self, random: np.random.Generator) -> Adjacency:
        corners = Delaunay(random.random((self.nodes, 2))).simplices
        return matrix_of(self.nodes, np.concatenate((corners[:, :2], corners[:, 1:], corners[:, ::2])).tolist())


@dataclass(frozen=True)
class BlockModels(Recipe):
    """Stochastic block models, drawn anew until they are connected.

    Attributes:
        blocks: smallest and largest number of blocks.
        sizes: smallest and largest number of nodes of a block.
        inside: edge probability within a block.
        between: edge probability between blocks.

    Raises:
        InputError: bounds in the wrong order, or probabilities outside (0, 1].
    """

    count: int = 200
    blocks: tuple[int, int] = (2, 5)
    sizes: tuple[int, int] = (20, 40)
    inside: float = 0.3
    between: float = 0.005

    def __post_init__(self) -> None:
        bounds = all(1 <= low <= high for low, high in (self.blocks, self.sizes))
        if not bounds or not 0 < self.inside <= 1 or not 0 < self.between <= 1:
            raise InputError(
                f"BlockModels: blocks {self.blocks}, sizes {self.sizes}, inside {self.inside}, between {self.between}; "
                "expected bounds in order and probabilities in (0, 1]"
            )

    def draw(self, random: np.random.Generator) -> Adjacency:
        while True:
            blocks = int(random.integers(self.blocks[0], self.blocks[1] + 1))
            names = np.repeat(np.arange(blocks), random.integers(self.sizes[0], self.sizes[1] + 1, blocks))
            shares = np.where(names[:, None] == names, self.inside, self.between)
            upper = np.triu(random.random(shares.shape) < shares, 1)
            adj = (upper | upper.T).astype(np.int64)
            if nx.is_connected(nx.from_numpy_array(adj)):
                return adj


@dataclass(frozen=True)
class Trees(Recipe):
    """Uniform labelled trees: a random sequence of Pruefer (1918) names one of the n^(n-2).

    Raises:
        InputError: less than 3 nodes.
    """

    count: int = 200
    nodes: int = 64

    def __post_init__(self) -> None:
        _check_nodes(self, self.nodes)

    def draw(self, random: np.random.Generator) -> Adjacency:
        return matrix_of(self.nodes, nx.from_prufer_sequence(random.integers(0, self.nodes, self.nodes - 2).tolist()).edges())


@dataclass(frozen=True)
class Lobsters(Recipe):
    """Lobsters of a number of nodes within bounds, drawn anew until it is.

    A path of up to 2 `backbone` nodes, all lengths as likely; each of its nodes gets one leg after the other with probability
    `legs`, each leg one foot after the other with probability `feet`, until a draw fails (networkx's `random_lobster`).

    Raises:
        InputError: probabilities outside [0, 1), or bounds that hold no lobster.
    """

    backbone: int = 80
    legs: float = 0.7
    feet: float = 0.7
    smallest: int = 10
    largest: int = 100

    def __post_init__(self) -> None:
        if not (0 <= self.legs < 1 and 0 <= self.feet < 1 and 1 <= self.smallest <= self.largest and self.backbone >= 1):
            raise InputError(f"{self}: expected probabilities in [0, 1), and bounds in order")

    def draw(self, random: np.random.Generator) -> Adjacency:
        while True:
            path = int(random.integers(0, 2 * self.backbone + 1))
            parents = [place - 1 for place in range(1, path)]  # of the nodes 1, 2, ...
            for spine in range(path):
                for _ in range(random.geometric(1 - self.legs) - 1):
                    parents.append(spine)
                    parents += [len(parents)] * (random.geometric(1 - self.feet) - 1)
            if self.smallest <= len(parents) + 1 <= self.largest and path:
                return matrix_of(len(parents) + 1, [(child, parent) for child, parent in enumerate(parents, 1)])
