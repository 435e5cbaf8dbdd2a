"""Scores of poses and of clouds."""

from polyscore.shapes.metrics.clouds import chamfer, earth_mover, pairwise
from polyscore.shapes.metrics.poses import box_overlap, rotation_error, share_within, translation_error
from polyscore.shapes.metrics.sets import coverage, minimum_matching, nearest_neighbour_accuracy, occupancy_divergence

__all__ = [
    "box_overlap",
    "chamfer",
    "coverage",
    "earth_mover",
    "minimum_matching",
    "nearest_neighbour_accuracy",
    "occupancy_divergence",
    "pairwise",
    "rotation_error",
    "share_within",
    "translation_error",
]
