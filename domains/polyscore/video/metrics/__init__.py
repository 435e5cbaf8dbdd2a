"""How good a clip is: does it move as asked, does it hold together in time, are its like among real clips."""

from polyscore.video.metrics.consistency import flicker, warp_error
from polyscore.video.metrics.features import RandomFeatures
from polyscore.video.metrics.following import Followed, followed, path_error

__all__ = ["Followed", "RandomFeatures", "flicker", "followed", "path_error", "warp_error"]
