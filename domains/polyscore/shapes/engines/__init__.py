"""From words to a field: engines that ask a multi-view prior, and what they can be given besides words."""

from polyscore.shapes.engines.base import Engine, Frame, Request, last
from polyscore.shapes.engines.consistent import Consistent, OneBody
from polyscore.shapes.engines.distill import Distill
from polyscore.shapes.engines.result import coloured, mesh_of, painted
from polyscore.shapes.engines.sketch import Sketch, body_field, fitted, voxelise

__all__ = [
    "Consistent",
    "Distill",
    "Engine",
    "Frame",
    "OneBody",
    "Request",
    "Sketch",
    "body_field",
    "coloured",
    "fitted",
    "last",
    "mesh_of",
    "painted",
    "voxelise",
]
