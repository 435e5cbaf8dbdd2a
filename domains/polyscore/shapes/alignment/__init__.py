"""Registration without learning: consensus of matches, ICP, FPFH with RANSAC."""

from polyscore.shapes.alignment.consensus import consensus, fit_motion
from polyscore.shapes.alignment.fpfh import RANSAC, fpfh
from polyscore.shapes.alignment.icp import ICP, Surface, overlap

__all__ = ["ICP", "RANSAC", "Surface", "consensus", "fit_motion", "fpfh", "overlap"]
