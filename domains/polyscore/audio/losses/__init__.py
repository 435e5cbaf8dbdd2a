"""Losses of enhanced speech beside the plain distances of spectrograms: all come unreduced, one number for every pair."""

from polyscore.audio.losses.correlation import SEGMENT, band_correlation, third_octaves
from polyscore.audio.losses.pesq import PesqLoss
from polyscore.audio.losses.waves import half_l1

__all__ = ["SEGMENT", "PesqLoss", "band_correlation", "half_l1", "third_octaves"]
