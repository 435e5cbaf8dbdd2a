"""Scores of generated graphs and molecules."""

from polyscore.graphs.metrics.bootstrap import interval, weights
from polyscore.graphs.metrics.gram import Gram
from polyscore.graphs.metrics.nspdk import Fingerprints, nspdk, nspdk_mmd, nspdk_resampled
from polyscore.graphs.metrics.statistics import GRAMS, clustering_mmd, degree_mmd, generic_mmds, orbit_mmd, spectral_mmd

__all__ = [
    "GRAMS",
    "Fingerprints",
    "Gram",
    "clustering_mmd",
    "degree_mmd",
    "generic_mmds",
    "interval",
    "nspdk",
    "nspdk_mmd",
    "nspdk_resampled",
    "orbit_mmd",
    "spectral_mmd",
    "weights",
]
