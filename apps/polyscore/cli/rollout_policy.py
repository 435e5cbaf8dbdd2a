"""The task of ``polyscore rollout`` and a policy for it: shipped, saved, or of a BESO run."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

from polyscore.errors import InputError

if TYPE_CHECKING:
    from polyscore.robots import Policy
    from polyscore.robots.tasks import Task

__all__ = ["late", "load", "task_of"]


def task_of(env: str, name: str | None) -> Task:
    """The task of an environment.

    Args:
        env: its short name.
        name: of Meta-World's tasks.

    Raises:
        InputError: a name where the environment has one task alone.
    """
    from polyscore.robots.tasks import task

    if name is not None and env != "metaworld":
        raise InputError(f"--task {name}: {env} has one task; --task names one of Meta-World's")
    return task(env) if name is None else task(env, task=name)


def load(name: str, demonstrations: Path | None, device: str, *, within: Task) -> Policy:
    """The policy of a name or folder, to act in a task.

    Raises:
        InputError: it was trained for something else.
        CheckpointError: there is none, or a BESO run that scales its data came without them.
    """
    from polyscore.robots import Policy
    from polyscore.robots.data.readers import read

    data = None if demonstrations is None else read(demonstrations)
    policy = Policy.from_pretrained(name, demonstrations=data, device=device)
    if policy.environment not in within.fits:
        trained = policy.environment or "an unnamed environment"
        raise InputError(f"{name} was trained for {trained}, not for --env {within.name}")
    return policy


def late(milliseconds: int, period: float) -> int:
    """Steps by which an action is late that comes after so many milliseconds, where a step has `period`."""
    return math.ceil(milliseconds / period)
