"""Scores of generated graphs and molecules."""

from polyscore.graphs.metrics.nspdk import Fingerprints, nspdk, nspdk_mmd
from polyscore.graphs.metrics.statistics import clustering_mmd, degree_mmd, generic_mmds, orbit_mmd, spectral_mmd

__all__ = ["Fingerprints", "clustering_mmd", "degree_mmd", "generic_mmds", "nspdk", "nspdk_mmd", "orbit_mmd", "spectral_mmd"]
