"""Networks of graphs: GDSS's score networks, a graph transformer, and MOOD's property regressor."""

from polyscore.graphs.networks.property import PropertyRegressor
from polyscore.graphs.networks.score_adj import ScoreNetworkA
from polyscore.graphs.networks.score_x import ScoreNetworkX, ScoreNetworkXGMH
from polyscore.graphs.networks.transformer import GraphTransformer

__all__ = ["GraphTransformer", "PropertyRegressor", "ScoreNetworkA", "ScoreNetworkX", "ScoreNetworkXGMH"]
