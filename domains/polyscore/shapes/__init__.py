"""Shapes: point clouds from a code (DPM), registration by diffusion of rigid motions (DiffusionReg), operations on points."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from polyscore.shapes.networks import CouplingFlow, PointEncoder, PointwiseNet, RegistrationNetwork
    from polyscore.shapes.points import PointGenerator, PointTable
    from polyscore.shapes.registration import Alignment, Registration, RemainingMotion

# Imported at first use: the point operations need no network.
_PLACES = {
    "Alignment": "registration",
    "CouplingFlow": "networks",
    "PointEncoder": "networks",
    "PointGenerator": "points",
    "PointTable": "points",
    "PointwiseNet": "networks",
    "Registration": "registration",
    "RegistrationNetwork": "networks",
    "RemainingMotion": "registration",
}

__all__ = [
    "Alignment",
    "CouplingFlow",
    "PointEncoder",
    "PointGenerator",
    "PointTable",
    "PointwiseNet",
    "Registration",
    "RegistrationNetwork",
    "RemainingMotion",
]


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module 'polyscore.shapes' has no attribute '{name}'")
    return getattr(importlib.import_module(f"polyscore.shapes.{_PLACES[name]}"), name)
