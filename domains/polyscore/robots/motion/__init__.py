"""Motion in a few steps (EMDM): a generator with a latent, trained against a critic, on planar walkers."""

from polyscore.robots.motion.model import MotionModel
from polyscore.robots.motion.networks import MotionCritic
from polyscore.robots.motion.training import EMDMTraining, Geometry, WalkerData
from polyscore.robots.motion.walkers import Walkers

__all__ = ["EMDMTraining", "Geometry", "MotionCritic", "MotionModel", "WalkerData", "Walkers"]
