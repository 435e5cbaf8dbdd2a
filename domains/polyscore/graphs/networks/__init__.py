"""Networks of graphs: GDSS's score networks and MOOD's property regressor."""

from polyscore.graphs.networks.property import PropertyRegressor
from polyscore.graphs.networks.score_adj import ScoreNetworkA
from polyscore.graphs.networks.score_x import ScoreNetworkX, ScoreNetworkXGMH

__all__ = ["PropertyRegressor", "ScoreNetworkA", "ScoreNetworkX", "ScoreNetworkXGMH"]
