"""Networks that map spectrograms, or waves, to cleaner ones."""

from polyscore.audio.networks.convtasnet import ConvTasNet
from polyscore.audio.networks.dcunet import DCUNet
from polyscore.audio.networks.dualpath import DualPathNet
from polyscore.audio.networks.dualpath_refiner import DualPathRefiner
from polyscore.audio.networks.gagnet import GaGNet
from polyscore.audio.networks.ncsnpp import NCSNpp

__all__ = ["ConvTasNet", "DCUNet", "DualPathNet", "DualPathRefiner", "GaGNet", "NCSNpp"]
