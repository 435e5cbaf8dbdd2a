"""Shapes: point clouds from a code (DPM), registration by diffusion of rigid motions (DiffusionReg), operations on points."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from polyscore.shapes.coloured_points import ColouredPoints
    from polyscore.shapes.global_registration import GlobalRegistration
    from polyscore.shapes.networks import (
        CouplingFlow,
        MatchingNetwork,
        PointEncoder,
        PointSetNetwork,
        PointwiseNet,
        RegistrationNetwork,
        SetDecoder,
        SetDenoiser,
        SetEncoder,
    )
    from polyscore.shapes.points import PointGenerator, PointTable
    from polyscore.shapes.registration import Alignment, Registration, RemainingMotion
    from polyscore.shapes.text import TextToShape
    from polyscore.shapes.vecset import SolidCodes, VecSet

# Imported at first use: the point operations need no network.
_PLACES = {
    "Alignment": "registration",
    "ColouredPoints": "coloured_points",
    "CouplingFlow": "networks",
    "GlobalRegistration": "global_registration",
    "MatchingNetwork": "networks",
    "PointEncoder": "networks",
    "PointGenerator": "points",
    "PointSetNetwork": "networks",
    "PointTable": "points",
    "PointwiseNet": "networks",
    "Registration": "registration",
    "RegistrationNetwork": "networks",
    "RemainingMotion": "registration",
    "SetDecoder": "networks",
    "SetDenoiser": "networks",
    "SetEncoder": "networks",
    "SolidCodes": "vecset",
    "TextToShape": "text",
    "VecSet": "vecset",
}

__all__ = [
    "Alignment",
    "ColouredPoints",
    "CouplingFlow",
    "GlobalRegistration",
    "MatchingNetwork",
    "PointEncoder",
    "PointGenerator",
    "PointSetNetwork",
    "PointTable",
    "PointwiseNet",
    "Registration",
    "RegistrationNetwork",
    "RemainingMotion",
    "SetDecoder",
    "SetDenoiser",
    "SetEncoder",
    "SolidCodes",
    "TextToShape",
    "VecSet",
]


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module 'polyscore.shapes' has no attribute '{name}'")
    return getattr(importlib.import_module(f"polyscore.shapes.{_PLACES[name]}"), name)
