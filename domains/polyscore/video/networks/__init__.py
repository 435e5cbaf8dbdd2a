"""Networks of video: factorised in space and time."""

from polyscore.video.networks.dit import VideoDiT
from polyscore.video.networks.guided import BoxUNet, FlowUNet
from polyscore.video.networks.unet import VideoUNet

__all__ = ["BoxUNet", "FlowUNet", "VideoDiT", "VideoUNet"]
