"""Where motion comes from: each source gives a `polyscore.noise.Flow` (both directions, what is hidden and what is revealed)."""

from polyscore.video.motion.arrows import Arrow, arrows
from polyscore.video.motion.camera import Pose, camera
from polyscore.video.motion.estimate import estimate
from polyscore.video.motion.fields import FIELDS, field
from polyscore.video.motion.layers import Keyframe, Layer, composite, drag, polygon

__all__ = [
    "FIELDS",
    "Arrow",
    "Keyframe",
    "Layer",
    "Pose",
    "arrows",
    "camera",
    "composite",
    "drag",
    "estimate",
    "field",
    "polygon",
]
