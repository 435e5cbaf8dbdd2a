"""Environments behind Gymnasium.

`gymnasium.make("polyscore/PushBlocks-v0")` works wherever polyscore is installed: `register` is its entry point in the group
`gymnasium.envs`.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from polyscore.robots.environments.push import PushBlocks

__all__ = ["NAMES", "PushBlocks", "make", "register"]

NAMES = ("push",)
_PUSH = "polyscore/PushBlocks-v0"


def register() -> None:
    """Make the environments known to Gymnasium (once)."""
    from gymnasium.envs.registration import register, registry

    if _PUSH not in registry:
        register(_PUSH, entry_point="polyscore.robots.environments.push:PushBlocks", max_episode_steps=300)


def make(name: str, **options: Any) -> Any:
    """The environment of a short name, without Gymnasium's wrappers.

    Raises:
        InputError: an unknown name.
        MissingExtraError: its simulator is not installed.
    """
    from polyscore.errors import InputError

    if name not in NAMES:
        raise InputError(f"environment {name!r} is unknown; expected one of {', '.join(NAMES)}")
    return importlib.import_module("polyscore.robots.environments.push").PushBlocks(**options)


def __getattr__(name: str) -> Any:
    if name != "PushBlocks":
        raise AttributeError(f"module 'polyscore.robots.environments' has no attribute '{name}'")
    return importlib.import_module("polyscore.robots.environments.push").PushBlocks
