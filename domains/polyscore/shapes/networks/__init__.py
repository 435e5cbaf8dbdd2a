"""Networks on point clouds, and on views."""

from polyscore.shapes.networks.matching import MatchingNetwork
from polyscore.shapes.networks.multiview import MultiViewUNet
from polyscore.shapes.networks.point_set import PointSetNetwork
from polyscore.shapes.networks.points import CouplingFlow, PointEncoder, PointwiseNet
from polyscore.shapes.networks.registration import RegistrationNetwork

__all__ = [
    "CouplingFlow",
    "MatchingNetwork",
    "MultiViewUNet",
    "PointEncoder",
    "PointSetNetwork",
    "PointwiseNet",
    "RegistrationNetwork",
]
