"""Steering: groups of samples and a reward. Selection acts between the steps of any stepwise sampler, search on its noise."""

from polyscore.steering.feynman_kac import FeynmanKac
from polyscore.steering.potentials import Carried, Potential, Reward, Rewarded, expected, most_likely
from polyscore.steering.search import Counted, best_of, search_neighbours, search_paths
from polyscore.steering.seeds import SeedRanking, rank_seeds
from polyscore.steering.selection import best, effective_size, systematic
from polyscore.steering.tempered import Tempered

__all__ = [
    "Carried",
    "Counted",
    "FeynmanKac",
    "Potential",
    "Reward",
    "Rewarded",
    "SeedRanking",
    "Tempered",
    "best",
    "best_of",
    "effective_size",
    "expected",
    "most_likely",
    "rank_seeds",
    "search_neighbours",
    "search_paths",
    "systematic",
]
