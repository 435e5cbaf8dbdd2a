"""Networks that predict windows and chunks of actions."""

from polyscore.robots.networks.action_dit import ActionDiT
from polyscore.robots.networks.action_unet import ActionUNet
from polyscore.robots.networks.hold_last import HoldLast
from polyscore.robots.networks.pictures import PictureEncoder, Seeing
from polyscore.robots.networks.score_gpt import ScoreGPT

__all__ = ["ActionDiT", "ActionUNet", "HoldLast", "PictureEncoder", "ScoreGPT", "Seeing"]
