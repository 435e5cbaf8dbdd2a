"""Parts of networks that several domains are built of."""

from polyscore.networks.residual import ResidualBlock, zeroed
from polyscore.networks.waves import waves

__all__ = ["ResidualBlock", "waves", "zeroed"]
