"""Evaluation: likelihood, distances of sets, variety, memorisation, geometry, differences; for any samples and any embedder."""

from polyscore.evaluation.coverage import PRDC, expected_coverage, prdc
from polyscore.evaluation.differences import Difference, Share, audit, rank_differences, wilson
from polyscore.evaluation.distances import energy, kernel, noise_floor
from polyscore.evaluation.frechet import frechet
from polyscore.evaluation.geometry import LocalGeometry, local_geometry
from polyscore.evaluation.likelihood import log_likelihood
from polyscore.evaluation.memorisation import agreement, authenticity, copied, copy_ratio, three_sample
from polyscore.variety import cosine, gaussian, vendi

__all__ = [
    "PRDC",
    "Difference",
    "LocalGeometry",
    "Share",
    "agreement",
    "audit",
    "authenticity",
    "copied",
    "copy_ratio",
    "cosine",
    "energy",
    "expected_coverage",
    "frechet",
    "gaussian",
    "kernel",
    "local_geometry",
    "log_likelihood",
    "noise_floor",
    "prdc",
    "rank_differences",
    "three_sample",
    "vendi",
    "wilson",
]
