"""Parts of networks that several domains are built of."""

from polyscore.networks.residual import ResidualBlock, zeroed

__all__ = ["ResidualBlock", "zeroed"]
