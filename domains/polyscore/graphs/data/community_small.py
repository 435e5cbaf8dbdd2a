r"""The set "community-small" as it is distributed, from its recipe (You et al. 2018, arXiv 1802.08773; Niu et al. 2020).

    n in {12, 14, 16, 18, 20}, as often as there;  two halves of n / 2 nodes;  each pair across them is an edge with probability
    .01, at least one

The recipe asks for random communities G(n / 2, .7), but seeds them by their place in the graph, 0 and 1. So the set holds ten
communities in all, two for each size, and graphs of one size differ in their edges across alone. `Communities` draws every
community anew: a wider law, whose graphs are farther from the published test graphs than the published scores.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import networkx as nx
import numpy as np

from polyscore.graphs.data.generic import Adjacency
from polyscore.graphs.data.recipes import Recipe

__all__ = ["CommunitySmall"]

_SIZES = {12: 28, 14: 24, 16: 18, 18: 16, 20: 14}  # of the 100 graphs
_INSIDE, _ACROSS = 0.7, 0.01


@dataclass(frozen=True)
class CommunitySmall(Recipe):
    """Graphs of the law above; the first half of the nodes is one community."""

    def draw(self, random: np.random.Generator) -> Adjacency:
        half = int(random.choice(list(_SIZES), p=np.array(list(_SIZES.values())) / 100)) // 2
        across = (random.random((half, half)) < _ACROSS).astype(np.int64)
        across[0, 0] |= int(not across.any())
        return np.block([[_community(half, 0), across], [across.T, _community(half, 1)]])


@cache
def _community(nodes: int, seed: int) -> Adjacency:
    adj: Adjacency = nx.to_numpy_array(nx.gnp_random_graph(nodes, _INSIDE, seed=seed), dtype=np.int64)
    return adj
