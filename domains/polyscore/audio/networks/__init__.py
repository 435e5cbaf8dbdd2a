"""Networks that map spectrograms to spectrograms."""

from polyscore.audio.networks.dualpath import DualPathNet
from polyscore.audio.networks.ncsnpp import NCSNpp

__all__ = ["DualPathNet", "NCSNpp"]
