"""Robots: goal-conditioned policies (BESO), an environment to try them in, its expert, and readers of demonstrations."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from polyscore.robots.data import PlayData
    from polyscore.robots.demonstrations import Demonstrations, Episode
    from polyscore.robots.features import First, PushGeometry, PushRelative
    from polyscore.robots.networks import ScoreGPT
    from polyscore.robots.normalise import Normaliser, Scaling
    from polyscore.robots.objectives import DropElements, LastAction, StepDecay
    from polyscore.robots.policy import Policy
    from polyscore.robots.sampling import Sampling
    from polyscore.robots.training import PolicyTraining

# Imported at first use: acting needs no Lightning, and reading data no network.
_PLACES = {
    "Demonstrations": "demonstrations",
    "DropElements": "objectives",
    "Episode": "demonstrations",
    "First": "features",
    "LastAction": "objectives",
    "Normaliser": "normalise",
    "PlayData": "data",
    "Policy": "policy",
    "PolicyTraining": "training",
    "PushGeometry": "features",
    "PushRelative": "features",
    "Sampling": "sampling",
    "Scaling": "normalise",
    "ScoreGPT": "networks",
    "StepDecay": "objectives",
}

__all__ = [
    "Demonstrations",
    "DropElements",
    "Episode",
    "First",
    "LastAction",
    "Normaliser",
    "PlayData",
    "Policy",
    "PolicyTraining",
    "PushGeometry",
    "PushRelative",
    "Sampling",
    "Scaling",
    "ScoreGPT",
    "StepDecay",
]


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module 'polyscore.robots' has no attribute '{name}'")
    return getattr(importlib.import_module(f"polyscore.robots.{_PLACES[name]}"), name)
