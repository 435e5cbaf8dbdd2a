"""Noise sources (where randomness comes from) and noise laws (what a process makes of it)."""

from polyscore.noise.brownian import Brownian
from polyscore.noise.laws import Masked, NoiseLaw, Normal, Symmetric, ZeroMean
from polyscore.noise.source import Noise, NoiseLike, Recorded, Seeded, Silent, as_noise, leaf_noise

__all__ = [
    "Brownian",
    "Masked",
    "Noise",
    "NoiseLaw",
    "NoiseLike",
    "Normal",
    "Recorded",
    "Seeded",
    "Silent",
    "Symmetric",
    "ZeroMean",
    "as_noise",
    "leaf_noise",
]
