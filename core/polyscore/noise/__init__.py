"""Noise sources (where randomness comes from), laws (what a process makes of it) and transport (how it follows motion)."""

from polyscore.noise.brownian import Brownian
from polyscore.noise.laws import Masked, NoiseLaw, Normal, Symmetric, ZeroMean
from polyscore.noise.mixing import average, blend, regaussianise, resize, resize_flow
from polyscore.noise.motion import Bilinear, Dither, Flow, Motion, Nearest, Residual
from polyscore.noise.source import Noise, NoiseLike, Recorded, Seeded, Silent, as_noise, leaf_noise
from polyscore.noise.transport import Transport
from polyscore.noise.warped import Warped, carry

__all__ = [
    "Bilinear",
    "Brownian",
    "Dither",
    "Flow",
    "Masked",
    "Motion",
    "Nearest",
    "Noise",
    "NoiseLaw",
    "NoiseLike",
    "Normal",
    "Recorded",
    "Residual",
    "Seeded",
    "Silent",
    "Symmetric",
    "Transport",
    "Warped",
    "ZeroMean",
    "as_noise",
    "average",
    "blend",
    "carry",
    "leaf_noise",
    "regaussianise",
    "resize",
    "resize_flow",
]
