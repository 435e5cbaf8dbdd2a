"""Noise sources (where randomness comes from) and noise laws (what a process makes of it)."""

from polyscore.noise.laws import Masked, NoiseLaw, Normal, Symmetric, ZeroMean
from polyscore.noise.source import Noise, NoiseLike, Recorded, Seeded, Silent, as_noise

__all__ = [
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
]
