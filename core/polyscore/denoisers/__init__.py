"""Denoisers: network -> prediction, and everything that wraps one."""

from polyscore.denoisers.base import Denoiser, Prediction, begin
from polyscore.denoisers.precondition import Precondition, Scalings, scalings

__all__ = ["Denoiser", "Precondition", "Prediction", "Scalings", "begin", "scalings"]
