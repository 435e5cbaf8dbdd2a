"""Clips whose motion is known, the noise that follows them, and folders of clips."""

from polyscore.video.data.digits import MovingDigits
from polyscore.video.data.flow_maps import FlowMapData, FlowMaps
from polyscore.video.data.folder import FolderOfClips
from polyscore.video.data.layers import Clips, ClipSource
from polyscore.video.data.module import Examples, Following, Telling, VideoData
from polyscore.video.data.textures import Textures

__all__ = [
    "ClipSource",
    "Clips",
    "Examples",
    "FlowMapData",
    "FlowMaps",
    "FolderOfClips",
    "Following",
    "MovingDigits",
    "Telling",
    "Textures",
    "VideoData",
]
