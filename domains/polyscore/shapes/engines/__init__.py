"""From words to a body: engines that ask a model, and what they can be given besides words."""

from polyscore.shapes.engines.base import Aid, Engine, Frame, Request, Spoken, last
from polyscore.shapes.engines.consistent import Consistent, OneBody
from polyscore.shapes.engines.distill import Distill
from polyscore.shapes.engines.guided import Guided, Prompt
from polyscore.shapes.engines.points import Points
from polyscore.shapes.engines.result import Body, LevelBody, OpaqueBody, coloured, mesh_of, painted
from polyscore.shapes.engines.sketch import Sketch, body_field, fitted, voxelise
from polyscore.shapes.engines.vecset import VecSetEngine, encoded
from polyscore.shapes.engines.views import FromViews

__all__ = [
    "Aid",
    "Body",
    "Consistent",
    "Distill",
    "Engine",
    "Frame",
    "FromViews",
    "Guided",
    "LevelBody",
    "OneBody",
    "OpaqueBody",
    "Points",
    "Prompt",
    "Request",
    "Sketch",
    "Spoken",
    "VecSetEngine",
    "body_field",
    "coloured",
    "encoded",
    "fitted",
    "last",
    "mesh_of",
    "painted",
    "voxelise",
]
