"""Guidance: wrappers that take a denoiser and give a denoiser. Samplers never know."""

from polyscore.guidance.attention import Identity, Uniform, replaced
from polyscore.guidance.autoguidance import Autoguidance
from polyscore.guidance.calibrated import CalibratedClassifier, softened
from polyscore.guidance.classifier import ClassifierGuidance
from polyscore.guidance.classifier_free import CFG, CFGPlusPlus, CFGPlusPlusInversion
from polyscore.guidance.gradient_free import GradientFreeClassifier
from polyscore.guidance.interval import Interval
from polyscore.guidance.known import KnownRegion
from polyscore.guidance.minority import levels, minority_score
from polyscore.guidance.noisy import Experts, class_log_prob, distilled_loss, label_loss
from polyscore.guidance.perturbed import PerturbedAttention
from polyscore.guidance.reflection import Reflection
from polyscore.guidance.rescale import Rescale
from polyscore.guidance.threshold import Clamp, DynamicThreshold
from polyscore.guidance.vendi import VendiGuidance
from polyscore.guidance.wrapper import Wrapper

__all__ = [
    "CFG",
    "Autoguidance",
    "CFGPlusPlus",
    "CFGPlusPlusInversion",
    "CalibratedClassifier",
    "Clamp",
    "ClassifierGuidance",
    "DynamicThreshold",
    "Experts",
    "GradientFreeClassifier",
    "Identity",
    "Interval",
    "KnownRegion",
    "PerturbedAttention",
    "Reflection",
    "Rescale",
    "Uniform",
    "VendiGuidance",
    "Wrapper",
    "class_log_prob",
    "distilled_loss",
    "label_loss",
    "levels",
    "minority_score",
    "replaced",
    "softened",
]
