"""Inverse problems: measurements of the data, and ways from a model of the data to a model of what they leave open."""

from polyscore.inverse.active import acquire, disagreement
from polyscore.inverse.measurement import Measurement, Operator
from polyscore.inverse.operators import (
    BandLimit,
    Blur,
    Clip,
    Downsample,
    FourierSamples,
    GainOffset,
    Keep,
    MagnitudeSTFT,
)
from polyscore.inverse.posterior import Blind, Posterior, Skipped
from polyscore.inverse.starts import shared_start
from polyscore.inverse.variational import red_diff
from polyscore.inverse.widths import HessianTrace, Width, none, unit_prior

__all__ = [
    "BandLimit",
    "Blind",
    "Blur",
    "Clip",
    "Downsample",
    "FourierSamples",
    "GainOffset",
    "HessianTrace",
    "Keep",
    "MagnitudeSTFT",
    "Measurement",
    "Operator",
    "Posterior",
    "Skipped",
    "Width",
    "acquire",
    "disagreement",
    "none",
    "red_diff",
    "shared_start",
    "unit_prior",
]
