"""The policy of ``polyscore rollout``: any that was trained on what PushBlocks shows, shipped, saved or of a BESO run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from polyscore.errors import InputError

if TYPE_CHECKING:
    from polyscore.robots import Policy

__all__ = ["PERIOD", "late", "load"]

PERIOD = 100
"""Milliseconds of a step of PushBlocks."""

# What a policy may have been trained for, to act in an environment: the published block push has the observations and the
# actions of PushBlocks, though other physics.
_FITS = {"push": ("push", "block push")}


def load(name: str, demonstrations: Path | None, device: str, *, env: str = "push") -> Policy:
    """The policy of a name or folder, ready to act in `env`.

    Raises:
        InputError: it was trained for something else.
        CheckpointError: there is none, or a BESO run that scales its data came without them.
    """
    from polyscore.robots import Policy
    from polyscore.robots.data.readers import read

    data = None if demonstrations is None else read(demonstrations)
    policy = Policy.from_pretrained(name, demonstrations=data, device=device)
    if policy.environment not in _FITS[env]:
        raise InputError(f"{name} was trained for {policy.environment or 'an unnamed environment'}, not for --env {env}")
    return policy


def late(milliseconds: int) -> int:
    """Steps by which an action is late that comes after so many milliseconds."""
    return -(-milliseconds // PERIOD)
