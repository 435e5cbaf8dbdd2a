"""Guidance: wrappers that take a denoiser and give a denoiser. Samplers never know."""

from polyscore.guidance.autoguidance import Autoguidance
from polyscore.guidance.classifier import ClassifierGuidance
from polyscore.guidance.classifier_free import CFG, CFGPlusPlus
from polyscore.guidance.interval import Interval
from polyscore.guidance.known import KnownRegion
from polyscore.guidance.rescale import Rescale
from polyscore.guidance.threshold import Clamp, DynamicThreshold
from polyscore.guidance.wrapper import Wrapper

__all__ = [
    "CFG",
    "Autoguidance",
    "CFGPlusPlus",
    "Clamp",
    "ClassifierGuidance",
    "DynamicThreshold",
    "Interval",
    "KnownRegion",
    "Rescale",
    "Wrapper",
]
