"""Robots: goal-conditioned policies (BESO), an environment to try them in, its expert, and readers of demonstrations."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from polyscore.robots.chunks import ChunkPolicy
    from polyscore.robots.data import PlayData
    from polyscore.robots.demonstrations import Demonstrations, Episode
    from polyscore.robots.execution import Committed, Ensembled, Receding
    from polyscore.robots.features import First, PushGeometry, PushRelative
    from polyscore.robots.mini_rollouts import MiniRollouts
    from polyscore.robots.networks import ActionDiT, ActionUNet, HoldLast, PictureEncoder, ScoreGPT, Seeing
    from polyscore.robots.normalise import Normaliser, Scaling
    from polyscore.robots.objectives import DropElements, LastAction, StepDecay
    from polyscore.robots.policy import Policy
    from polyscore.robots.sampling import Sampling
    from polyscore.robots.training import PolicyTraining

# Imported at first use: acting needs no Lightning, and reading data no network.
_PLACES = {
    "ActionDiT": "networks",
    "ActionUNet": "networks",
    "ChunkPolicy": "chunks",
    "Committed": "execution",
    "Demonstrations": "demonstrations",
    "DropElements": "objectives",
    "Ensembled": "execution",
    "Episode": "demonstrations",
    "First": "features",
    "HoldLast": "networks",
    "LastAction": "objectives",
    "MiniRollouts": "mini_rollouts",
    "Normaliser": "normalise",
    "PictureEncoder": "networks",
    "PlayData": "data",
    "Policy": "policy",
    "PolicyTraining": "training",
    "PushGeometry": "features",
    "PushRelative": "features",
    "Receding": "execution",
    "Sampling": "sampling",
    "Scaling": "normalise",
    "ScoreGPT": "networks",
    "Seeing": "networks",
    "StepDecay": "objectives",
}

__all__ = [
    "ActionDiT",
    "ActionUNet",
    "ChunkPolicy",
    "Committed",
    "Demonstrations",
    "DropElements",
    "Ensembled",
    "Episode",
    "First",
    "HoldLast",
    "LastAction",
    "MiniRollouts",
    "Normaliser",
    "PictureEncoder",
    "PlayData",
    "Policy",
    "PolicyTraining",
    "PushGeometry",
    "PushRelative",
    "Receding",
    "Sampling",
    "Scaling",
    "ScoreGPT",
    "Seeing",
    "StepDecay",
]


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module 'polyscore.robots' has no attribute '{name}'")
    return getattr(importlib.import_module(f"polyscore.robots.{_PLACES[name]}"), name)
