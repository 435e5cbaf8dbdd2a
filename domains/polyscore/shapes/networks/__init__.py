"""Networks on point clouds."""

from polyscore.shapes.networks.points import CouplingFlow, PointEncoder, PointwiseNet
from polyscore.shapes.networks.registration import RegistrationNetwork

__all__ = ["CouplingFlow", "PointEncoder", "PointwiseNet", "RegistrationNetwork"]
