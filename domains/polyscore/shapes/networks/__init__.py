"""Networks on point clouds, on views, and on codes of solids."""

from polyscore.shapes.networks.matching import MatchingNetwork
from polyscore.shapes.networks.multiview import MultiViewUNet
from polyscore.shapes.networks.point_set import PointSetNetwork
from polyscore.shapes.networks.points import CouplingFlow, PointEncoder, PointwiseNet
from polyscore.shapes.networks.registration import RegistrationNetwork
from polyscore.shapes.networks.vecset import SetDecoder, SetDenoiser, SetEncoder

__all__ = [
    "CouplingFlow",
    "MatchingNetwork",
    "MultiViewUNet",
    "PointEncoder",
    "PointSetNetwork",
    "PointwiseNet",
    "RegistrationNetwork",
    "SetDecoder",
    "SetDenoiser",
    "SetEncoder",
]
