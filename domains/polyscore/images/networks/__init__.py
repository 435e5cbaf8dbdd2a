"""Networks of images."""

from polyscore.images.networks.dit import DiT
from polyscore.images.networks.unet import UNet

__all__ = ["DiT", "UNet"]
