"""Environments behind Gymnasium.

| name | what | needs |
|---|---|---|
| push | `PushBlocks`, two blocks and two targets | polyscore[robots] |
| pusht | `PushT`, a T to its place | polyscore[robots] |
| kitchen | `Kitchen`, the relay kitchen of Gymnasium-Robotics | gymnasium-robotics 1.4.2 |
| metaworld | `MetaWorld`, fifty tasks: `make("metaworld", task="reach-v3")` | metaworld 3.1.1, with MuJoCo 3.3.0 |
| block-push | `BlockPush`, the original in PyBullet | pybullet, a checkout of BESO |

`gymnasium.make("polyscore/PushBlocks-v0")` and `"polyscore/PushT-v0"` work wherever polyscore is installed: `register` is their
entry point in the group `gymnasium.envs`.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from polyscore.robots.environments.push import PushBlocks

__all__ = ["NAMES", "PushBlocks", "make", "register"]

_PLACES = {
    "push": ("push", "PushBlocks"),
    "pusht": ("pusht", "PushT"),
    "kitchen": ("kitchen", "Kitchen"),
    "metaworld": ("metaworld", "MetaWorld"),
    "block-push": ("block_push", "BlockPush"),
}
NAMES = tuple(_PLACES)
_REGISTERED = {"polyscore/PushBlocks-v0": "push:PushBlocks", "polyscore/PushT-v0": "pusht:PushT"}


def register() -> None:
    """Make the environments known to Gymnasium (once)."""
    from gymnasium.envs.registration import register, registry

    for name, place in _REGISTERED.items():
        if name not in registry:
            register(name, entry_point=f"polyscore.robots.environments.{place}", max_episode_steps=300)


def make(name: str, **options: Any) -> Any:
    """The environment of a short name, without Gymnasium's wrappers.

    Raises:
        InputError: an unknown name.
        MissingExtraError: its simulator is not installed.
    """
    from polyscore.errors import InputError

    if name not in NAMES:
        raise InputError(f"environment {name!r} is unknown; expected one of {', '.join(NAMES)}")
    module, cls = _PLACES[name]
    return getattr(importlib.import_module(f"polyscore.robots.environments.{module}"), cls)(**options)


def __getattr__(name: str) -> Any:
    if name != "PushBlocks":
        raise AttributeError(f"module 'polyscore.robots.environments' has no attribute '{name}'")
    return importlib.import_module("polyscore.robots.environments.push").PushBlocks
