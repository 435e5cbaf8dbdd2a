"""Objectives of discrete processes."""

from polyscore.training.discrete.contrast import SampleContrast, StepContrast
from polyscore.training.discrete.elbo import CategoricalObjective, CrossEntropy, DiffusionELBO, MaskedELBO, MaskRatio

__all__ = ["CategoricalObjective", "CrossEntropy", "DiffusionELBO", "MaskRatio", "MaskedELBO", "SampleContrast", "StepContrast"]
