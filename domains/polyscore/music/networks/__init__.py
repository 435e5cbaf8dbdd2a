"""Networks of symbolic music."""

from polyscore.music.networks.grid_transformer import GridTransformer

__all__ = ["GridTransformer"]
